"""The request of `$ingest`: its parameters, its payload, and what each item of that comes to."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Issue, TooLarge, Unprocessable
from fhir_server.interactions.call import Call, Json
from fhir_server.interactions.pace import Pace
from fhir_server.kit import clock, json
from fhir_server.operations.parameters import read_parameters
from workers.ingest import files, observe, payload, table, times
from workers.ingest.sample import Item, Left, Origin, Sample, Unusable

GIVEN = ("format", "source", "zone", "mapping")
_JSON = "json"
UNPACKED = 512 * 1024 * 1024
"""Bytes that an archive may hold; zipfile reads no more of a file than its directory says."""


@dataclass(slots=True)
class Request:
    """What a request holds: Observations with their patient and origin, what cannot be used, what is not kept."""

    content: bytes
    is_file: bool
    given: dict[str, str]
    found: list[tuple[str, Json, Origin]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


async def read_request(definition: Json, ctx: RequestContext, call: Call) -> Request:
    """Read everything; raises for what is no payload at all, notes what is wrong with its items."""
    request = _opened(definition, call)
    source = request.given.get("source")
    pace, now = Pace(), clock.now()
    try:
        zone = payload.zone_named(request.given["zone"], "zone") if "zone" in request.given else None
        if request.is_file:
            by = table.mapping(request.given["mapping"].encode(), zone) if "mapping" in request.given else None
            rows = files.read(io.BytesIO(request.content), source, zone, by, UNPACKED)
            items: Iterable[tuple[str, str, Item]] = await asyncio.to_thread(_all, rows, call)
        else:
            body = json.decode(request.content)
            items = _items(body, call, source or ctx.principal.client_id, zone, request.given.get("format"))
        for patient, where, item in items:
            await pace.step()
            _take(request, patient, where, item, now, call)
    except Unusable as error:
        raise Unprocessable(error.text, f"ingest-{error.reason}", error.where) from error
    return request


def _opened(definition: Json, call: Call) -> Request:
    """Return the parameters, of query or body, and the bytes of the payload."""
    given = {name: value for name, value in call.params if name in GIVEN}
    if strange := [name for name, _ in call.params if name not in GIVEN]:
        text = f"$ingest takes {', '.join(GIVEN)} in its query and the payload as its body."
        raise BadRequest(text, "parameter-unknown", strange[0] if strange[0].isidentifier() else None)
    if not call.body:
        raise BadRequest("Send the payload as the body.", "body-missing", code="required")
    body = json.decode(call.body)
    kind = body.get("resourceType") if isinstance(body, dict) else None
    if kind == "Parameters":
        told = read_parameters(definition, call)
        given |= {name: str(value[0]) for name, value in told.items() if name in GIVEN}
        if "payload" not in told:
            text = "The parameter payload is required."
            raise BadRequest(text, "parameter-missing", "Parameters.parameter", code="required")
        return _binary(told["payload"][0], given)
    return _binary(body, given) if kind == "Binary" else Request(call.body, is_file=False, given=given)


def _binary(resource: Any, given: dict[str, str]) -> Request:
    """Return the content of a Binary."""
    try:
        content = base64.b64decode(resource["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BadRequest("A Binary has its content as base64 in data.", "binary-empty", "Binary.data") from error
    return Request(content, is_file=_JSON not in str(resource.get("contentType", _JSON)), given=given)


def _items(body: Any, call: Call, source: str, zone: Any, format_: str | None) -> Iterator[tuple[str, str, Item]]:
    for each in payload.payloads(body, source, zone, format_):
        patient = _patient(call, each.patient, each.where)
        yield from ((patient, found.where, found.item) for found in payload.read(each))


def _all(rows: Iterable[table.Row], call: Call) -> list[tuple[str, str, Item]]:
    """Return what a file says, as far as a request may go: files of years are for `./clarity ingest`."""
    most = call.limits.bundle_entries + 1
    return [(_patient(call, row.patient, "file"), "", row.item) for row in islice(rows, most)]


def _patient(call: Call, named: str | None, where: str) -> str:
    """Return whose measurements these are: those of the address, else of the payload."""
    if call.address.id:
        if named not in (None, call.address.id):
            raise Unusable("patient", "This payload names another patient than the address.", where)
        return call.address.id
    if not named:
        raise Unusable("patient", "A payload sent to Patient/$ingest says its patient.", where or None)
    return named


def _take(request: Request, patient: str, where: str, item: Item, now: datetime, call: Call) -> None:
    """Put one item where it belongs."""
    if len(request.found) >= call.limits.bundle_entries:
        text = (
            f"A request has {call.limits.bundle_entries} measurements at most; send several, or use ./clarity ingest."
        )
        raise TooLarge(text, "ingest-too-many")
    if isinstance(item, Left):
        request.left[item.what] += 1
        return
    try:
        resource = _observed(patient, item, now, call.limits.canonical_base)
    except Unusable as error:
        issue = error if not where or (error.where or "").startswith(where) else error.within(where)
        request.issues.append(Issue("value", f"ingest-{issue.reason}", issue.text, issue.where))
        return
    assert isinstance(item, Sample)
    request.found.append((patient, resource, item.origin))


def _observed(patient: str, item: Sample | Unusable, now: datetime, base: str) -> Json:
    if isinstance(item, Unusable):
        raise item
    if times.ahead(item.start, now):
        raise Unusable("time-ahead", "This lies in the future: the clock of the device is wrong.", "start")
    return observe.observation(patient, item, base)
