"""`./clarity ingest`: files into a tenant through the server's own operation; the report, and a second run that changes nothing."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest

from fhir_server.app import application
from fhir_server.cli import ingest
from fhir_server.cli.loading import sender
from fhir_server.http.services import Services
from fhir_server.storage import backlog
from fhir_server.storage.tenants import Tenant
from tests.http.client import caller
from tests.rest_fixtures import http, services
from tests.workers.ingest.test_files import MAPPING, fit_file
from workers.ingest import files, table

__all__ = ["http", "services"]


@pytest.fixture(autouse=True)
def no_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have left in the shared outbox is no reason to wait."""

    async def nothing(_: Tenant) -> float:
        return 0.0

    monkeypatch.setattr(backlog, "age", nothing)


@pytest.fixture
def inside(services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of the command go to the application in this process, its tenant is the test's."""
    transport = httpx.ASGITransport(app=application(services))
    plain = httpx.AsyncClient

    def client(**_: Any) -> httpx.AsyncClient:
        return plain(transport=transport)

    class Opened:
        async def __aenter__(self) -> Tenant:
            return tenant

        async def __aexit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(sender.httpx, "AsyncClient", client)
    monkeypatch.setattr(ingest, "opened", lambda *_: Opened())
    monkeypatch.setattr(ingest, "nearest", lambda _, base: base)


async def send(services: Services, rows: Any, patient: str | None) -> ingest.Report:
    return await ingest.send_rows(services.settings, "default", rows, patient, lambda: None)


@pytest.mark.usefixtures("inside")
async def test_a_file_goes_in_once(http: httpx.AsyncClient, services: Services, tenant: Tenant, unique: str) -> None:
    client = await caller(http, tenant)
    await client.put(f"Patient/{unique}", {"resourceType": "Patient", "id": unique})
    first = await send(services, files.read(io.BytesIO(fit_file()), None), unique)
    assert first.counts == {"created": 6, "updated": 0, "unchanged": 0, "outdone": 0, "refused": 0}
    again = await send(services, files.read(io.BytesIO(fit_file()), None), unique)
    assert again.counts["unchanged"] == 6
    assert again.counts["created"] == again.counts["updated"] == 0
    found = (await client.get(f"Observation?patient={unique}&code=8867-4")).json["entry"][0]["resource"]
    assert found["valueSampledData"]["data"].split()[480:484] == ["100", "101", "102", "E"]
    device = (await client.get(found["device"]["reference"])).json
    assert (device["manufacturer"], device["serialNumber"]) == ("garmin", "12345")


@pytest.mark.usefixtures("inside")
async def test_what_cannot_be_used_is_counted_with_its_place(
    http: httpx.AsyncClient, services: Services, tenant: Tenant, unique: str
) -> None:
    client = await caller(http, tenant)
    await client.put(f"Patient/{unique}", {"resourceType": "Patient", "id": unique})
    content = b"when,counts,pulse\n05.01.2026 08:00,12,61\n05.01.2026 08:01,x,\n05.01.2099 08:00,1,\n"
    report = await send(services, files.read(io.BytesIO(content), None, by=table.mapping(MAPPING)), unique)
    assert report.counts["created"] == 2
    assert report.wrong == {"number": 1, "time-ahead": 1}
    decimals = "It is a number with '.' before its decimals (the mapping's `decimal`) and without marks of thousands."
    assert report.places == [f"line 3.counts: {decimals}"]


@pytest.mark.usefixtures("inside")
async def test_a_patient_that_is_not_there_is_said(services: Services, unique: str) -> None:
    with pytest.raises(ingest.Refused, match="There is no such resource"):
        await send(services, files.read(io.BytesIO(fit_file()), None), unique)
