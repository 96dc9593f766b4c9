"""EHR launch: handles that an app echoes, and what they stand for (SMART App Launch 2.2 "Launch App: EHR Launch").

A handle is random, holds for five minutes, is bound to one app and perhaps to one person, and is used up by the decision that
ends its flow. What it opens is checked again under the rights of the person who signs in.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from fhir_server.auth import clients
from fhir_server.auth.clients import Client
from fhir_server.auth.flow.asked import Asked
from fhir_server.auth.flow.authorizations import opened, sealed
from fhir_server.auth.flow.state import Flow
from fhir_server.kit import clock, json
from fhir_server.model.references import Local, parse_reference
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

SECONDS: Final = 300
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_HANDLE = re.compile(r"[A-Za-z0-9_-]{43}")
_MAX_CONTEXT = 20
_MAX_BYTES = 8000
"""A flow carries its context from page to page (`state.MAX_SEALED`)."""
_KINDS: Final[dict[str, type]] = {"reference": str, "canonical": str, "identifier": dict, "type": str, "role": str}
_INSERT = """
INSERT INTO {s}.oauth_launch (digest, client_id, person, context, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
_FIND = "SELECT client_id, person, context, expires_at > $2 AND used_at IS NULL AS holds FROM {s}.oauth_launch WHERE digest = $1"
_USE = "UPDATE {s}.oauth_launch SET used_at = $2 WHERE digest = $1 AND used_at IS NULL RETURNING true"


class LaunchError(ValueError):
    """A launch that does not hold, or cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that was made: the handle, and the address at which the app is opened."""

    handle: str
    url: str | None


def _digest(handle: str) -> bytes:
    return sha256(handle.encode()).digest()


async def make(tenant: Tenant, asked: Mapping[str, Any], *, person: str | None) -> Launch:
    """Make a handle for `client_id` with what else is asked; LaunchError says what is wrong. `person`: for whom alone it is."""
    client_id = asked.get("client_id")
    client = await clients.get(tenant, client_id, fresh=True) if isinstance(client_id, str) else None
    if client is None or not client.redirect_uris:
        raise LaunchError("client_id must be that of a registered app with a redirect URI")
    handle, context = secrets.token_urlsafe(32), _context(tenant, asked)
    digest, now = _digest(handle), clock.now()
    data = sealed(tenant, digest.hex(), context)
    await tenant.pool.execute(
        tenant.sql(_INSERT), digest, client.client_id, person, data, now + timedelta(seconds=SECONDS)
    )
    return Launch(handle, _url(tenant, client, handle))


def _url(tenant: Tenant, client: Client, handle: str) -> str | None:
    if client.launch_url is None:
        return None
    query = urlencode({"iss": tenant.base, "launch": handle}, quote_via=quote)
    return client.launch_url + ("&" if "?" in client.launch_url else "?") + query


# ---- what may stand in a context ----


def _context(tenant: Tenant, asked: Mapping[str, Any]) -> dict[str, Any]:
    unknown = asked.keys() - {
        "client_id",
        "patient",
        "encounter",
        "fhirContext",
        "intent",
        "need_patient_banner",
        "user",
    }
    if unknown:
        raise LaunchError(f"a launch has no {sorted(unknown)[0][:40]}")
    made: dict[str, Any] = {}
    for name in ("patient", "encounter"):
        if (value := asked.get(name)) is not None:
            if not isinstance(value, str) or not _ID.fullmatch(value):
                raise LaunchError(f"{name} is a bare id")
            made[name] = value
    if "encounter" in made and "patient" not in made:
        raise LaunchError("encounter needs its patient")
    if (banner := asked.get("need_patient_banner")) is not None:
        made["need_patient_banner"] = _typed(banner, bool, "need_patient_banner is true or false")
    if (intent := asked.get("intent")) is not None:
        made["intent"] = _typed(intent, str, "intent is a string")[:200]
    if (others := asked.get("fhirContext")) is not None:
        made["fhirContext"] = _others(tenant, others)
    if len(json.encode(made)) > _MAX_BYTES:
        raise LaunchError(f"a launch context has {_MAX_BYTES} bytes at most; refer to what is larger")
    return made


def _typed(value: Any, kind: type, text: str) -> Any:
    if not isinstance(value, kind):
        raise LaunchError(text)
    return value


def _others(tenant: Tenant, given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list) or len(given) > _MAX_CONTEXT:
        raise LaunchError(f"fhirContext is an array of {_MAX_CONTEXT} objects at most")
    return [_other(tenant, each) for each in given]


def _other(tenant: Tenant, given: Any) -> dict[str, Any]:
    """Return one item of fhirContext, as SMART has it."""
    if not isinstance(given, dict) or not given.keys() & {"reference", "canonical", "identifier"}:
        raise LaunchError("each item of fhirContext is an object with reference, canonical or identifier")
    if given.keys() - _KINDS.keys():
        raise LaunchError("an item of fhirContext has reference, canonical, identifier, type and role only")
    if wrong := [name for name, value in given.items() if not isinstance(value, _KINDS[name])]:
        kind = "an object" if _KINDS[wrong[0]] is dict else "a string"
        raise LaunchError(f"{wrong[0]} in fhirContext is {kind}")
    if not R4.is_type(given.get("type", "Patient")):
        raise LaunchError("type in fhirContext is a resource type")
    role = given.get("role", "launch")
    if not (role == "launch" or (":" in role and not role.startswith(":"))):
        raise LaunchError("role in fhirContext is launch or an absolute URI")
    if "reference" in given:
        parsed = parse_reference(given["reference"], tenant.base)
        if not isinstance(parsed, Local):
            raise LaunchError("reference in fhirContext is relative, as in ImagingStudy/123")
        if parsed.type in ("Patient", "Encounter") and role == "launch":
            raise LaunchError("Patient and Encounter stand in patient and encounter, not in fhirContext")
        return {**given, "reference": str(parsed)}
    return dict(given)


# ---- opening ----


async def open_for(tenant: Tenant, flow: Flow, asked: Asked) -> Flow:
    """Return the flow with the context of its launch; LaunchError when the handle does not hold for this app."""
    if "launch" not in asked.special and flow.launch is None:
        return flow
    if flow.launch is None:
        raise LaunchError(
            "The scope launch needs the parameter launch, as the EHR gave it; standalone apps ask launch/patient."
        )
    if "launch" not in asked.special:
        raise LaunchError("The parameter launch needs the scope launch, which the client must be registered for.")
    row = await _row(tenant, flow.launch)
    if row is None or row["client_id"] != flow.client_id or not row["holds"]:
        raise LaunchError(
            "The launch is unknown, was used, has run out, or was made for another app: open the app again."
        )
    context = opened(tenant, _digest(flow.launch).hex(), row["context"])
    return msgspec.structs.replace(
        flow, context=context, patient=context.get("patient"), encounter=context.get("encounter")
    )


async def _row(tenant: Tenant, handle: str) -> Any:
    if not _HANDLE.fullmatch(handle):
        return None
    return await tenant.pool.fetchrow(tenant.sql(_FIND), _digest(handle), clock.now())


async def is_for(tenant: Tenant, flow: Flow, person: str) -> bool:
    """Tell whether the launch of a flow, if it has one, may be used by this person."""
    row = await _row(tenant, flow.launch) if flow.launch else None
    return row is None or row["person"] in (None, person)


async def use(connection: Any, tenant: Tenant, flow: Flow) -> bool:
    """Use the launch of a flow up; False when that was done before. Within the transaction that decides."""
    if flow.launch is None:
        return True
    return bool(await connection.fetchval(tenant.sql(_USE), _digest(flow.launch), clock.now()))
