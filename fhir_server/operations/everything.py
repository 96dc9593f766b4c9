"""`Patient/{id}/$everything`: the whole record of a patient, in pages (R4 `patient-operation-everything.html`).

All that is in the patient's compartment and, one step further, what that refers to (Practitioner, Organization, Medication, ...),
as far as the caller may see it; `search/record.py` says what belongs to it. At type level a token for a patient gets that patient,
any other the records of all patients. What other patients' records hold is never in it, but for what belongs to several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Gone
from fhir_server.interactions.address import Params
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, ids
from fhir_server.model import bundles
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.search import page, record
from fhir_server.search.kinds import date
from fhir_server.search.record import Part, Record, Wanted
from fhir_server.search.select import START
from fhir_server.storage import reads
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.reads import Stored
from profiles.registry import R4

_PARAMETERS: list[Json] = [
    {"name": "_since", "use": "in", "min": 0, "max": "1", "type": "instant"},
    {
        "name": "_type",
        "use": "in",
        "min": 0,
        "max": "*",
        "type": "code",
        "documentation": "Resource types, by commas too.",
    },
    {"name": "_count", "use": "in", "min": 0, "max": "1", "type": "integer", "documentation": "Resources of a page."},
    {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
]

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-everything",
    "url": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
    "name": "Everything",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "everything",
    "resource": ["Patient"],
    "system": False,
    "type": True,
    "instance": True,
    "parameter": [
        {"name": "start", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "Of dates of care."},
        {"name": "end", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "Of dates of care."},
        *_PARAMETERS,
    ],
}

ENCOUNTER: Json = DEFINITION | {
    "id": "Encounter-everything",
    "url": "http://hl7.org/fhir/OperationDefinition/Encounter-everything",
    "resource": ["Encounter"],
    "type": False,
    "parameter": _PARAMETERS,
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, the focus of it (None: of everybody), and how many resources a page has."""

    wanted: Wanted
    record: Record
    focus: Stored | None
    count: int


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/{id}/$everything`, `Patient/$everything` and `Encounter/{id}/$everything`: a searchset."""
    path = "/".join(part for part in (call.address.type, call.address.id, "$everything") if part)
    call = _with_cursor_apart(call)
    place = page.restore(ctx, path, call.params)
    asked = await _asked(ctx, call, place.params)
    focus = asked.focus if place.position == START and _shows_focus(asked) else None
    room = asked.count - (focus is not None)
    found = await record.part(ctx.tenant, asked.record, asked.wanted, place.position, room)
    links = [("self", _link(ctx, path, place.params))]
    if found.next is not None:
        cursor = page.seal(ctx, path, page.Place(place.params, found.next))
        links.append(("next", _link(ctx, path, [(page.PARAMETER, cursor)])))
    whole = place.position == START and found.next is None
    body = bundles.bundle(
        "searchset",
        _entries(ctx.base, focus, found),
        id_=ids.new_id(),
        moment=clock.now(),
        total=len(found.members) + (focus is not None) if whole else None,
        links=links,
    )
    return Result(200, body, audit=[_audit(ctx, call, asked, found)])


def _with_cursor_apart(call: Call) -> Call:
    """Return the call with parameters of a posted Parameters resource as if they stood in the query, so that pages keep them."""
    if not call.body:
        return call
    given = read_parameters(_definition(call), call)
    call.params = [(name, str(value)) for name, values in given.items() for value in values]
    call.body = b""
    return call


def _definition(call: Call) -> Json:
    return ENCOUNTER if call.address.type == "Encounter" else DEFINITION


async def _asked(ctx: RequestContext, call: Call, params: Params) -> _Asked:
    given = read_parameters(_definition(call), Call(call.method, call.address, params))
    counts = given.get("_count", [])
    if counts and (not isinstance(counts[0], int) or counts[0] < 1):
        raise _invalid("_count", "is a whole number of at least 1")
    count = min(counts[0], call.limits.page_max) if counts else call.limits.page_max
    types = _types(given)
    start, end, since = (_moment(given, name) for name in ("start", "end", "_since"))
    focus = await _focus(ctx, call)
    wanted = Wanted(
        await policy.visibilities(ctx, "search-type", R4.types), await policy.visibilities(ctx, "read", R4.types),
        types, start and start[0], end and end[1], since and since[0],
    )  # fmt: skip
    return _Asked(wanted, _record(focus), focus, count)


async def _focus(ctx: RequestContext, call: Call) -> Stored | None:
    """Return what the record is about, as far as the caller may see it; None for everybody."""
    type_, id_ = call.address.type, call.address.id or ctx.principal.patient
    assert type_
    visibility = await policy.visibility(ctx, type_, "read")
    if id_ is None:
        await policy.visibility(ctx, type_, "search-type")
        return None
    found = await reads.read(ctx.tenant, type_, id_, visibility)
    if found is None:
        raise absent()
    if found.deleted:
        raise Gone("The resource was deleted.", "deleted")
    return found


def _record(focus: Stored | None) -> Record:
    if focus is None:
        return record.EVERYBODY
    return record.of_patient(focus.rid) if focus.type == "Patient" else record.of_encounter(focus.rid, focus.patients)


def _shows_focus(asked: _Asked) -> bool:
    wanted, focus = asked.wanted, asked.focus
    if focus is None or (wanted.types is not None and focus.type not in wanted.types):
        return False
    return wanted.since is None or focus.last_updated > wanted.since


# ---- parameters ----


def _invalid(name: str, sentence: str) -> BadRequest:
    return BadRequest(f"{name} {sentence}.", "parameter-value", name)


def _types(given: Given) -> frozenset[str] | None:
    names = [part.strip() for text in given.get("_type", []) for part in str(text).split(",")]
    if not all(R4.is_type(name) for name in names):
        raise _invalid("_type", "is a list of resource types, such as Observation,Condition")
    return frozenset(names) or None


def _moment(given: Given, name: str) -> tuple[datetime, datetime] | None:
    """Return the range that a date means."""
    text = given.get(name, [None])[0]
    if text is None:
        return None
    try:
        return date.span(str(text).replace(" ", "+"))
    except ValueError:
        raise _invalid(name, "is a date: YYYY, YYYY-MM, YYYY-MM-DD or a time with a zone") from None


# ---- answers ----


def _entries(base: str, focus: Stored | None, found: Part) -> Iterator[bytes]:
    for row in [focus] if focus is not None else []:
        yield bundles.search_entry(base, row.type, row.id, row.body)
    for row in found.members:
        yield bundles.search_entry(base, row.type, row.id, row.body)
    for row in found.targets:
        yield bundles.search_entry(base, row.type, row.id, row.body, b"include")


def _link(ctx: RequestContext, path: str, params: Params) -> str:
    return f"{ctx.base}/{path}" + (f"?{urlencode(params)}" if params else "")


def _audit(ctx: RequestContext, call: Call, asked: _Asked, found: Part) -> AuditRow:
    focus = asked.focus
    patients = {patient for row in (*found.members, *found.targets) for patient in row.patients}
    return audit_row(
        ctx,
        "operation",
        200,
        type=call.address.type,
        rid=focus.rid if focus else None,
        patients=sorted(patients | set(focus.patients if focus else ())),
    )
