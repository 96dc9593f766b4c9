"""From an answer or a state in the database to alert, Task, message and Provenance; and again, changing nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from fhir_server.storage import ident, jobs, reads
from fhir_server.storage.commands import CLIENT, IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych.rules import shipped
from tests.workers.rules.made import filled, team
from workers.jobs import alerts, dispatch
from workers.jobs.kinds import KINDS
from workers.jobs.runner import LEASE
from workers.rules.override import Override, basic

Json = dict[str, Any]
WRITTEN = ("DetectedIssue", "Task", "Communication", "Provenance")
NOW = datetime(2026, 6, 10, 10, 0, tzinfo=UTC)
SELF_HARM = "https://fhir.clarity.example/PlanDefinition/alert-self-harm"


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


@pytest.fixture(autouse=True)
async def rules(tenant: Tenant) -> Any:
    """Keep the shipped rules for the time of a test."""
    plans = list(shipped())
    await put(tenant, plans)
    yield
    await put(tenant, [plan | {"status": "retired"} for plan in plans])


async def put(tenant: Tenant, resources: list[Json], origin: int = IMPORT) -> None:
    names = [(r["resourceType"], r["id"]) for r in resources]
    there = await reads.read_many(tenant, names, {r["resourceType"]: EVERYTHING for r in resources})
    made = [
        commands.build(
            tenant,
            json.decode_trusted(json.encode(r)),
            r["id"],
            current=there.get((r["resourceType"], r["id"])),
            origin=origin,
        )
        for r in resources
    ]
    await commit(tenant, made)


async def person(tenant: Tenant, unique: str, *more: Json) -> int:
    """Store a patient of a psychiatrist and a nurse."""
    who = {"resourceType": "Patient", "id": unique}
    await put(tenant, [who, team(unique, psychiatrist="Practitioner/p1", nurse="Practitioner/n1"), *more])
    rid = await ident.known_rid(tenant, "Patient", unique)
    assert rid is not None
    return rid


async def dispatched(tenant: Tenant, settings: Settings, rid: int) -> bool:
    """Dispatch what was committed; tell whether the patient's rules are to be evaluated."""
    while await dispatch.dispatch(tenant, settings):
        pass
    claimed = await jobs.claim(tenant, [alerts.KIND], LEASE, 100)
    for job in claimed:
        assert await jobs.finish(tenant.pool, tenant, job)
    return str(rid) in {job.key for job in claimed}


async def told(tenant: Tenant, rid: int) -> dict[str, list[Json]]:
    """Return by type what was written about the patient's alerts."""
    out: dict[str, list[Json]] = {type_: [] for type_ in WRITTEN}
    rows = await tenant.pool.fetch(
        f"SELECT rid FROM {tenant.schema}.resource WHERE $1 = ANY(patients) AND fhir_id LIKE 'alert-%' ORDER BY rid",
        rid,
    )
    for stored in await reads.fetch(tenant, [row["rid"] for row in rows]):
        out[stored.type].append(json.decode_trusted(stored.body))
    targets = {f"DetectedIssue/{issue['id']}" for issue in out["DetectedIssue"]}
    out["Provenance"] = [each for each in out["Provenance"] if {t["reference"] for t in each["target"]} & targets]
    names = [("Task", issue["id"]) for issue in out["DetectedIssue"]]  # a Task is in nobody's compartment (R4)
    tasks = await reads.read_many(tenant, names, {"Task": EVERYTHING})
    out["Task"] = [json.decode_trusted(tasks[name].body) for name in names if name in tasks]
    return out


async def versions(tenant: Tenant, rid: int) -> list[tuple[int, int]]:
    rows = await tenant.pool.fetch(
        f"SELECT rid, version FROM {tenant.schema}.resource WHERE $1 = ANY(patients) ORDER BY rid", rid
    )
    return [(row["rid"], row["version"]) for row in rows]


async def test_an_answer_about_self_harm_alerts_at_once_and_once(
    tenant: Tenant, settings: Settings, unique: str
) -> None:
    rid = await person(tenant, unique)
    await put(tenant, [filled(unique, NOW - timedelta(minutes=5), [1, 1, 1, 1, 1, 1, 1, 1, 1])], CLIENT)
    assert await dispatched(tenant, settings, rid)
    await alerts.evaluate(tenant, rid, settings, NOW)
    found = await told(tenant, rid)
    [issue], [task], [message], [provenance] = (found[type_] for type_ in WRITTEN)
    assert issue["status"] == "preliminary"
    assert issue["severity"] == "high"
    assert issue["reference"].startswith(SELF_HARM)
    assert issue["implicated"] == [{"reference": f"QuestionnaireResponse/{unique}-202606100955"}]
    assert task["focus"] == {"reference": f"DetectedIssue/{issue['id']}"}
    assert task["owner"] == {"reference": "Practitioner/p1"}
    assert (task["status"], task["priority"]) == ("requested", "stat")
    assert message["status"] == "preparation"
    assert message["recipient"] == [{"reference": "Practitioner/p1"}]
    assert unique not in str(message["payload"])
    assert {t["reference"] for t in provenance["target"]} == {
        f"DetectedIssue/{issue['id']}", f"Task/{task['id']}", f"Communication/{message['id']}",
    }  # fmt: skip
    assert any("/_history/" in e["what"]["reference"] for e in provenance["entity"])
    before = await versions(tenant, rid)
    await alerts.evaluate(tenant, rid, settings, NOW + timedelta(minutes=1))
    assert await versions(tenant, rid) == before
    assert not await dispatched(tenant, settings, rid), "what the rules write wakes no rule"


async def test_nobody_acknowledges_and_the_next_role_is_told(tenant: Tenant, settings: Settings, unique: str) -> None:
    rid = await person(tenant, unique, filled(unique, NOW, [0, 0, 0, 0, 0, 0, 0, 0, 2]))
    await alerts.evaluate(tenant, rid, settings, NOW)
    later = NOW + timedelta(hours=1, seconds=1)
    await alerts.evaluate(tenant, rid, settings, later)
    found = await told(tenant, rid)
    assert [m["recipient"][0]["reference"] for m in found["Communication"]] == ["Practitioner/p1", "Practitioner/n1"]
    assert found["Task"][0]["owner"] == {"reference": "Practitioner/n1"}
    assert len(found["Task"][0]["performerType"]) == 2
    due = await tenant.pool.fetchval(
        f"SELECT run_at FROM {tenant.schema}.job WHERE kind = 'alert-clock' AND key = $1", str(rid)
    )
    assert due is not None


@pytest.mark.parametrize("fallback", [None, "Practitioner/on-call"])
async def test_where_nobody_is_responsible_the_fallback_is_told(
    tenant: Tenant, settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch, fallback: str | None
) -> None:
    said = filled(unique, NOW, [0, 0, 0, 0, 0, 0, 0, 0, 2])
    await put(tenant, [{"resourceType": "Patient", "id": unique}, said])
    rid = await ident.known_rid(tenant, "Patient", unique)
    assert rid is not None
    settings = settings.model_copy(update={"alert_fallback": fallback})
    logged: list[Json] = []
    said_of = SimpleNamespace(warning=lambda event, **more: logged.append({"event": event} | more))
    monkeypatch.setattr(alerts, "_LOG", said_of)
    await alerts.evaluate(tenant, rid, settings, NOW)
    found = await told(tenant, rid)
    assert len(found["DetectedIssue"]) == 1
    assert [m["recipient"][0]["reference"] for m in found["Communication"]] == ([fallback] if fallback else [])
    warned = [each for each in logged if each["event"] == "alerts that nobody is told of"]
    assert [each["count"] for each in warned] == ([] if fallback else [1])


@pytest.mark.parametrize("gone", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-06-01"}, {"active": False}])
async def test_nothing_is_raised_of_who_has_died_or_left(
    tenant: Tenant, settings: Settings, unique: str, gone: Json
) -> None:
    rid = await person(tenant, unique, filled(unique, NOW, [0, 0, 0, 0, 0, 0, 0, 0, 2]))
    await put(tenant, [{"resourceType": "Patient", "id": unique} | gone])
    await alerts.evaluate(tenant, rid, settings, NOW)
    assert not any((await told(tenant, rid)).values())


async def test_who_has_taken_note_is_left_in_peace(tenant: Tenant, settings: Settings, unique: str) -> None:
    rid = await person(tenant, unique, filled(unique, NOW, [0, 0, 0, 0, 0, 0, 0, 0, 2]))
    await alerts.evaluate(tenant, rid, settings, NOW)
    [task] = (await told(tenant, rid))["Task"]
    await put(tenant, [task | {"status": "accepted"}], CLIENT)
    await alerts.evaluate(tenant, rid, settings, NOW + timedelta(hours=5))
    found = await told(tenant, rid)
    assert len(found["Communication"]) == 1
    await put(tenant, [filled(unique, NOW + timedelta(hours=6), [0, 0, 0, 0, 0, 0, 0, 0, 1])], CLIENT)
    await alerts.evaluate(tenant, rid, settings, NOW + timedelta(hours=6, minutes=1))
    found = await told(tenant, rid)
    assert len(found["DetectedIssue"]) == 2, "new evidence after an acknowledgement is a new alert"
    assert "end" in found["DetectedIssue"][0]["identifiedPeriod"]


async def test_an_override_switches_a_rule_off_and_says_so(tenant: Tenant, settings: Settings, unique: str) -> None:
    off = basic(unique, Override(f"{unique}-off", SELF_HARM, True, "Chronic; seen twice a week."))
    rid = await person(tenant, unique, off, filled(unique, NOW, [0, 0, 0, 0, 0, 0, 0, 0, 1]))
    await alerts.evaluate(tenant, rid, settings, NOW)
    await alerts.evaluate(tenant, rid, settings, NOW + timedelta(minutes=1))
    found = await told(tenant, rid)
    assert [issue["status"] for issue in found["DetectedIssue"]] == ["cancelled"]
    assert not found["Task"]
    assert not found["Communication"]
    limit = {"value": 1, "code": "{score}", "system": "http://unitsofmeasure.org"}
    other = Override(f"{unique}-off", SELF_HARM, False, "Higher.", None, {"answered": limit})
    await put(tenant, [basic(unique, other)], CLIENT)
    assert await dispatched(tenant, settings, rid)
    await alerts.evaluate(tenant, rid, settings, NOW + timedelta(minutes=2))
    assert len((await told(tenant, rid))["DetectedIssue"]) == 1


async def test_a_positive_item_in_an_observation_wakes_by_its_code(
    tenant: Tenant, settings: Settings, unique: str
) -> None:
    rid = await person(tenant, unique)
    assert not await dispatched(tenant, settings, rid)
    about = {
        "subject": {"reference": f"Patient/{unique}"},
        "status": "final",
        "effectiveDateTime": "2026-06-10T09:00:00Z",
    }
    pulse = {"resourceType": "Observation", "id": f"{unique}-hr", **about, "valueQuantity": {"value": 60, "code": "/min"},
             "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}}  # fmt: skip
    await put(tenant, [pulse], CLIENT)
    assert not await dispatched(tenant, settings, rid), "a pulse is nobody's trigger"
    item = {"code": {"coding": [{"system": "http://loinc.org", "code": "44260-8"}]}, "valueInteger": 1}
    panel = {"resourceType": "Observation", "id": f"{unique}-phq", **about, "component": [item],
             "code": {"coding": [{"system": "http://loinc.org", "code": "44249-1"}]}}  # fmt: skip
    await put(tenant, [panel], CLIENT)
    assert await dispatched(tenant, settings, rid)
    await KINDS[alerts.KIND].run(tenant, jobs.Job(0, alerts.KIND, str(rid), {}, 1, 1), settings)
    assert clock.now() > NOW
    await alerts.evaluate(tenant, rid, settings, NOW)
    [issue] = (await told(tenant, rid))["DetectedIssue"]
    assert issue["implicated"] == [{"reference": f"Observation/{unique}-phq"}]
