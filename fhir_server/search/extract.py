"""From a resource to its index entries: pure, fast, and on the way of every write.

A type's plan says, for each JSON property of the resource, which parameters look at it; only properties that are there cost
anything. Compartments are exactly those of the CompartmentDefinition: which resources are a Patient's is decided here only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Protocol

from fhir_server.model.fhirpath.extract import Extractor, extractor
from fhir_server.search.inside import found_in
from fhir_server.search.kinds import (
    composite,
    date,
    near,
    number,
    quantity,
    reference,
    string,
    token,
    uri,
)
from fhir_server.search.kinds.entries import Entries, KeyFunction, Known, Pairs
from fhir_server.search.own import guarded
from fhir_server.search.parameters import Instances, Source, Table, own_table, r4_table, table
from fhir_server.storage.commands import IndexRows, generation_of
from fhir_server.storage.layout import FACETS
from fhir_server.storage.own import FIRST, OwnParams
from fhir_server.storage.traced import TYPE as TRACED
from profiles.registry import R4

Rows = Callable[[Entries, int, Pairs], None]

ROWS: dict[str, Rows] = {
    "token": token.rows,
    "string": string.rows,
    "date": date.rows,
    "number": number.rows,
    "quantity": quantity.rows,
    "reference": reference.rows,
    "uri": uri.rows,
    "special": near.rows,
}

SERIES_TYPE = "Observation"
"""The type whose time series have a table of their own."""
UNDATED = date.FIRST - timedelta(microseconds=999_999)
"""Where what has no date stands in a series: before everything that has one. No query by date finds it there."""
_DAY = timedelta(days=1)
_IN_CONTEXT = "Binary"
"""The type that is a patient's by its securityContext (R4 `binary.html#security`), though no CompartmentDefinition says so."""
CONTEXT_PATIENT = "https://fhir.clarity.example/StructureDefinition/context-patient"
"""The extension of a securityContext that holds the patient of what it names; only `interactions/contents.py` writes it."""
_BLIND_BESIDE_COMPARTMENT = frozenset(
    {"Patient", "Person", "RelatedPerson", "Device", "PaymentReconciliation", "Subscription"}
)
"""A Device may be named after who wears it, criteria of a Subscription may name a patient, a disposition is free text."""


class Tenant(Protocol):
    """What extraction needs of a tenant: its keyed hash, the base that references may be written with, and the codings it knows."""

    base: str

    @property
    def codings(self) -> Known:
        """Return the codings that are known to stand in the dictionary."""
        ...

    @property
    def own(self) -> OwnParams:
        """Return the search parameters of its own."""
        ...

    @property
    def key(self) -> KeyFunction:
        """Return the index key of a value."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One branch of one stored parameter: where its values are, and what is stored for them."""

    param: int
    find: Extractor
    rows: Rows


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for a type, by JSON property; `always` is for what may see values where no property is."""

    properties: dict[str, tuple[Step, ...]]
    always: tuple[Step, ...]
    instances: dict[str, tuple[Instances, ...]]
    compartment: frozenset[int]
    blind: bool
    keyed: tuple[tuple[int, tuple[Extractor, ...]], ...]
    """Quantities whose entries stand under the codes found here."""


@cache
def blind(type_: str) -> bool:
    """Tell whether a type's strings may only be stored as keys: it is, or may be, about patients or a person."""
    return bool(R4.compartment("Patient", type_)) or type_ in _BLIND_BESIDE_COMPARTMENT


def _as_facets(rows: Rows) -> Rows:
    """Return the same, with its keys among the facets."""

    def put(entries: Entries, param: int, found: Pairs) -> None:
        plain, entries.keys = entries.keys, entries.facets
        rows(entries, param, found)
        entries.keys = plain

    return put


def _steps(source: Source, type_: str) -> list[tuple[str, Step]]:
    rows = ROWS[source.param.kind]
    if rows is string.rows and type_ in string.IN_PIECES:
        rows = string.rows_in_pieces
    if source.id in FACETS:
        rows = _as_facets(rows)
    found = [(t.first, extractor(t.expression, type_)) for t in source.terms]
    if source.id >= FIRST:  # what somebody has posted must not fail the writes of others
        found = [(first, guarded(find)) for first, find in found]
    return [(first, Step(source.id, find, rows)) for first, find in found]


@cache
def plan(type_: str) -> Plan:
    """Return the plan of a type, by R4's parameters."""
    return _plan(r4_table(type_))


def _own_plan(own: OwnParams, type_: str, generation: int) -> Plan:
    """Return the plan of a type with the tenant's own parameters of a generation."""
    params = own.written(type_, generation) if generation != own.generation else own.by_type.get(type_, ())
    if not params:
        return plan(type_)
    at = ("plan", type_, generation)
    made: Plan | None = own.made.get(at)
    if made is None:
        made = own.made[at] = _plan(own_table(type_, params))
    return made


def _plan(known: Table) -> Plan:
    type_ = known.type
    by_element: dict[str, list[Step]] = {}
    for source in known.stored:
        for first, step in _steps(source, type_):
            by_element.setdefault(first, []).append(step)
    properties = {
        name: tuple(by_element.get(child.element.name.removesuffix("[x]"), ()))
        for name, child in R4.json_children(type_).items()
    }
    instances: dict[str, tuple[Instances, ...]] = {}
    for instance in known.instances:
        instances[instance.term.first] = (*instances.get(instance.term.first, ()), instance)
    members = [source.id for name in R4.compartment("Patient", type_) for source in known.sources[name]]
    always, keyed = tuple(by_element.get("", ())), tuple(_codes_of(known))
    return Plan(properties, always, instances, frozenset(members), blind(type_), keyed)


def _codes_of(known: Table) -> Iterator[tuple[int, tuple[Extractor, ...]]]:
    for param, sources in known.keyed.items():
        yield param, tuple(extractor(term.expression, known.type) for source in sources for term in source.terms)


def _series(tenant: Tenant, resource: dict[str, Any], rows: IndexRows) -> None:
    """Add the rows of an Observation to the time series of its codes: its patient's, or nobody's."""
    subject, when = (table(SERIES_TYPE).sources[name][0].id for name in ("subject", "date"))
    of = [id_ for param, type_, id_ in rows.references if param == subject and type_ == "Patient"]
    if len(of) == 1:
        rows.subject = of[0]
        rows.patients.remove(of[0])
        rows.patients.insert(0, of[0])
    at = min((lo for param, lo, _ in rows.dates if param == when), default=UNDATED)
    rows.series = [(code, at) for code in series_codes(tenant.key, resource)]


def series_codes(key: KeyFunction, resource: dict[str, Any]) -> set[int]:
    """Return the codes under which an Observation stands in series: its codings, or its text when it has none."""
    concept, code = resource.get("code", {}), table(SERIES_TYPE).sources["code"][0].id
    said = {(coding.get("system", ""), coding["code"]) for coding in concept.get("coding", ()) if "code" in coding}
    coded = {key(code, "sc", system, token.folded(system, value)) for system, value in said}
    return coded or {key(code, "t", concept.get("text", ""))}


def extract_as(tenant: Tenant, version: int, resource: dict[str, Any]) -> IndexRows | None:
    """Return the index entries of a resource as they were made for a row with this `index_version`; None when that is not known."""
    generation = generation_of(version, tenant.own.generation)
    return None if generation is None or generation < 0 else extract(tenant, resource, generation)


def extract(tenant: Tenant, resource: dict[str, Any], generation: int | None = None) -> IndexRows:
    """Return the index entries of a resource, by the tenant's own parameters too: those of a generation, the newest by default."""
    type_, own = resource["resourceType"], tenant.own
    at = own.generation if generation is None else generation
    todo = plan(type_) if type_ not in own.types else _own_plan(own, type_, at)
    entries = Entries(tenant.key, tenant.base, tenant.codings, blind=todo.blind)
    properties = todo.properties
    for name in resource:
        for step in properties.get(name, ()):
            if found := step.find(resource):
                step.rows(entries, step.param, found)
        for instances in todo.instances.get(name, ()):
            composite.rows(entries, instances, composite.found_in(instances, resource))
    for step in todo.always:
        if found := step.find(resource):
            step.rows(entries, step.param, found)
    if "contained" in resource:
        entries.keys |= found_in(resource["contained"], tenant.key)
    for param, finds in todo.keyed:
        composite.put_under(entries, param, [pair for find in finds for pair in find(resource)])
    rows = entries.rows()
    patients = dict.fromkeys(
        id_ for param, target, id_ in rows.references if target == "Patient" and param in todo.compartment
    )
    untold = _of_context(resource) if type_ == _IN_CONTEXT else []
    if type_ == "Patient" and "id" in resource:
        untold = [resource["id"]]
    rows.untold = [id_ for id_ in dict.fromkeys(untold) if id_ not in patients]
    patients.update(dict.fromkeys(untold))
    rows.patients, rows.traces, rows.generation = list(patients), type_ == TRACED, at
    if type_ == SERIES_TYPE:
        _series(tenant, resource, rows)
    return rows


def _of_context(resource: dict[str, Any]) -> list[str]:
    """Return the patients of the context of a Binary: itself, or those whom the server noted when it was written."""
    context = resource.get("securityContext", {})
    found = [context.get("reference", "")]
    found += [
        extension.get("valueReference", {}).get("reference", "")
        for extension in context.get("extension", ())
        if extension.get("url") == CONTEXT_PATIENT
    ]
    return [text.removeprefix("Patient/") for text in found if text.startswith("Patient/")]


def entry_count(rows: IndexRows) -> int:
    """Return how many index entries the rows make: array elements, and one for each index that holds a narrow row.

    The indexes by rid are left out: they are there for joining, one entry a row.
    """
    arrays = len({*rows.keys} - {*rows.facets}) + bool(rows.facets) + len(rows.references) + len(rows.untold)
    dates = sum(1 + (hi - lo > _DAY) for _, lo, hi in rows.dates)
    numbers = sum(1 + (row[5] != 0) + (row[3] > row[2]) for row in rows.numbers)
    return arrays + dates + numbers + len(rows.strings) + 3 * len(rows.series)
