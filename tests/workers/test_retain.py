"""Old minutes folded into series by rule: nothing that the twin knows is lost, the minutes go, young and odd ones stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from fhir_server.storage import ident, reads
from fhir_server.storage.tenants import Tenant
from tests.workers.test_twin_job import put, work, written
from workers.ingest import neutral
from workers.ingest.observe import observation
from workers.ingest.sample import Sample
from workers.jobs import retain

Json = dict[str, Any]
START = datetime(2026, 3, 1, 6, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0, raw_minutes_days=30)  # type: ignore[call-arg]


def minute(who: str, i: int, value: int, **more: Any) -> Json:
    start = START + timedelta(minutes=i)
    given = {"type": "activity-counts", "start": start.isoformat(), "end": (start + timedelta(minutes=1)).isoformat(),
             "value": value, "device": {"name": "band"}} | more  # fmt: skip
    sample = neutral.read(given, "hub")
    assert isinstance(sample, Sample)
    return observation(who, sample)


def features(resources: dict[str, Json]) -> list[Any]:
    states = [each for each in resources.values() if each["resourceType"] == "Observation" and "component" in each]
    return sorted((each["effectivePeriod"]["start"], each["component"], each["extension"]) for each in states)


async def bodies(tenant: Tenant, who: str) -> dict[str, int]:
    """Return by the stem of the id how many Observations of a patient there are, and past versions of any kind."""
    rid = await ident.known_rid(tenant, "Patient", who)
    text = f"""SELECT split_part(fhir_id, '-', 1) AS kind, count(*) AS n FROM {tenant.schema}.resource
    WHERE $1 = ANY(patients) AND NOT deleted GROUP BY 1"""
    found = {row["kind"]: row["n"] for row in await tenant.pool.fetch(text, rid)}
    past = f"SELECT count(*) FROM {tenant.schema}.history WHERE $1 = ANY(patients)"
    return {kind: found.get(kind, 0) for kind in ("in", "min")} | {"past": await tenant.pool.fetchval(past, rid)}


async def test_the_twin_stays_and_the_minutes_go(tenant: Tenant, settings: Settings, unique: str) -> None:
    values = [(7 * i) % 301 for i in range(1500)]
    raw = [minute(unique, i, value) for i, value in enumerate(values)]
    odd = minute(unique, 2000, 5) | {"note": [{"text": "odd"}]}
    await put(tenant, [{"resourceType": "Patient", "id": unique}, *raw, odd])
    await work(tenant, settings)
    before = features(await written(tenant, unique))
    assert before
    assert not await retain.retain(tenant, settings)
    assert await bodies(tenant, unique) == {"in": 1, "min": 2, "past": 0}, "two local days, the odd one stays"
    await work(tenant, settings)
    assert features(await written(tenant, unique)) == before
    await retain.retain(tenant, settings)
    assert (await bodies(tenant, unique))["min"] == 2


async def test_a_correction_that_comes_after_goes_in(tenant: Tenant, settings: Settings, unique: str) -> None:
    await put(tenant, [{"resourceType": "Patient", "id": unique}, *(minute(unique, i, 10) for i in range(60))])
    await work(tenant, settings)
    await retain.retain(tenant, settings)
    late = [minute(unique, i, 90, issued="2026-04-01T00:00:00Z") for i in range(40)]
    await put(tenant, late)
    await work(tenant, settings)
    await retain.retain(tenant, settings)
    await work(tenant, settings)
    [series] = [each for each in await observations(tenant, unique) if each["id"].startswith("min-")]
    known = [token for token in series["valueSampledData"]["data"].split() if token != "E"]
    assert known == ["90"] * 40 + ["10"] * 20
    assert series["issued"] == "2026-04-01T00:00:00Z"


async def observations(tenant: Tenant, who: str) -> list[Json]:
    rid = await ident.known_rid(tenant, "Patient", who)
    text = f"SELECT rid FROM {tenant.schema}.resource WHERE $1 = ANY(patients) AND NOT deleted"
    rows = await tenant.pool.fetch(text, rid)
    return [json.decode_trusted(each.body) for each in await reads.fetch(tenant, [row["rid"] for row in rows])]


async def test_by_default_and_while_young_everything_is_kept(tenant: Tenant, settings: Settings, unique: str) -> None:
    now = clock.now().replace(second=0, microsecond=0)
    young = [minute(unique, i, 3) for i in range(60)]
    for i, each in enumerate(young):
        start = now - timedelta(days=2) + timedelta(minutes=i)
        each["effectivePeriod"] = {"start": start.isoformat(), "end": (start + timedelta(minutes=1)).isoformat()}
    await put(tenant, [{"resourceType": "Patient", "id": unique}, *young])
    await put(
        tenant,
        [{"resourceType": "Patient", "id": f"{unique}-old"}, *(minute(f"{unique}-old", i, 3) for i in range(60))],
    )
    await work(tenant, settings)
    await retain.retain(tenant, settings.model_copy(update={"raw_minutes_days": 0}))
    assert (await bodies(tenant, f"{unique}-old"))["in"] == 60
    await retain.retain(tenant, settings)
    assert (await bodies(tenant, unique))["in"] == 60
    assert (await bodies(tenant, f"{unique}-old"))["in"] == 0
