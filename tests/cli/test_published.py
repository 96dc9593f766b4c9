"""Our own conformance resources in a tenant: found, read, and written once only."""

from __future__ import annotations

import re

import httpx

from fhir_server.cli.published import artefacts_of
from fhir_server.interactions.publish import publish
from fhir_server.settings import ROOT
from fhir_server.storage.tenants import Tenant
from tests.http.client import caller
from tests.rest_fixtures import http, services

__all__ = ["http", "services"]
BASE = "https://published.example"
CANONICAL = "https://fhir.clarity.example"


async def test_they_are_read_and_searched_like_any_other(http: httpx.AsyncClient, tenant: Tenant) -> None:
    wanted = list(artefacts_of(BASE))
    await publish(tenant, wanted)
    assert await publish(tenant, artefacts_of(BASE)) == 0
    client = await caller(http, tenant)
    url = f"{BASE}/StructureDefinition/hrv-rmssd"
    found = (await client.get(f"StructureDefinition?url={url}")).json
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["hrv-rmssd"]
    one = (await client.get("StructureDefinition/hrv-rmssd")).json
    assert one["url"] == url
    assert one["meta"]["versionId"] == "1"
    assert (await client.get("Questionnaire/phq-9")).status == 200
    assert (await client.get("OperationDefinition/Patient-twin")).json["code"] == "twin"


async def test_the_capability_statement_names_the_profiles(http: httpx.AsyncClient, tenant: Tenant) -> None:
    stated = (await (await caller(http, tenant)).get("metadata")).json["rest"][0]["resource"]
    named = {url for each in stated for url in each.get("supportedProfile", ()) if url.startswith(CANONICAL)}
    made = [each for each in artefacts_of(CANONICAL) if each["resourceType"] == "StructureDefinition"]
    assert named == {each["url"] for each in made if each["kind"] == "resource"}
    by_type = {each["type"]: each.get("supportedProfile", []) for each in stated}
    assert all(each["url"] in by_type[each["type"]] for each in made if each["kind"] == "resource")


async def test_what_somebody_changed_is_put_right(http: httpx.AsyncClient, tenant: Tenant) -> None:
    await publish(tenant, artefacts_of(BASE))
    client = await caller(http, tenant)
    changed = (await client.get("ValueSet/sleep-stages")).json | {"status": "retired"}
    assert (await client.put("ValueSet/sleep-stages", changed)).status == 200
    assert await publish(tenant, artefacts_of(BASE)) == 1
    assert (await client.get("ValueSet/sleep-stages")).json["status"] == "active"


def test_every_code_system_that_is_written_is_published() -> None:
    named = {
        name
        for folder in ("fhir_server", "workers", "profiles")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\{(?:base|BASE)\}/CodeSystem/([a-z-]+)", file.read_text(encoding="utf-8"))
    }
    published = {each["id"]: each for each in artefacts_of(BASE) if each["resourceType"] == "CodeSystem"}
    assert named <= published.keys()
    assert {"note-section", "symptom"} <= named
    assert {c["code"] for c in published["note-section"]["concept"]} >= {"subjective", "plan", "risk", "method"}
