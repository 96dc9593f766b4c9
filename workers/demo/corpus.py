"""The training corpus of the body codec's dictionary: resources of all R4 types in many shapes, and those of the demo.

The instances are drawn from the element tables, so that a dictionary knows every property name of R4. They are right in
shape (`validate` accepts them); FHIRPath invariants are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from typing import Any, Final

from profiles.registry import R4, Element, JsonChild
from workers.demo.chance import Chance, chance, pick
from workers.demo.datatypes import PRIMITIVES, STRUCTURES, identifier
from workers.demo.generate import generate
from workers.twin.block import gather
from workers.twin.crossings import RULES, Crossing
from workers.twin.resources import provenance, software_device, state_observation
from workers.twin.risk import risk_assessment
from workers.twin.signals import read
from workers.twin.state import states
from workers.twin.zone import zone_of

SHAPES: Final = 6
"""Instances of each type, from sparse to full."""

DEMO_PATIENTS: Final = 3
DEMO_DAYS: Final = 50
DEMO_END: Final = date(2026, 6, 30)
TWIN_DAYS: Final = 10

LEFT_OUT: Final = frozenset({"id", "extension", "modifierExtension"})
OF_RESOURCE: Final = LEFT_OUT | {"contained", "implicitRules", "meta", "text"}
"""Elements of every structure, and of every resource, that are put in by hand or not at all."""

DEEPEST: Final = 5
"""Below this, only what is required."""

CODES: Final = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "application/fhir+json",
    "http://hl7.org/fhir/ValueSet/currencies": "USD",
    "http://hl7.org/fhir/ValueSet/languages": "en",
    "http://hl7.org/fhir/ValueSet/all-languages": "en",
}
"""A code for required value sets that R4 does not enumerate."""


def corpus(seed: int, shapes: int = SHAPES) -> Iterator[dict[str, Any]]:
    """Yield the resources of the corpus, in an order that depends on nothing but the arguments."""
    for type_ in R4.types:
        for shape in range(shapes):
            yield instance(chance(seed, type_, shape), type_, (shape + 1) / (shapes + 1) * 0.75)
    demo = [e["resource"] for b in generate(seed, DEMO_PATIENTS, DEMO_DAYS, end=DEMO_END) for e in b["entry"]]
    yield from demo
    yield from computed(demo)


def computed(demo: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what the twin writes about the demo patients in the last days, so that its own resources are known too."""
    yield software_device("0")
    for patient in (resource for resource in demo if resource["resourceType"] == "Patient"):
        name, zone = patient["id"], zone_of(patient) or UTC
        own = [r for r in demo if r["resourceType"] == "Observation" and r["subject"]["reference"] == f"Patient/{name}"]
        references = {rid: f"Observation/{resource['id']}" for rid, resource in enumerate(own)}
        blocks = gather((rid, 1, read(resource)) for rid, resource in enumerate(own))
        for state in states(blocks, [DEMO_END - timedelta(days=back) for back in range(TWIN_DAYS)], zone):
            observation = state_observation(name, state, references, zone)
            yield observation
            yield provenance(f"Observation/{observation['id']}", state, references, zone)
            yield risk_assessment(name, state, Crossing(RULES[0], state.day, (("sleep-duration", "below"),)), zone)


def instance(rng: Chance, type_: str, fill: float) -> dict[str, Any]:
    """Return a resource of a type in which each optional element stands with the chance `fill`, less deep down."""
    resource: dict[str, Any] = {"resourceType": type_, "id": identifier(rng), "meta": STRUCTURES["Meta"](rng)}
    children = R4.children(type_)
    if "text" in children and rng.random() < fill:
        resource["text"] = STRUCTURES["Narrative"](rng)
    if "extension" in children and rng.random() < fill / 2:
        resource["extension"] = [STRUCTURES["Extension"](rng)]
    return resource | _node(rng, type_, fill, 1)


def _node(rng: Chance, path: str, fill: float, depth: int) -> dict[str, Any]:
    """Return an object at a path: what is required, and some of the rest."""
    choices: dict[str, list[JsonChild]] = {}
    left_out = OF_RESOURCE if depth == 1 else LEFT_OUT
    for child in R4.json_children(path).values():
        if child.element.name not in left_out:
            choices.setdefault(child.element.name, []).append(child)
    out: dict[str, Any] = {}
    for candidates in choices.values():
        element = candidates[0].element
        if element.min or (depth < DEEPEST and rng.random() < fill / depth):
            child = pick(rng, candidates)
            out[child.name] = _values(rng, child, fill, depth)
    return out or _least(rng, choices)


def _least(rng: Chance, choices: dict[str, list[JsonChild]]) -> dict[str, Any]:
    """Return an object of one primitive, where chance has put nothing in: an object may not be empty."""
    for candidates in choices.values():
        for child in candidates:
            if child.primitive:
                return {child.name: _values(rng, child, 0, DEEPEST)}
    return {"id": identifier(rng)}


def _values(rng: Chance, child: JsonChild, fill: float, depth: int) -> Any:
    """Return the value of a property, an array of one or two where it repeats."""
    if not child.element.many:
        return _value(rng, child, fill, depth)
    return [_value(rng, child, fill, depth) for _ in range(1 + (rng.random() < fill))]


def _value(rng: Chance, child: JsonChild, fill: float, depth: int) -> Any:
    """Return one value of the property's type."""
    type_ = child.type_code
    if child.element.binding is not None and child.element.binding.strength == "required":
        bound = _bound(rng, child.element, type_)
        if bound is not None:
            return bound
    if child.primitive:
        return PRIMITIVES[type_](rng)
    if type_ == "Reference":
        return _reference(rng, child)
    if type_ in {"Resource", "DomainResource"}:
        return instance(rng, pick(rng, R4.types), 0.05)
    if type_ in STRUCTURES and child.path_of_type == type_:
        return STRUCTURES[type_](rng)
    return _node(rng, child.path_of_type, fill, depth + 1)


def _bound(rng: Chance, element: Element, type_: str) -> Any:
    """Return a value with a code of the element's required value set, None where the type carries none."""
    assert element.binding is not None
    valueset = element.binding.valueset.partition("|")[0]
    expansion = R4.expansion(element.binding.valueset)
    if expansion is None:
        return CODES.get(valueset) if type_ == "code" else None
    system = pick(rng, sorted(expansion))
    code = pick(rng, sorted(expansion[system]))
    coding = {"system": system, "code": code} if system else {"code": code}
    return {"code": code, "uri": code, "string": code, "Coding": coding, "CodeableConcept": {"coding": [coding]}}.get(
        type_
    )


def _reference(rng: Chance, child: JsonChild) -> dict[str, str]:
    """Return a literal reference to one of the element's targets."""
    targets = [name for name in child.targets if R4.is_type(name)] or ["Patient", "Practitioner", "Observation"]
    out = {"reference": f"{pick(rng, targets)}/{identifier(rng)}"}
    return out | ({"display": "Lakeside Outpatient Psychiatry"} if rng.random() < 0.2 else {})
