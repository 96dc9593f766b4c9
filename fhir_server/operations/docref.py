"""`DocumentReference/$docref`: the documents of a patient that are there (US Core and IPA `OperationDefinition-docref.html`).

A search in other words: current documents, by the dates of care (`context.period`) and the type; without dates the newest one. This
server makes no documents on demand, so whoever asks for those alone gets none. What is shown and audited is the search's affair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions import search
from fhir_server.interactions.address import Address, Params
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import clock, ids, json
from fhir_server.model import bundles
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.search.kinds import date

_TYPE = "DocumentReference"

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "DocumentReference-docref",
    "url": "http://hl7.org/fhir/us/core/OperationDefinition/docref",
    "name": "USCoreFetchDocumentReference",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "docref",
    "resource": [_TYPE],
    "system": False,
    "type": True,
    "instance": False,
    "parameter": [
        {"name": "patient", "use": "in", "min": 1, "max": "1", "type": "id", "documentation": "Id of the Patient."},
        {"name": "start", "use": "in", "min": 0, "max": "1", "type": "dateTime", "documentation": "Of care."},
        {"name": "end", "use": "in", "min": 0, "max": "1", "type": "dateTime", "documentation": "Of care."},
        {"name": "type", "use": "in", "min": 0, "max": "1", "type": "CodeableConcept", "documentation": "By GET: system|code."},
        {"name": "on-demand", "use": "in", "min": 0, "max": "1", "type": "boolean", "documentation": "Only those: none here."},
        {"name": "profile", "use": "in", "min": 0, "max": "*", "type": "canonical", "documentation": "Any of: meta.profile."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST DocumentReference/$docref`."""
    tokens = [("type", text) for name, text in call.params if name == "type"]
    plain = replace(call, params=[pair for pair in call.params if pair[0] != "type"])
    given = read_parameters(DEFINITION, plain)
    tokens += [("type", _token(value)) for value in given.get("type", ())]
    if len(tokens) > 1:
        raise BadRequest("The parameter type may be given 1 time(s) at most.", "parameter-repeated")
    if given.get("on-demand") == [True]:
        return await _none(ctx)
    _check_order(given)
    params: Params = [("patient", str(given["patient"][0]).removeprefix("Patient/")), ("status", "current"), *tokens]
    params += [("period", f"ge{value}") for value in given.get("start", ())]
    params += [("period", f"le{value}") for value in given.get("end", ())]
    if given.get("profile"):
        params.append(("_profile", ",".join(given["profile"])))
    newest = not (given.get("start") or given.get("end"))
    params += [("_sort", "-date"), ("_count", "1")] if newest else []
    found = await search.search(
        ctx, replace(call, method="GET", address=Address("type", _TYPE), params=params, body=b"")
    )
    return _alone(found) if newest else found


def _check_order(given: Given) -> None:
    """Raise BadRequest when the time of care ends before it starts."""
    if "start" not in given or "end" not in given:
        return
    try:
        first, last = (date.parse(given[name][0]) for name in ("start", "end"))
    except ValueError:
        return  # the search says what is no date
    if last.hi <= first.lo:
        raise BadRequest("The parameter end is before start: no care is of that time.", "docref-period", "end")


def _token(value: Any) -> str:
    """Return a CodeableConcept, a Coding or text as a search would have it."""
    if isinstance(value, str):
        return value
    codings = value.get("coding", [value]) if isinstance(value, dict) else []
    said = [f"{coding['system']}|{coding['code']}" for coding in codings if {"system", "code"} <= coding.keys()]
    if not said:
        raise BadRequest("The parameter type needs a coding with system and code.", "parameter-value", "type")
    return ",".join(said)


def _alone(found: Result) -> Result:
    """Return the newest document without the way to older ones."""
    bundle = json.decode_trusted(found.body)
    entries = bundle.get("entry", [])
    bundle["link"] = [link for link in bundle.get("link", []) if link["relation"] == "self"]
    bundle["total"] = sum(1 for entry in entries if entry.get("search", {}).get("mode") == "match")
    found.body = json.encode(bundle)
    return found


async def _none(ctx: RequestContext) -> Result:
    await policy.visibility(ctx, _TYPE, "search-type")
    body = bundles.bundle("searchset", [], id_=ids.uuid_(), moment=clock.now(), total=0)
    return Result(200, body, audit=[audit_row(ctx, "operation", 200, type=_TYPE)])
