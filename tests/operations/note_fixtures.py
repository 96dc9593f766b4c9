"""For tests of notes over HTTP: a small patient, people who care for them, drafts made as a worker makes them."""

from __future__ import annotations

import base64
from typing import Any

import httpx

from fhir_server.auth import care, clients
from fhir_server.auth.launch_scopes import split
from fhir_server.auth.people import accounts
from fhir_server.auth.tokens import issue, mint
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, jobs
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller
from workers.jobs import asynchronous
from workers.jobs.runner import LEASE

Json = dict[str, Any]
DAYS = "since=2026-06-01&until=2026-06-30"


async def work(tenant: Tenant, settings: Settings) -> None:
    """Do what waits, as a worker does."""
    while claimed := await jobs.claim(tenant, [async_jobs.QUEUE], LEASE):
        await asynchronous.run(tenant, claimed[0], settings)
        await jobs.finish(tenant.pool, tenant, claimed[0])


async def drafted(client: Caller, settings: Settings, who: str, query: str) -> tuple[str, Any]:
    """Return the status of the answer and what it is."""
    kicked = await client.post(f"Patient/{who}/$draft-note?{query}", None)
    assert kicked.status == 202, kicked.text
    await work(client.tenant, settings)
    done = await client.get(kicked.headers["content-location"])
    [entry] = done.json["entry"]
    return entry["response"]["status"], entry.get("resource") or entry["response"]["outcome"]


def text(note: Any) -> str:
    return base64.b64decode(note["content"][0]["attachment"]["data"]).decode()


async def doctor(http: httpx.AsyncClient, tenant: Tenant, id_: str, scope: str = "user/*.cruds") -> Caller:
    """Return a client in the name of a practitioner, whose relations are asked for anew."""
    care.forget(tenant, f"Practitioner/{id_}")
    return Caller(http, tenant, await mint(tenant, scope, user=f"Practitioner/{id_}"))


async def psychiatrist(http: httpx.AsyncClient, tenant: Tenant, id_: str) -> Caller:
    """Return an app in which a psychiatrist with an account signed in: their role clears them for all but psychotherapy notes."""
    who = f"Practitioner/{id_}"
    care.forget(tenant, who)
    await accounts.add(tenant, login=id_, password="correct horse battery", roles=["psychiatrist"], fhir_user=who)
    app, _ = await clients.add(
        tenant, name=id_, scope="user/*.cruds", public=True, redirect_uris=["http://localhost:3000/callback"]
    )
    scopes, _, _ = split("user/*.cruds")
    return Caller(http, tenant, (await issue(tenant, app.client_id, scopes, seconds=3600, user=who)).text)


async def patient(system: Caller, id_: str, *doctors: str) -> None:
    """Write a patient with two scores, lithium and a diagnosis, in the care of some practitioners."""
    for each in doctors:
        await system.put(f"Practitioner/{each}", {"resourceType": "Practitioner", "id": each})
    subject = {"reference": f"Patient/{id_}"}
    who: Json = {"resourceType": "Patient", "id": id_, "name": [{"family": "Quillfeather", "given": ["Oriane"]}]}
    if doctors:
        who["generalPractitioner"] = [{"reference": f"Practitioner/{each}"} for each in doctors]
    dosage = [{"text": "900 mg once a day", "doseAndRate": [{"doseQuantity": {"value": 900, "unit": "mg"}}]}]
    phq9 = {"coding": [{"system": "http://loinc.org", "code": "44261-6", "display": "PHQ-9 total score"}]}
    resources: list[Json] = [
        who,
        *({"resourceType": "Observation", "id": f"{id_}-{day[-2:]}", "status": "final", "subject": subject, "code": phq9,
           "effectiveDateTime": day, "valueQuantity": {"value": total, "unit": "{score}"}}
          for day, total in (("2026-06-05", 9), ("2026-06-19", 14))),
        {"resourceType": "MedicationStatement", "id": f"{id_}-m", "status": "active", "subject": subject, "dosage": dosage,
         "medicationCodeableConcept": {"text": "lithium"}, "effectivePeriod": {"start": "2026-06-04"}},
        {"resourceType": "Condition", "id": f"{id_}-c", "subject": subject, "code": {"text": "Bipolar disorder"},
         "recordedDate": "2024-02-01"},
    ]  # fmt: skip
    for resource in resources:
        answer = await system.put(f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status in (200, 201), answer.text
