"""`$risk` and `$forecast`: made by workers from the newest data, in percent, with interval and comparator, waking nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.settings import Settings
from fhir_server.storage import ident, jobs, predictions
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller
from tests.operations.twin_fixtures import END, demo, put, work
from workers.jobs import dispatch, predict
from workers.jobs.runner import LEASE

Json = dict[str, Any]


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


@pytest.fixture
async def somebody(tenant: Tenant, settings: Settings) -> str:
    """The same patient for all tests that only read."""
    name = f"predicted-{tenant.name}"
    if await ident.known_rid(tenant, "Patient", name) is None:
        await put(tenant, demo(1, name))
        await work(tenant, settings)
    return name


async def work_on(tenant: Tenant, settings: Settings) -> int:
    """Do what a worker does with predictions, until none waits; return how many were made."""
    count = 0
    while found := await jobs.claim(tenant, [predictions.KIND], LEASE):
        await predict.run(tenant, found[0], settings)
        assert await jobs.finish(tenant.pool, tenant, found[0])
        count += 1
    return count


async def asked(system: Caller, tenant: Tenant, settings: Settings, path: str) -> Any:
    """Ask, with a worker at work meanwhile."""

    async def serve() -> None:
        while True:
            await work_on(tenant, settings)
            await asyncio.sleep(0.02)

    serving = asyncio.create_task(serve())
    try:
        return await system.get(path)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def extension(prediction: Json, name: str) -> Json:
    found = [e for e in prediction.get("extension", []) if e["url"].endswith(f"/{name}")]
    return {p["url"]: next(v for k, v in p.items() if k.startswith("value")) for p in found[0]["extension"]}


async def test_risk_is_told_in_percent_with_interval_inputs_and_comparator(
    system: Caller, tenant: Tenant, settings: Settings, somebody: str
) -> None:
    answer = await asked(system, tenant, settings, f"Patient/{somebody}/$risk?wait=30")
    assert answer.status == 200, answer.text[:400]
    found = [entry["resource"] for entry in answer.json["entry"]]
    assert {r["method"]["coding"][0]["code"] for r in found} == {"episode-risk-07", "episode-risk-14"}
    for risk in found:
        [prediction] = risk["prediction"]
        interval = extension(prediction, "prediction-interval")
        assert 0 < interval["low"] <= interval["high"] < 100
        inside = interval["low"] <= prediction["probabilityDecimal"] <= interval["high"]
        assert inside != ("badly calibrated" in prediction["rationale"])
        assert 0 < extension(prediction, "prediction-comparator")["probability"] < 100
        assert extension(prediction, "prediction-input")["name"] in prediction["rationale"]
        horizon = 7 if "07" in risk["method"]["coding"][0]["code"] else 14
        assert prediction["whenPeriod"] == {
            "start": str(END + timedelta(days=1)),
            "end": str(END + timedelta(days=horizon)),
        }
        assert "not a diagnosis" in risk["note"][0]["text"]
        assert len(risk["basis"]) == 7
        for name in (risk["performer"]["reference"], risk["basis"][0]["reference"]):
            assert (await system.get(name)).status == 200
        card = risk["note"][1]["text"].removeprefix("Model card: ").removesuffix(".")
        assert (await system.get(card)).json["resourceType"] == "Library"
        traced = (await system.get(f"Provenance?target=RiskAssessment/{risk['id']}")).json
        assert traced["entry"][0]["resource"]["agent"][0]["who"] == risk["performer"]


async def test_a_forecast_is_a_number_with_its_interval_and_a_baseline(
    system: Caller, tenant: Tenant, settings: Settings, somebody: str
) -> None:
    answer = await asked(system, tenant, settings, f"Patient/{somebody}/$forecast?wait=30")
    assert answer.status == 200, answer.text[:400]
    found = {r["method"]["coding"][0]["code"]: r for r in (e["resource"] for e in answer.json["entry"])}
    steps = found["forecast-steps"]["prediction"][0]
    value, interval = (extension(steps, f"prediction-{part}") for part in ("value", "interval"))
    assert interval["low"]["value"] <= value["value"]["value"] <= interval["high"]["value"]
    assert value["value"]["code"] == "{steps}"
    assert extension(steps, "prediction-comparator")["name"] in ("persistence", "moving mean of 7 days")


async def test_predictions_made_again_change_nothing_and_wake_nobody(
    tenant: Tenant, settings: Settings, somebody: str
) -> None:
    rid = await ident.known_rid(tenant, "Patient", somebody)
    text = f"SELECT rid, version FROM {tenant.schema}.resource WHERE $1 = ANY(patients) ORDER BY rid"
    now = await predictions.now(tenant)
    await jobs.add(tenant.pool, tenant, [(predictions.KIND, str(rid), {}, now)])
    await work_on(tenant, settings)
    before = await tenant.pool.fetch(text, rid)
    await jobs.add(tenant.pool, tenant, [(predictions.KIND, str(rid), {}, now)])
    assert await work_on(tenant, settings) == 1
    assert await tenant.pool.fetch(text, rid) == before
    while await dispatch.dispatch(tenant, settings):
        pass
    claimed = await jobs.claim(tenant, [dispatch.TWIN], LEASE, 1000)
    assert str(rid) not in {job.key for job in claimed}


async def test_without_a_worker_it_is_to_be_asked_again(system: Caller, somebody: str) -> None:
    answer = await system.get(f"Patient/{somebody}/$risk?wait=0")
    assert answer.status == 202
    assert answer.headers["retry-after"] == "2"


async def test_without_data_there_is_nothing_to_say(system: Caller, tenant: Tenant, unique: str) -> None:
    await put(tenant, [{"resourceType": "Patient", "id": unique}])
    assert (await system.get(f"Patient/{unique}/$forecast?wait=5")).status in (202, 404)
    assert (await system.get(f"Patient/{unique}-none/$risk")).status == 404
    assert (await system.get(f"Patient/{unique}/$risk?wait=99")).status == 400


async def test_a_night_asks_for_everybody_once(tenant: Tenant, settings: Settings, somebody: str) -> None:
    await predict.nightly(tenant, settings)
    await work_on(tenant, settings)
    rid = await ident.known_rid(tenant, "Patient", somebody)
    await predict.nightly(tenant, settings)
    text = f"SELECT state FROM {tenant.schema}.job WHERE kind = 'predict' AND key = $1"
    assert await tenant.pool.fetchval(text, str(rid)) == "done"
