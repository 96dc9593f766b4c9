"""The FHIR endpoint: who may come in, what discovery says, and that every answer says who it is for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import httpx
import pytest

from fhir_server.app import create_app
from fhir_server.http import health
from fhir_server.http.routes import is_fhir
from fhir_server.http.services import Services
from fhir_server.operations.registry import OPERATIONS
from fhir_server.settings import Settings
from fhir_server.storage.blobs.stores import BlobMissing, StoreAway
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4
from tests.http.client import Caller, caller, entry, observation


@pytest.mark.parametrize(
    ("path", "fhir"),
    [
        ("/fhir", True),
        ("/fhir/Patient/1", True),
        ("/t/second/fhir", True),
        ("/t/second/fhir/Patient", True),
        ("/fhir/.well-known/smart-configuration", False),
        ("/t/second/fhir/.well-known/smart-configuration", False),
        ("/fhirx", False),
        ("/oauth2/token", False),
        ("/t/second/oauth2/token", False),
        ("/health/live", False),
    ],
)
def test_which_paths_are_fhir(path: str, *, fhir: bool) -> None:
    assert is_fhir(path) is fhir


@pytest.mark.parametrize(
    "path", ["", "Patient", "Patient/1", "Patient/1/_history", "_history", "Nonsense", "Patient/$validate"]
)
async def test_nothing_is_anonymous(http: httpx.AsyncClient, tenant: Tenant, path: str) -> None:
    answer = await (await caller(http, tenant, None)).get(path)
    assert (answer.status, answer.json["resourceType"]) == (401, "OperationOutcome")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_holds_for_its_tenant_only(http: httpx.AsyncClient, tenants: dict[str, Tenant]) -> None:
    one = await caller(http, tenants["default"])
    elsewhere = await one.get(f"{tenants['second'].base}/Patient/1")
    assert elsewhere.status == 401
    assert (await one.get("http://clarity.test/t/nowhere/fhir/Patient/1")).status == 404


async def test_metadata_is_open_valid_and_true(http: httpx.AsyncClient, tenant: Tenant, system: Caller) -> None:
    answer = await (await caller(http, tenant, None)).get("metadata")
    assert answer.status == 200
    statement = answer.json
    assert statement["implementation"]["url"] == tenant.base
    rest = statement["rest"][0]
    assert [each["type"] for each in rest["resource"]] == list(R4.types)
    checked = await system.post("CapabilityStatement/$validate", statement)
    assert [each["severity"] for each in checked.json["issue"]] == ["information"], checked.text
    stored = await system.post("CapabilityStatement", statement)
    assert stored.status == 201
    for each in rest["resource"]:
        for operation in each.get("operation", []):
            assert operation["name"] in {served.definition["code"] for served in OPERATIONS}


WITHOUT_MISSING = {"_text", "_content", "_filter", "_list"}
"""They ask about the resource as a whole."""


async def test_every_promised_search_parameter_is_served(system: Caller) -> None:
    """One request for each of the parameters, asked only whether the value is missing: none is refused."""
    statement = (await system.get("metadata")).json
    refused = []
    for each in statement["rest"][0]["resource"]:
        if each["type"] == "AuditEvent":
            continue
        query = "&".join(
            f"{param['name']}:missing=true"
            for param in each["searchParam"]
            if param["type"] != "composite" and param["name"] not in WITHOUT_MISSING
        )
        answer = await system.get(f"{each['type']}?_count=1&{query}")
        if answer.status != 200:
            refused.append((each["type"], answer.text))
    assert not refused


async def test_request_ids(system: Caller) -> None:
    told = await system.get("Patient/none-such", x_request_id="mine-1")
    assert told.headers["x-request-id"] == "mine-1"
    for harmful in ("a b", "x" * 65, "<script>"):
        own = await system.get("Patient/none-such", x_request_id=harmful)
        assert own.headers["x-request-id"] != harmful


async def test_pretty_and_format(system: Caller) -> None:
    made = await system.post("Observation", observation())
    pretty = await system.get(f"Observation/{made.id}?_pretty=true&_format=json", accept="text/turtle")
    assert pretty.status == 200
    assert pretty.text.count("\n") > 5
    assert pretty.json == made.json


async def test_an_unforeseen_error_tells_the_request_id_and_nothing_else(
    system: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ValueError("a secret about a patient")

    monkeypatch.setattr("fhir_server.storage.reads.read", fail)
    answer = await system.get("Patient/1", x_request_id="find-me")
    assert answer.status == 500
    assert "find-me" in answer.text
    assert "secret" not in answer.text
    bundled = await system.transaction(entry("GET", "Patient/1"), kind="batch")
    assert bundled.json["entry"][0]["response"]["status"].startswith("500")
    assert "secret" not in bundled.text


async def test_a_database_that_is_away_is_503(system: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise asyncpg.CannotConnectNowError("starting up")

    monkeypatch.setattr("fhir_server.storage.reads.read", fail)
    answer = await system.get("Patient/1")
    assert (answer.status, answer.issue, answer.headers["retry-after"]) == (503, "database-unavailable", "2")


async def test_the_application_opens_and_closes_its_parts(database_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = Settings(environment="test", data=tmp_path, database_url=database_url, redis_url=redis_url)
    app = create_app(settings)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        ready = await http.get("http://127.0.0.1:8000/health/ready")
        assert (ready.status_code, ready.json()["status"], ready.json()["redis"]) == (200, "ready", "ok")
        assert (await http.get("http://127.0.0.1:8000/fhir/metadata")).status_code == 200


async def test_health(http: httpx.AsyncClient) -> None:
    assert (await http.get("http://clarity.test/health/live")).status_code == 200
    ready = await http.get("http://clarity.test/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["database"] == "ok"
    metrics = await http.get("http://clarity.test/metrics")
    assert "clarity_request_seconds" in metrics.text


async def test_openapi(http: httpx.AsyncClient) -> None:
    document = (await http.get("http://clarity.test/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    assert {"get", "put", "patch", "delete", "parameters"} == set(document["paths"]["/{type}/{id}"])
    assert "/{type}/$validate" in document["paths"]
    assert {"code", "date", "subject"} <= {
        each["name"] for each in document["paths"]["/Observation"]["get"]["parameters"]
    }


async def test_discovery_and_unknown_addresses(http: httpx.AsyncClient, tenant: Tenant) -> None:
    found = await http.get(f"{tenant.base}/.well-known/smart-configuration")
    assert (found.status_code, found.json()["token_endpoint"]) == (
        200,
        tenant.base.removesuffix("/fhir") + "/oauth2/token",
    )
    assert (await http.get("http://clarity.test/t/nowhere/fhir/.well-known/smart-configuration")).status_code == 404
    assert (await http.get("http://clarity.test/nowhere")).status_code == 404


async def test_one_slash_at_the_end_means_nothing(system: Caller) -> None:
    at = f"{system.tenant.base}/Observation"
    made = await system.post(f"{at}/", observation())
    assert made.status == 201
    assert (await system.get(f"{at}/?_id={made.id}")).json["total"] == 1
    assert (await system.get(f"{at}/{made.id}/")).id == made.id
    assert (await system.get(f"{at}/{made.id}//")).status == 404


class _S3:
    """A store that answers one thing."""

    def __init__(self, answer: Exception) -> None:
        self.answer = answer

    async def part(self, name: str, start: int, length: int) -> bytes:
        raise self.answer


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (BlobMissing("a blob is not in its bucket"), "ready", "ok"),
        (StoreAway("S3 answers NoSuchBucket"), "degraded", "cannot be used (S3 answers NoSuchBucket)"),
    ],
)
async def test_ready_tells_of_s3_where_blobs_are_there(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, answer: Exception, status: str, told: str
) -> None:
    monkeypatch.setattr(tenant, "blobs", _S3(answer))
    redis: Any = SimpleNamespace(ping=AsyncMock())
    settings = services.settings.model_copy(update={"s3_bucket": "b"})
    found = await health.ready(Services(settings, services.pool, {tenant.name: tenant}, redis=redis))
    body = json.loads(bytes(found.body))
    assert (found.status_code, body["status"], body["blobs"]) == (200, status, told)
    folder = await health.ready(Services(services.settings, services.pool, {tenant.name: tenant}, redis=redis))
    assert "blobs" not in json.loads(bytes(folder.body))
