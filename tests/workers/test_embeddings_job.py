"""Weeks as numbers are part of the twin's job: written with model and provenance, corrected, withdrawn, never in its way."""

from __future__ import annotations

from datetime import date

import pytest

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.workers.test_twin_job import put, renamed, work, written
from workers.demo.generate import generate
from workers.jobs import embeddings
from workers.ml.registry import shelf
from workers.ml.registry.formats import CheckpointRefused
from workers.ml.serve.embedding import vector
from workers.twin.ids import provenance_id

DAYS, END = 17, date(2026, 6, 28)
"""Two calendar weeks and a few days before."""


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


def lived(unique: str) -> list[dict]:
    """Return a patient and the days of an actigraph."""
    found = [e["resource"] for b in generate(7, 2, DAYS, end=END) for e in b["entry"]]
    patient = next(r for r in found if r["id"] == "demo-002")
    days = [r for r in found if r["id"].startswith("demo-002-actigraph-activity-counts")]
    return renamed([patient, *days], unique)


async def stored(tenant: Tenant, type_: str, id_: str) -> dict:
    row = await reads.read(tenant, type_, id_, EVERYTHING)
    assert row is not None
    return json.decode_trusted(row.body)


def weeks(found: dict[str, dict]) -> list[dict]:
    made = [
        r for r in found.values() if r["resourceType"] == "Observation" and "actigraphy-embedding" in str(r["code"])
    ]
    return sorted(made, key=lambda r: r["effectivePeriod"]["start"])


async def test_weeks_become_numbers_and_change_with_their_days(tenant: Tenant, settings: Settings, unique: str) -> None:
    patient, *days = lived(unique)
    await put(tenant, [patient, *days])
    await work(tenant, settings)
    found = await written(tenant, unique)
    first, second = weeks(found)[-2:]
    assert second["effectivePeriod"]["start"].startswith("2026-06-22")
    assert vector(first) is not None
    assert vector(second) is None, "the actigraph lay on the table for a day's third of that week"
    assert second["dataAbsentReason"]["coding"][0]["code"] == "too-little-coverage"
    for made in (first, second):
        told = await stored(tenant, "Provenance", provenance_id(f"Observation/{made['id']}"))
        assert told["agent"][0]["who"] == made["device"]
    device = await stored(tenant, *first["device"]["reference"].split("/"))
    card = await stored(tenant, *device["extension"][0]["extension"][0]["valueReference"]["reference"].split("/"))
    assert card["type"]["coding"][0]["code"] == "model-card"
    await put(tenant, days[:3])
    await work(tenant, settings)
    assert await written(tenant, unique) == found, "the same again is nothing new"
    last = next(d for d in days if d["effectivePeriod"]["start"].startswith("2026-06-17"))
    await put(tenant, [last | {"status": "entered-in-error"}])
    await work(tenant, settings)
    without = weeks(await written(tenant, unique))
    assert without[-1] == second
    assert without[-2]["id"] == first["id"]
    assert without[-2]["dataAbsentReason"]["coding"][0]["code"] == "too-little-coverage"
    await put(tenant, [d | {"status": "entered-in-error"} for d in days])
    await work(tenant, settings)
    assert {r["status"] for r in weeks(await written(tenant, unique))} == {"entered-in-error"}


async def test_a_model_that_cannot_be_read_leaves_the_twin_as_it_is(
    tenant: Tenant, settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise CheckpointRefused("damaged")

    monkeypatch.setattr(shelf, "serving", refused)
    assert embeddings.opened(settings) is None
    patient, *days = lived(unique)
    await put(tenant, [patient, *days[-3:]])
    await work(tenant, settings)
    found = await written(tenant, unique)
    assert found
    assert not weeks(found)
