"""`Prefer: respond-async`: kick-off, status, result, cancelling; whose it is, and in whose name it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.auth import principals
from fhir_server.errors import Unauthenticated
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, jobs
from fhir_server.storage.tenants import Tenant
from tests.http.client import Answer, Caller, caller, observation
from tests.subscriptions import subscribing as given
from workers.jobs import asynchronous
from workers.jobs.runner import LEASE

ASYNC = "respond-async"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


async def work(tenant: Tenant, settings: Settings) -> None:
    """Do what waits, as a worker does."""
    while claimed := await jobs.claim(tenant, [async_jobs.QUEUE], LEASE):
        await asynchronous.run(tenant, claimed[0], settings)
        await jobs.finish(tenant.pool, tenant, claimed[0])


async def kicked(client: Caller, path: str) -> str:
    answer = await client.get(path, prefer=ASYNC)
    assert answer.status == 202, answer.text
    assert answer.json["issue"][0]["severity"] == "information"
    return answer.headers["content-location"]


def result(answer: Answer) -> Any:
    assert (answer.status, answer.json["type"]) == (200, "batch-response"), answer.text
    [entry] = answer.json["entry"]
    return entry["response"]["status"], entry.get("resource") or entry["response"]["outcome"]


async def test_a_record_and_a_search_later(system: Caller, settings: Settings) -> None:
    who = (await system.post("Patient", {"resourceType": "Patient"})).id
    seen = (await system.post("Observation", observation(subject={"reference": f"Patient/{who}"}))).id
    for path in (
        f"Patient/{who}/$everything",
        f"Observation?patient={who}",
        f"Patient/{who}/Observation",
        f"?_id={seen}",
    ):
        where = await kicked(system, path)
        waiting = await system.get(where)
        assert (waiting.status, waiting.headers["retry-after"]) == (202, "1")
        assert "waiting" in waiting.headers["x-progress"]
        await work(system.tenant, settings)
        done = await system.get(where)
        assert "expires" in done.headers
        status, later = result(done)
        now = (await system.get(path)).json
        for bundle in (later, now):
            bundle.pop("id")
            bundle["meta"].pop("lastUpdated")
        assert (status, later) == ("200", now)
    posted = await system.send(
        "POST",
        "Observation/_search",
        f"_id={seen}".encode(),
        prefer=ASYNC,
        content_type="application/x-www-form-urlencoded",
    )
    await work(system.tenant, settings)
    assert result(await system.get(posted.headers["content-location"]))[1]["total"] == 1


async def test_refusals_are_answers_too(system: Caller, settings: Settings) -> None:
    where = await kicked(system, "Observation?date=yesterday")
    missing = await kicked(system, "Patient/never-was/$everything")
    await work(system.tenant, settings)
    status, outcome = result(await system.get(where))
    assert (status, outcome["issue"][0]["details"]["coding"][0]["code"]) == ("400", "search-value")
    assert result(await system.get(missing))[0] == "404"


async def test_whose_record_an_answer_shows_stands_in_the_trail(system: Caller, settings: Settings) -> None:
    who = (await system.post("Patient", {"resourceType": "Patient"})).id
    where = await kicked(system, f"Patient/{who}/$everything")
    await work(system.tenant, settings)
    fetched = await system.get(where)
    rid = system.tenant.rids[("Patient", who)]
    text = "SELECT patients FROM {s}.audit WHERE request = $1"
    [row] = await system.tenant.pool.fetch(system.tenant.sql(text), fetched.headers["x-request-id"])
    assert row["patients"] == [rid]


async def test_so_many_wait_and_no_more(tenant: Tenant, settings: Settings, unique: str) -> None:
    agent = 1_000_000 + int(unique[:4], 16)
    started = [await async_jobs.start(tenant, agent, "request", {}) for _ in range(async_jobs.MOST_OPEN + 1)]
    assert [id_ is None for id_ in started] == [False] * async_jobs.MOST_OPEN + [True]
    for id_ in started[:-1]:
        assert id_ is not None
        assert await async_jobs.cancel(tenant, id_, agent)


async def test_what_is_not_answered_later(system: Caller) -> None:
    for method, path, body in (
        ("GET", "Patient/1", None),
        ("POST", "Patient", {"resourceType": "Patient"}),
        ("DELETE", "Patient/1", None),
    ):
        answer = await system.send(method, path, body, prefer=ASYNC)
        assert (answer.status, answer.issue) == (501, "respond-async")
    assert (await system.send("PUT", "_async/1", {}, prefer="")).status == 405


async def test_only_the_grant_that_asked_sees_its_job(
    system: Caller, http: httpx.AsyncClient, settings: Settings
) -> None:
    """Attack 112: the job of somebody else, before and after it is done, looks like one that never was."""
    who = (await system.post("Patient", {"resourceType": "Patient"})).id
    person = await caller(http, system.tenant, "patient/*.rs", who)
    where = await kicked(system, "Patient?_count=1")
    for _ in range(2):
        hidden, absent = await person.get(where), await person.get("_async/never-was")
        assert (hidden.status, hidden.text) == (absent.status, absent.text)
        assert hidden.status == 404
        assert (await person.delete(where)).status == 404
        await work(system.tenant, settings)
    assert (await system.get(where)).status == 200


async def test_it_is_done_under_the_policy_of_who_asked(
    system: Caller, http: httpx.AsyncClient, settings: Settings
) -> None:
    mine, other = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    person = await caller(http, system.tenant, "patient/*.rs", mine)
    where = await kicked(person, f"Patient?_id={mine},{other}")
    await work(system.tenant, settings)
    status, bundle = result(await person.get(where))
    assert (status, [e["resource"]["id"] for e in bundle["entry"]]) == ("200", [mine])
    trail = (await system.get(f"AuditEvent?patient=Patient/{mine}&_count=2")).json["entry"]
    fetched, event = (entry["resource"] for entry in trail)
    assert (fetched["subtype"][0]["code"], event["subtype"][0]["code"]) == ("operation", "search-type")


async def test_rights_that_are_gone_give_nothing(
    system: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = await kicked(system, "Patient?_count=1")

    async def gone(*_: Any) -> None:
        raise Unauthenticated("The client of this token is not registered any more.", "client-gone")

    monkeypatch.setattr(principals, "of_agent", gone)
    await work(system.tenant, settings)
    assert result(await system.get(where))[0] == "401"


async def test_cancelled_before_and_after(system: Caller, settings: Settings) -> None:
    before, after = await kicked(system, "Patient?_count=1"), await kicked(system, "Patient?_count=1")
    assert (await system.delete(before)).status == 202
    await work(system.tenant, settings)
    assert (await system.get(before)).status == 404
    assert (await system.get(after)).status == 200
    assert (await system.delete(after)).status == 202
    assert (await system.get(after)).status == 404
    text = system.tenant.sql("SELECT count(*) FROM {s}.async_job WHERE state = 'cancelled' AND body IS NOT NULL")
    assert await system.tenant.pool.fetchval(text) == 0


async def test_what_is_kept_is_sealed_and_forgotten(system: Caller, settings: Settings) -> None:
    who = (await system.post("Patient", {"resourceType": "Patient", "name": [{"family": "Canary7d1f"}]})).id
    where = await kicked(system, f"Patient?name=Canary7d1f&_id={who}")
    await work(system.tenant, settings)
    key = where.rsplit("/", 1)[1]
    row = await system.tenant.pool.fetchrow(system.tenant.sql("SELECT * FROM {s}.async_job WHERE id = $1"), key)
    assert b"Canary7d1f" not in b"".join(value for value in row.values() if isinstance(value, bytes))
    await system.tenant.pool.execute(
        system.tenant.sql("UPDATE {s}.async_job SET finished_at = now() - interval '2 days' WHERE id = $1"), key
    )
    assert await async_jobs.forget(system.tenant) >= 1
    assert (await system.get(where)).status == 404
