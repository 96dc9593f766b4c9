"""People and an app for a first start: a doctor, a patient and an administrator, with passwords made here."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import msgspec

from fhir_server.auth import clients
from fhir_server.auth.people import accounts
from fhir_server.cli.tenant import opened
from fhir_server.kit import json
from fhir_server.kit.files import write_once
from fhir_server.settings import Settings

APP: Final = "demo-launch"
REDIRECT_URIS: Final = ("http://localhost:3000/callback", "http://127.0.0.1:3000/callback")
_SCOPE = "launch launch/patient launch/encounter openid fhirUser profile offline_access online_access patient/*.cruds user/*.cruds"
PEOPLE: Final = (
    ("dr-demo", "Dr. Folake Adeyemi", "psychiatrist", "Practitioner/demo-practitioner-1"),
    ("patient-demo", "Demo patient", "patient", "Patient/demo-001"),
    ("admin-demo", "Administrator", "administrator", None),
)


class DemoUser(msgspec.Struct, frozen=True):
    """Somebody who can sign in on the demo; the password lies in the data folder, readable by its owner only."""

    login: str
    password: str
    role: str
    fhir_user: str | None = None


def prepare(settings: Settings) -> list[DemoUser]:
    """Make the demo people and the demo app unless an earlier start did; return the people."""
    kept = settings.data / "demo-users.json"
    if not kept.exists():
        made = asyncio.run(_make(settings))
        write_once(kept, json.encode(msgspec.to_builtins(made)))
    return msgspec.convert(json.decode_trusted(kept.read_bytes()), list[DemoUser])


async def _make(settings: Settings) -> list[DemoUser]:
    made = []
    async with opened(settings, settings.tenants[0]) as tenant:
        await clients.remove(tenant, APP)
        await clients.add(
            tenant, name="Demo app", scope=_SCOPE, client_id=APP, public=True, redirect_uris=REDIRECT_URIS
        )
        for login, name, role, fhir_user in PEOPLE:
            password = secrets.token_urlsafe(15)
            there = await accounts.find(tenant, login)
            if there is not None:
                await accounts.set_password(tenant, there, password)
            else:
                await accounts.add(tenant, login=login, password=password, roles=[role], name=name, fhir_user=fhir_user)
            made.append(DemoUser(login, password, role, fhir_user))
    return made
