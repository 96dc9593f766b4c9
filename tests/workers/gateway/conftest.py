"""A model on loopback, settings that name it, and a patient whose record holds people, places and kept-in resources."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fhir_server.interactions import commands
from fhir_server.settings import Settings
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.gateway_server import ModelServer, model_server
from workers.gateway import breaker, client

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelServer]:
    """A model of one's own; waits between tries are short."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    breaker._breakers.clear()
    async with model_server() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Any, model: ModelServer) -> Callable[..., Settings]:
    def made(**more: Any) -> Settings:
        given = {
            "environment": "test", "data": tmp_path, "openai_base_url": model.url, "openai_api_key": "sk-canary-key",
            "mentallama_model_mappings": {"clinical": "mentallama-33b", "default": "other"}, "openai_timeout_seconds": 20.0,
        }  # fmt: skip
        return Settings(**(given | more))

    return made


async def put(tenant: Tenant, *resources: dict[str, Any]) -> None:
    made = [commands.build(tenant, each, each["id"], origin=IMPORT) for each in resources]
    await commit(tenant, made, [])


def patient(id_: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": id_,
        "name": [{"family": "Vandermeulen", "given": ["Oriane", "Béatrix"]}],
        "birthDate": "1984-02-29",
        "telecom": [{"system": "phone", "value": "+1 617 555 0173"}, {"system": "email", "value": f"{id_}@mail.example.org"}],
        "address": [{"line": ["77 Quillfeather Lane"], "city": "Brackwater", "state": "MA", "postalCode": "02199"}],
        "identifier": [{"system": "urn:oid:1.2.3", "value": f"QX-{id_}"}],
        "contact": [{"name": {"family": "Okonkwo", "given": ["Tobenna"]}}],
    }  # fmt: skip


def note(id_: str, of: str, code: str | None = None, confidentiality: str | None = None) -> dict[str, Any]:
    security = [{"system": ACT, "code": code}] if code else []
    if confidentiality:
        security.append({"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": confidentiality})
    return {
        "resourceType": "DocumentReference", "id": id_, "status": "current", "subject": {"reference": f"Patient/{of}"},
        "author": [{"reference": f"Practitioner/{of}-doctor"}],
        "content": [{"attachment": {"contentType": "text/plain", "data": "bm90ZQ=="}}],
    } | ({"meta": {"security": security}} if security else {})  # fmt: skip


@pytest.fixture
async def record(tenant: Tenant, unique: str) -> str:
    """Return the id of a patient with a doctor, an employer of the doctor, and notes of several kinds."""
    await put(
        tenant,
        patient(unique),
        {"resourceType": "Organization", "id": f"{unique}-org", "name": "Thistledown Behavioral Clinic"},
        {
            "resourceType": "PractitionerRole", "id": f"{unique}-role",
            "practitioner": {"reference": f"Practitioner/{unique}-doctor"},
            "organization": {"reference": f"Organization/{unique}-org"},
        },
        {"resourceType": "Practitioner", "id": f"{unique}-doctor", "name": [{"family": "Abernethy-Kuroda", "given": ["Ilse"]}]},
        {
            "resourceType": "Encounter", "id": f"{unique}-visit", "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": f"Patient/{unique}"},
            "participant": [{"individual": {"reference": f"PractitionerRole/{unique}-role"}}],
        },
        note(f"{unique}-note", unique),
        note(f"{unique}-sud", unique, "SUD"),
        note(f"{unique}-psy", unique, "PSYTHPN"),
        note(f"{unique}-v", unique, confidentiality="V"),
    )  # fmt: skip
    return unique
