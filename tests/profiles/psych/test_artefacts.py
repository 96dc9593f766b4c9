"""What is published and the examples of it: valid for libraries that we did not write, and true to each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_server.cli.published import artefacts_of
from fhir_server.validation.validate import validate
from profiles.psych import codes
from profiles.psych.artefacts import artefacts
from profiles.psych.codes import BASE, LOCAL, actigraphy
from profiles.psych.examples import examples
from profiles.psych.measures import BY_NAME, MEASURES, PARTS
from profiles.psych.questionnaires import INSTRUMENTS
from profiles.registry import R4
from terminology import ucum
from workers.twin import codes as twin_codes
from workers.twin import instruments as twin_instruments
from workers.twin.catalogue import SIGNALS

Json = dict[str, Any]
ALL = list(artefacts_of(BASE))
EXAMPLES = list(examples())
STRUCTURES = {each["url"]: each for each in ALL if each["resourceType"] == "StructureDefinition"}


def named(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


@pytest.mark.parametrize("resource", ALL + EXAMPLES, ids=named)
def test_is_valid_for_fhir_resources_and_for_us(resource: Json) -> None:
    get_fhir_model_class(resource["resourceType"]).model_validate_json(json.dumps(resource))
    assert validate(resource) == []


def test_everything_has_an_id_and_a_url_of_its_own() -> None:
    assert len({named(each) for each in ALL}) == len({each["url"] for each in ALL}) == len(ALL)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=named)
def test_a_differential_names_elements_that_r4_has(structure: Json) -> None:
    for element in structure["differential"]["element"]:
        if element["path"] != structure["type"]:
            parent, _, name = element["path"].rpartition(".")
            assert name in R4.children(parent), element["path"]


def elements(resource: Json) -> dict[str, Json]:
    [url] = resource["meta"]["profile"]
    return {each["path"]: each for each in STRUCTURES[url]["differential"]["element"]}


def values(resource: Json, path: str) -> list[tuple[str, Any]]:
    """Return what stands at a path of one step, with the type that its name says."""
    name = path.rpartition(".")[2]
    stem = name.removesuffix("[x]")
    if name == stem:
        found = resource.get(name, [])
        return [("", each) for each in (found if isinstance(found, list) else [found])]
    return [(key.removeprefix(stem), value) for key, value in resource.items() if key.startswith(stem)]


@pytest.mark.parametrize("resource", [each for each in EXAMPLES if "meta" in each], ids=named)
def test_an_example_keeps_to_its_profile(resource: Json) -> None:
    """Cardinality, type and pattern, read from the differential by a few lines of their own."""
    for path, element in elements(resource).items():
        if "." not in path:
            continue
        found = values(resource, path)
        assert len(found) >= element.get("min", 0), path
        assert len(found) <= 0 or element.get("max") != "0", path
        kinds = {each["code"][0].upper() + each["code"][1:] for each in element.get("type", ())}
        assert all(not kinds or not kind or kind in kinds for kind, _ in found), path
        pattern = element.get("patternCodeableConcept", {"coding": []})["coding"]
        codings = [coding for _, value in found if pattern for coding in value["coding"]]
        assert all(any(wanted.items() <= coding.items() for coding in codings) for wanted in pattern), path


def test_every_profile_has_an_example() -> None:
    shown = {url for each in EXAMPLES for url in each.get("meta", {}).get("profile", ())}
    own = {url for url, each in STRUCTURES.items() if each["type"] != "Extension"}
    assert shown == own


def test_what_the_value_sets_and_bindings_name_is_there() -> None:
    systems = {
        each["url"]: {c["code"] for c in each["concept"]} for each in ALL if each["resourceType"] == "CodeSystem"
    }
    sets = {each["url"]: each for each in ALL if each["resourceType"] == "ValueSet"}
    for each in sets.values():
        for part in each["compose"]["include"]:
            if part["system"] in systems:
                assert {concept["code"] for concept in part["concept"]} <= systems[part["system"]]
    for structure in STRUCTURES.values():
        for element in structure["differential"]["element"]:
            assert "binding" not in element or element["binding"]["valueSet"] in sets
    local = [code for measure in MEASURES for system, code, _ in measure.codes if not system]
    local += [code for (system, code, _), _ in PARTS.values() if not system]
    assert set(local) <= set(LOCAL)


def test_units_are_ucum() -> None:
    units = {unit for measure in MEASURES for unit in measure.units} | {u for _, found in PARTS.values() for u in found}
    assert not [unit for unit in units if not ucum.is_code(unit)]


def test_the_twin_reads_the_same_codes() -> None:
    """A signal of the twin is a measure here, with the same code; what it writes has a profile here."""
    assert twin_codes.actigraphy() == actigraphy()
    ours = {(system or "", code) for measure in MEASURES for system, code, _ in measure.codes}
    ours |= {(system or "", code) for (system, code, _), _ in PARTS.values()}
    ours |= {(system, code) for each in INSTRUMENTS for system, code, _ in (each.total, *each.items)}
    for signal in SIGNALS:
        told = [code for code in signal.codes if code[0] != twin_codes.MDC]
        assert set(told) <= ours, signal.name
    assert twin_codes.profile("digital-twin-state") in STRUCTURES


def test_the_twin_spells_urls_the_same() -> None:
    """The twin imports nothing of the project, and profiles nothing above them: what both spell out is held equal here."""
    for name in ("BASE", "LOINC", "SNOMED", "UCUM", "CATEGORY"):
        assert getattr(twin_codes, name) == getattr(codes, name)
    for base in (BASE, "https://psy.example.org"):
        assert twin_codes.actigraphy(base) == codes.actigraphy(base)
        assert twin_codes.digital_twin(base) == codes.digital_twin(base)
        assert twin_codes.profile("x", base) == codes.profile("x", base)
        assert [each for each in ALL if each["url"] == twin_codes.origin()]


def test_the_twin_scores_the_same_questionnaires() -> None:
    for ours, twins in zip(INSTRUMENTS, twin_instruments.INSTRUMENTS.values(), strict=True):
        assert (ours.name, ours.most, len(ours.items)) == (twins.name, twins.most, twins.items)
        assert tuple(code for system, code, _ in ours.items if system) == twins.loinc
        assert [least for least, _ in ours.bands] == [least for least, _ in twins.bands]
        if ours.panel:
            assert ours.panel in twins.panels
            grades = {code: grade for grade, (_, code, _) in enumerate(ours.answers)}
            assert grades == twin_instruments.ANSWERS


def test_hrv_methods_never_stand_for_each_other() -> None:
    rmssd, sdnn = (set(BY_NAME[name].codes) for name in ("hrv-rmssd", "hrv-sdnn"))
    assert not rmssd & sdnn
    assert "80404-7" in {code for _, code, _ in sdnn}
    assert all(system == "" for system, _, _ in rmssd)


def test_another_base_moves_every_url_of_ours() -> None:
    moved = [each for each in artefacts(base="https://psy.example.org") if BASE in json.dumps(each)]
    assert moved == []
