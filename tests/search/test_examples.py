"""Every search parameter of R4 is asked for a value that an instance has, and finds that instance.

Values come from the R4 example instances and, for what those lack, from the definitions of R4 and from made-up resources.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from fhir_server.kit import json
from fhir_server.search.parameters import COLUMNS, WORDS, served_params
from profiles.registry import R4, SearchParam
from tests.r4_examples import DEFINITIONS, all_files, examples
from tests.search import naive, naive_asks, naive_paths, samples
from tests.search.conftest import page

Resource = dict[str, Any]
Case = tuple[str, str, Resource, str]

# What R4 has no value for in any instance and no element that a sample could be put at: none may be added without a reason.
NOT_EXERCISED: dict[tuple[str, str], str] = {}
PER_TYPE = 40


def definitions() -> list[Resource]:
    """Some of the conformance resources that define R4: the types that have no other instances."""
    found: dict[str, int] = defaultdict(int)
    out = []
    for name, text in all_files():
        if name.startswith(DEFINITIONS) and len(text) < 60_000 and found[name.split("-")[0]] < PER_TYPE:
            found[name.split("-")[0]] += 1
            out.append(json.decode_trusted(text))
    return out


@cache
def instances() -> dict[str, list[Resource]]:
    """Instances by type, each (type, id) once."""
    found = {
        (r["resourceType"], r["id"]): r
        for r in (json.decode_trusted(text) for text in examples().values())
        if "id" in r
    }
    for resource in definitions():
        found.setdefault((resource["resourceType"], resource["id"]), resource)
    out: dict[str, list[Resource]] = defaultdict(list)
    for (type_, _), resource in found.items():
        out[type_].append(resource)
    return out


def asked(param: SearchParam, resource: Resource) -> str | None:
    """Return a query value for a parameter that a resource meets."""
    if param.kind == "composite":
        return naive_asks.composite_asks(resource, naive_paths.definition(resource["resourceType"], param.name))
    texts = (naive_asks.asks(param.kind, value) for value in naive_paths.values(resource, param.name))
    return next((text for text in texts if text), None)


def case(type_: str, param: SearchParam) -> Case | None:
    """Return an instance and what to ask for it by a parameter."""
    for resource in instances()[type_]:
        if text := asked(param, resource):
            return type_, param.name, resource, text
    made = (samples.composite_sample if param.kind == "composite" else samples.sample)(type_, param.name)
    text = made and asked(param, made)
    return (type_, param.name, made, text) if made and text else None


@cache
def cases() -> tuple[list[Case], list[tuple[str, str]]]:
    """Return the cases, and the parameters for which there is none."""
    found, missing = [], []
    for type_ in R4.types:
        for param in served_params(type_):
            if param.name not in COLUMNS | WORDS and param.kind != "special":
                made = case(type_, param)
                found.append(made) if made else missing.append((type_, param.name))
    return found, missing


def test_every_parameter_has_a_case() -> None:
    assert set(cases()[1]) == set(NOT_EXERCISED)
    assert len(cases()[0]) > 2000


async def test_a_search_by_a_value_finds_the_instance_that_has_it(examples_tenant: Any) -> None:
    lost = []
    for type_, name, resource, text in cases()[0]:
        assert naive.matches(resource, name, text), (type_, name, text)
        found = await page(examples_tenant, type_, f"{name}={text}&_id={resource['id']}")
        if [row.id for row in found.rows] != [resource["id"]]:
            lost.append((type_, name, resource["id"], text))
    assert not lost, lost
