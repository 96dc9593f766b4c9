"""Writing what this room does into the record: the resource, who did it (Provenance, a software Device), in one commit."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from fhir_server.audit.record import audit_row
from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.kit import clock, ids, json, version
from fhir_server.storage import reads
from fhir_server.storage.commands import PUT
from fhir_server.storage.commit import commit
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych.codes import SNOMED, profile

Resource = dict[str, Any]
DEVICE: Final = "clarity-messages-1"
_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_TYPES: Final = ("Provenance", "Device")


def hashed(kind: str, *parts: str) -> str:
    """Return an id that follows from what it is about."""
    digest = hashlib.sha256("\x1f".join((kind, *parts)).encode()).digest()
    return f"{kind}-{base64.b32encode(digest[:19]).decode().rstrip('=').lower()}"


async def write(tenant: Tenant, resource: Resource, current: Stored | None, origin: int, base: str) -> None:
    """Make a resource the next version of `current`, explained by a Provenance; VersionConflict when it is overtaken."""
    type_, id_ = resource["resourceType"], resource["id"]
    number = current.version + 1 if current else 1
    made = provenance(f"{type_}/{id_}/_history/{number}", hashed("messages", type_, id_))
    names = [("Provenance", made["id"]), ("Device", DEVICE)]
    there = await reads.read_many(tenant, names, dict.fromkeys(_TYPES, EVERYTHING))
    changes = [commands.build(tenant, resource, id_, current=current, http_method=PUT, origin=origin)]
    changes.append(
        commands.build(tenant, made, made["id"], current=there.get(names[0]), http_method=PUT, origin=origin)
    )
    if names[1] not in there:
        changes.append(commands.build(tenant, device(base), DEVICE, http_method=PUT, origin=origin))
    ctx = RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)
    rows = [audit_row(ctx, each.method, 200 if each.expected else 201, type=each.type) for each in changes]
    await commit(tenant, changes, rows)


def provenance(target: str, id_: str) -> Resource:
    """Return who wrote a version, and when."""
    kind = {"coding": [{"system": _PARTICIPANT, "code": "assembler", "display": "Assembler"}]}
    return {
        "resourceType": "Provenance",
        "id": id_,
        "target": [{"reference": target}],
        "recorded": clock.instant(clock.now()),
        "agent": [{"type": kind, "who": {"reference": f"Device/{DEVICE}"}}],
    }


def device(base: str) -> Resource:
    """Return the software that sends messages."""
    return {
        "resourceType": "Device",
        "id": DEVICE,
        "meta": {"profile": [profile("software-device", base)]},
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": DEVICE}],
        "deviceName": [{"name": "Clarity messages", "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "version": [{"type": {"text": "code"}, "value": version.VERSION}],
    }


def decoded(stored: Stored) -> Resource:
    """Return what a version says."""
    found: Resource = json.decode_trusted(stored.body)
    return found
