"""An audit row as a FHIR AuditEvent, in the patterns of IHE Basic Audit Log Patterns 1.1.4 (R4)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fhir_server.audit.codes import BY_NUMBER, OTHER, Coding, Kind, outcome
from fhir_server.audit.names import event_id
from fhir_server.kit.clock import instant
from fhir_server.storage.ident import Name
from fhir_server.storage.tenants import Tenant

Json = dict[str, Any]

BALP_ENTITY: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"

BTG: Final = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "BTG", "break the glass")

NETWORK_IP: Final = "2"
NETWORK_URI: Final = "5"


@dataclass(frozen=True, slots=True)
class Line:
    """One audit row as an auditor sees it: numbers turned into names, the patient that this event is for chosen.

    `several` says that the row concerns other patients too; `detail` is None when the reader may not see it.
    """

    recorded: datetime
    id: int
    interaction: int
    status: int
    client_id: str | None
    person: str | None
    type: str | None
    entity: Name | None
    version: int | None
    patient: int | None
    patient_id: str | None
    several: bool
    request: str
    address: str | None
    detail: Json | None
    emergency: bool = False
    """It was done under emergency access to this patient's record."""


def _coding(coding: Coding) -> Json:
    system, code, display = coding
    return {"system": system, "code": code, "display": display}


def _concept(coding: Coding) -> Json:
    return {"coding": [_coding(coding)]}


def audit_event(tenant: Tenant, line: Line) -> Json:
    """Return the AuditEvent."""
    kind = BY_NUMBER.get(line.interaction, OTHER)
    event: Json = {
        "resourceType": "AuditEvent",
        "id": event_id(tenant, line.recorded, line.id, line.patient if line.several else None),
        "meta": {"versionId": "1", "lastUpdated": instant(line.recorded)},
        "type": _coding(kind.type),
        "subtype": [_coding(kind.code)],
        "action": kind.action,
        "recorded": instant(line.recorded),
        "outcome": outcome(line.status),
        "agent": _agents(tenant, kind, line),
        "source": _source(tenant),
    }
    if line.emergency:
        event["purposeOfEvent"] = [_concept(BTG)]
    if line.status >= 400:
        event["outcomeDesc"] = f"HTTP {line.status}"
    if entities := _entities(line):
        event["entity"] = entities
    return event


def _source(tenant: Tenant) -> Json:
    kind = (SOURCE_TYPE, "4", "Application Server")
    return {"site": tenant.name, "observer": {"display": "Clarity"}, "type": [_coding(kind)]}


def _agents(tenant: Tenant, kind: Kind, line: Line) -> list[Json]:
    """Return the client, the server and, when there is one, the person; the one who asked is the requestor."""
    if line.client_id:
        who: Json = {"identifier": {"system": f"{tenant.base}/oauth2/clients", "value": line.client_id}}
        who["display"] = line.client_id
    else:
        who = {"display": "not authenticated"}
    client: Json = {"type": _concept(kind.client), "who": who, "requestor": line.person is None}
    if line.address:
        client["network"] = {"address": line.address, "type": NETWORK_IP}
    server: Json = {
        "type": _concept(kind.server),
        "who": {"display": "Clarity"},
        "requestor": False,
        "network": {"address": tenant.base, "type": NETWORK_URI},
    }
    agents = [client, server]
    if line.person:
        agents.append({"type": _concept(kind.person), "who": _person(tenant, line.person), "requestor": True})
    if line.emergency:
        agents[-1]["purposeOfUse"] = [_concept(BTG)]
    return agents


def _person(tenant: Tenant, named: str) -> Json:
    """Return a person as a reference to their resource; by the id of the account who has none."""
    if "/" in named:
        return {"reference": named}
    return {"identifier": {"system": f"{tenant.base}/oauth2/people", "value": named}}


def _entity(type_: Coding, **rest: Any) -> Json:
    return {"type": _coding(type_)} | rest


def _entities(line: Line) -> list[Json]:
    found: list[Json] = []
    if line.entity is not None:
        reference = "/".join(line.entity) + (f"/_history/{line.version}" if line.version else "")
        role = _coding((OBJECT_ROLE, "4", "Domain Resource"))
        found.append(_entity((ENTITY_TYPE, "2", "System Object"), what={"reference": reference}, role=role))
    elif line.type is not None:
        role = _coding((OBJECT_ROLE, "4", "Domain Resource"))
        found.append(_entity((RESOURCE_TYPES, line.type, line.type), role=role))
    if line.detail is not None:
        found.append(_detail(line.detail))
    if line.patient_id is not None:
        role = _coding((OBJECT_ROLE, "1", "Patient"))
        what = {"reference": f"Patient/{line.patient_id}"}
        found.append(_entity((ENTITY_TYPE, "1", "Person"), what=what, role=role))
    if line.request:
        request = {"identifier": {"value": line.request}}
        found.append(_entity((BALP_ENTITY, "XrequestId", "X-Request-Id"), what=request))
    return found


def _detail(detail: Json) -> Json:
    """Return the query as BALP has it (the request base64, a readable text), or what a token event says of itself."""
    query = detail.get("query")
    if isinstance(query, str):
        entity = _entity((ENTITY_TYPE, "2", "System Object"), role=_coding((OBJECT_ROLE, "24", "Query")))
        return entity | {"description": query, "query": b64encode(query.encode()).decode()}
    role = _coding((OBJECT_ROLE, "20", "Job"))
    said = [{"type": str(name), "valueString": str(value)} for name, value in detail.items() if value]
    return _entity((ENTITY_TYPE, "2", "System Object"), role=role) | {"detail": said}
