"""From Observations in the database to the twin's resources: any order, repetition or correction ends in the same twin."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest

from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from fhir_server.storage import blocks, ident, jobs, reads
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.workers.twin.observations import heart_rate
from workers.demo.generate import generate, truth
from workers.jobs import dispatch, twin
from workers.jobs.kinds import KINDS
from workers.jobs.runner import LEASE
from workers.twin.block import gather
from workers.twin.crossings import crossings
from workers.twin.signals import read
from workers.twin.state import states
from workers.twin.zone import zone_of

SEED, DAYS, END = 20261, 60, date(2026, 6, 30)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


def demo(number: int) -> list[dict[str, Any]]:
    """Return one demo patient and the Observations of devices, without what the clinic wrote."""
    wanted = f"demo-{number:03d}"
    found = [e["resource"] for b in generate(SEED, number, DAYS, end=END) for e in b["entry"]]
    return [
        r
        for r in found
        if r["id"] == wanted
        or (r["resourceType"] == "Observation" and r.get("device") and r["subject"]["reference"] == f"Patient/{wanted}")
    ]


def renamed(resources: list[dict[str, Any]], unique: str) -> list[dict[str, Any]]:
    """Return the resources as another patient's, so that tests may share a database."""
    patient = resources[0]["id"]
    return [json.decode_trusted(json.encode(r).replace(patient.encode(), unique.encode())) for r in resources]


async def put(tenant: Tenant, resources: list[dict[str, Any]]) -> None:
    names = [(r["resourceType"], r["id"]) for r in resources]
    there = await reads.read_many(tenant, names, {"Patient": EVERYTHING, "Observation": EVERYTHING})
    made = [
        commands.build(tenant, r, r["id"], current=there.get((r["resourceType"], r["id"])), origin=IMPORT)
        for r in resources
    ]
    await commit(tenant, made)


async def work(tenant: Tenant, settings: Settings) -> None:
    """Do what a worker does, until there is nothing left to do."""
    while await dispatch.dispatch(tenant, settings):
        pass
    while found := await jobs.claim(tenant, [dispatch.TWIN], LEASE):
        await KINDS[dispatch.TWIN].run(tenant, found[0], settings)
        assert await jobs.finish(tenant.pool, tenant, found[0])


async def written(tenant: Tenant, patient: str) -> dict[str, dict[str, Any]]:
    """Return by id, without versions and times, what the twin has written about the patient."""
    rid = await ident.known_rid(tenant, "Patient", patient)
    rows = await tenant.pool.fetch(
        f"SELECT rid FROM {tenant.schema}.resource WHERE $1 = ANY(patients) AND fhir_id LIKE 'twin-%'", rid
    )
    out = {}
    for stored in await reads.fetch(tenant, [row["rid"] for row in rows]):
        resource = json.decode_trusted(stored.body)
        del resource["meta"]["versionId"], resource["meta"]["lastUpdated"]
        out[stored.id] = resource
    return out


async def test_the_twin_is_what_a_computation_from_scratch_gives(
    tenant: Tenant, settings: Settings, unique: str
) -> None:
    number = int(truth(SEED, 12, DAYS, end=END)[0]["patient"].removeprefix("demo-"))
    patient, *observations = renamed(demo(number), unique)
    random.Random(4).shuffle(observations)
    await put(tenant, [patient])
    for start in range(0, len(observations), 40):  # late, out of order, with the worker in between
        await put(tenant, observations[start : start + 40])
        if start % 120 == 0:
            await work(tenant, settings)
    await work(tenant, settings)
    rids = await ident.rids(tenant, [("Observation", o["id"]) for o in observations])
    zone = zone_of(patient)
    assert zone is not None
    wanted = states(gather([(rids[("Observation", o["id"])], 1, read(o)) for o in observations]), zone=zone)
    found = await written(tenant, unique)
    states_of = [
        r for r in found.values() if r["resourceType"] == "Observation" and "digital-twin-state" in str(r["code"])
    ]
    stored = [r for r in states_of if r["status"] == "final"]
    assert len(stored) == len(wanted) == DAYS
    crossed = {(c.day, c.rule.code) for state in wanted for c in crossings(state)}
    assert crossed, "the patient has an episode in it"
    risks = [r for r in found.values() if r["resourceType"] == "RiskAssessment" and r["status"] == "preliminary"]
    assert len(risks) == len(crossed)
    for state in wanted:
        ours = next(r for r in stored if r["effectivePeriod"]["start"].startswith(state.day.isoformat()))
        values = {c["code"]["coding"][0]["code"]: c.get("valueQuantity", {}).get("value") for c in ours["component"]}
        for feature in state.features:
            value = values[feature.feature.code]
            assert (value is None) == (feature.value is None)
            if value is not None:
                assert abs(float(value) - feature.value) <= 0.51 * 10**-feature.feature.decimals


async def test_repeated_work_writes_nothing_and_wakes_nobody(tenant: Tenant, settings: Settings, unique: str) -> None:
    patient, *observations = renamed(demo(1), unique)
    await put(tenant, [patient, *observations[:60]])
    await work(tenant, settings)
    before = await written(tenant, unique)
    assert before
    rid = await ident.known_rid(tenant, "Patient", unique)
    versions = await tenant.pool.fetch(
        f"SELECT rid, version FROM {tenant.schema}.resource WHERE $1 = ANY(patients)", rid
    )
    async with tenant.pool.acquire() as connection, connection.transaction():
        every = (await ident.rids(tenant, [("Observation", o["id"]) for o in observations[:60]])).values()
        await blocks.mark_pending(connection, tenant, [(rid, each) for each in every])
        await blocks.mark_changed(connection, tenant, rid, [END])
        await jobs.add(connection, tenant, [(dispatch.TWIN, str(rid), {}, clock.now())])
    await work(tenant, settings)
    assert await written(tenant, unique) == before
    after = await tenant.pool.fetch(f"SELECT rid, version FROM {tenant.schema}.resource WHERE $1 = ANY(patients)", rid)
    assert sorted(map(tuple, versions)) == sorted(map(tuple, after))
    assert not await blocks.unfinished(tenant, rid)


async def test_a_deleted_or_corrected_observation_leaves_the_twin(
    tenant: Tenant, settings: Settings, unique: str
) -> None:
    about = {"subject": {"reference": f"Patient/{unique}"}, "device": {"reference": f"Device/{unique}"}}
    good = [heart_rate(f"2026-05-01T{hour:02d}:00:00Z", 60, **about) | {"id": f"{unique}-{hour}"} for hour in range(24)]
    await put(tenant, [{"resourceType": "Patient", "id": unique}, *good])
    await work(tenant, settings)
    only = await written(tenant, unique)
    wrong = heart_rate("2026-05-03T12:00:00Z", 180, **about) | {"id": f"{unique}-wrong"}
    await put(tenant, [wrong])
    await work(tenant, settings)
    assert sum(r.get("status") == "final" for r in (await written(tenant, unique)).values()) == 2
    await put(tenant, [wrong | {"status": "entered-in-error"}])
    await work(tenant, settings)
    now = await written(tenant, unique)
    assert {i: r for i, r in now.items() if i in only} == only
    assert [r["status"] for i, r in now.items() if i not in only and r["resourceType"] == "Observation"] == [
        "entered-in-error"
    ]
    first = await reads.read(tenant, "Observation", f"{unique}-0", EVERYTHING)
    assert first is not None
    await commit(tenant, [commands.build_delete(tenant, first)])
    await work(tenant, settings)
    left = [r for r in (await written(tenant, unique)).values() if r.get("status") == "final"]
    assert len(left) == 1
    assert len(left[0]["derivedFrom"]) == 23


async def test_an_overtaken_worker_writes_nothing(tenant: Tenant, settings: Settings, unique: str) -> None:
    about = {"subject": {"reference": f"Patient/{unique}"}}
    await put(
        tenant,
        [{"resourceType": "Patient", "id": unique}, heart_rate("2026-05-01T12:00:00Z", 60, **about) | {"id": unique}],
    )
    while await dispatch.dispatch(tenant, settings):
        pass
    rid = await ident.known_rid(tenant, "Patient", unique)
    slow = next(job for job in await jobs.claim(tenant, [dispatch.TWIN], LEASE, 50) if job.key == str(rid))
    await tenant.pool.execute(f"UPDATE {tenant.schema}.job SET fence = fence + 1 WHERE id = $1", slow.id)
    with pytest.raises(twin.Overtaken):
        await twin.run(tenant, slow, settings)
    assert await written(tenant, unique) == {}


async def test_of_an_erased_patient_nothing_derived_is_left_and_nothing_fails(
    tenant: Tenant, settings: Settings, unique: str
) -> None:
    patient, *observations = renamed(demo(1), unique)
    await put(tenant, [patient, *observations[:60]])
    await work(tenant, settings)
    rid = await ident.known_rid(tenant, "Patient", unique)
    assert rid is not None
    await put(tenant, observations[60:70])
    while await dispatch.dispatch(tenant, settings):
        pass
    key_id = await blocks.key_of(tenant, rid)
    assert key_id is not None
    tenant.keystore.destroy(key_id)
    await work(tenant, settings)
    assert await blocks.read(tenant.pool, tenant, rid) == {}
    assert not await blocks.unfinished(tenant, rid)
