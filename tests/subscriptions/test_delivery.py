"""From a commit to a receiver, over real sockets, with a worker in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from fhir_server.auth import clients
from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import breaker, schedule
from tests.subscriptions import subscribing as given
from tests.subscriptions.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, redis_url: str, database_url: str) -> Settings:
    return given.settings(tmp_path_factory.mktemp("data"), redis_url=redis_url, database_url=database_url)


@pytest.fixture(scope="module")
async def worker(settings: Settings, tenants: dict[str, Tenant]) -> AsyncIterator[None]:
    async with given.working(settings, tenants):
        yield


@pytest.fixture(autouse=True)
async def _breaker(monkeypatch: pytest.MonkeyPatch, tenants: dict[str, Tenant]) -> None:
    """Breakers open for a moment only, and none is left open by another file whose receiver had the same port."""
    for tenant in tenants.values():
        await tenant.pool.execute(tenant.sql("DELETE FROM {s}.endpoint_state"))
    monkeypatch.setattr(breaker, "LONGEST", timedelta(milliseconds=20))


@pytest.fixture
def patient() -> str:
    return given.word()


async def test_what_matches_arrives_as_it_was_committed(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    channel = {"header": ["Authorization: Bearer abc", "X-Two: 2"]}
    wanted = given.subscription(f"Observation?patient=Patient/{patient}", f"{receiver.url}/hook?k=v", **channel)
    made = await given.write(tenant, wanted, who)
    await given.until_status(tenant, made.id, "active")
    first = await given.write(tenant, given.observation(patient), who)
    await given.write(tenant, given.observation("somebody-else"), who)
    second = await given.write(tenant, given.observation(patient, 90), who, id_=first.id)
    await receiver.until_accepted(2)
    told = receiver.accepted()
    assert [(r.method, r.path) for r in told] == [("PUT", f"/hook/Observation/{first.id}?k=v")] * 2
    assert [r.body for r in told] == [first.body, second.body]
    assert [r.id for r in told] == [f"{made.id}-1", f"{made.id}-2"]
    assert told[0].headers["authorization"] == "Bearer abc"
    assert told[0].headers["x-two"] == "2"
    assert told[0].headers["content-type"] == "application/fhir+json"
    assert abs(int(told[0].headers["webhook-timestamp"]) - clock.seconds()) < 60
    await given.until_ended(tenant, made.rid)
    assert await given.deliveries(tenant, made.rid) == [(1, "delivered", 1), (2, "delivered", 1)]
    text = "SELECT status, version FROM {s}.audit WHERE interaction = 17 AND rid = $1 AND agent = $2 ORDER BY id"
    audit = await tenant.pool.fetch(tenant.sql(text), first.rid, who.agent)
    assert [tuple(row) for row in audit] == [(200, 1), (200, 2)]


async def test_without_payload_an_empty_post(tenant: Tenant, worker: None, receiver: Receiver, patient: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url, None), who)
    await given.until_status(tenant, made.id, "active")
    await given.write(tenant, given.observation(patient), who)
    [told] = await receiver.until_accepted(1)
    assert (told.method, told.path, told.body) == ("POST", "/", b"")
    assert "content-type" not in told.headers


async def test_a_webhook_that_knows_no_put_gets_the_same_by_post(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str
) -> None:
    receiver.answer = lambda request, _: 200 if request.method == "POST" else 405
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", f"{receiver.url}/hook"), who)
    await given.until_status(tenant, made.id, "active")
    done = await given.write(tenant, given.observation(patient), who)
    [told] = await receiver.until_accepted(1)
    assert (told.method, told.path, told.body) == ("POST", "/hook", done.body)
    assert len({r.id for r in receiver.got}) == 1


async def test_the_patient_of_the_token_bounds_what_is_told(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str
) -> None:
    everybody = await given.client(tenant, "system/*.cruds")
    await given.write(tenant, {"resourceType": "Patient", "id": patient}, everybody, id_=None)
    await given.write(tenant, given.observation(patient), everybody)
    who = await given.client(tenant, "patient/Observation.rs system/Subscription.cruds", patient)
    made = await given.write(tenant, given.subscription("Observation?status=final", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    await given.write(tenant, given.observation(given.word()), everybody)
    own = await given.write(tenant, given.observation(patient, 80), everybody)
    await receiver.until_accepted(1)
    await asyncio.sleep(0.1)
    assert [r.body for r in receiver.got] == [own.body]


async def test_rights_are_asked_again_at_the_moment_of_sending(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "WAITS", (0.3,) * 9)
    receiver.answer = lambda _request, before: 503 if before < 1 else 200
    everybody = await given.client(tenant, "system/*.cruds")
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    await given.write(tenant, given.observation(patient), everybody)
    await receiver.until(lambda: len(receiver.got) == 1)
    await clients.remove(tenant, who.client_id)
    await given.until_skipped(tenant, made.rid)
    assert len(receiver.got) == 1


async def test_what_is_deleted_before_it_was_sent_is_not_sent(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "WAITS", (0.3,) * 9)
    receiver.answer = lambda _request, before: 500 if before < 1 else 200
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    gone = await given.write(tenant, given.observation(patient), who)
    await receiver.until(lambda: len(receiver.got) == 1)
    await given.remove(tenant, "Observation", gone.id, who)
    kept = await given.write(tenant, given.observation(patient, 99), who)
    [told] = await receiver.until_accepted(1)
    assert told.body == kept.body
    assert told.event == 2


async def test_a_receiver_that_fails_gets_everything_in_order_and_never_different(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "WAITS", (0.02,) * 9)
    answers = [200, 503, "hangup", "cut", 302, 0.05, 429, 404]

    def answer(request, before):
        return answers[(request.event + before) % len(answers)] if before < 6 else 200

    receiver.answer = answer
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    bodies = [(await given.write(tenant, given.observation(patient, n), who)).body for n in range(40)]
    await receiver.until_accepted(40)
    accepted = receiver.accepted()
    first_of = {r.event: r.body for r in reversed(accepted)}
    assert [first_of[n] for n in range(1, 41)] == bodies
    assert [r.event for r in receiver.got] == sorted(r.event for r in receiver.got)
    assert all(r.body == first_of[r.event] for r in receiver.got)


async def test_retry_after_is_kept(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "WAITS", (0.01,) * 9)
    receiver.answer = lambda _request, before: (429, {"Retry-After": "1"}) if before == 0 else 200
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    await given.write(tenant, given.observation(patient), who)
    await receiver.until_accepted(1)
    assert 1.0 <= receiver.got[1].at - receiver.got[0].at < 4


async def test_410_switches_it_off(tenant: Tenant, worker: None, receiver: Receiver, patient: str) -> None:
    receiver.answer = lambda _request, _before: 410
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    await given.write(tenant, given.observation(patient), who)
    assert await given.until_status(tenant, made.id, "off") == "endpoint-gone"
    await given.write(tenant, given.observation(patient), who)
    await asyncio.sleep(0.2)
    assert len(receiver.got) == 1


async def test_too_many_failures_end_in_error_and_a_new_request_goes_on_where_it_stopped(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "WAITS", (0.01,) * 9)
    receiver.answer = lambda _request, _before: 500
    who = await given.client(tenant, "system/*.cruds")
    resource = given.subscription(f"Observation?patient={patient}", receiver.url)
    made = await given.write(tenant, resource, who)
    await given.until_status(tenant, made.id, "active")
    for value in (1, 2):
        await given.write(tenant, given.observation(patient, value), who)
    assert await given.until_status(tenant, made.id, "error") == "endpoint-status-500"
    assert len(receiver.got) == schedule.ATTEMPTS
    assert await given.deliveries(tenant, made.rid) == [(1, "dead", 10), (2, "waiting", 0)]
    receiver.answer = lambda _request, _before: 200
    await given.write(tenant, resource, who, id_=made.id)
    [told] = await receiver.until_accepted(1)
    assert told.event == 2
    stored = await reads.read(tenant, "Subscription", made.id, EVERYTHING)
    assert "error" not in json.decode_trusted(stored.body)


async def test_a_slow_receiver_does_not_delay_others(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    async with receiving() as slow:
        slow.answer = lambda _request, _before: 14.0
        for _ in range(8):
            made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", slow.url), who)
            await given.until_status(tenant, made.id, "active")
        quick = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
        await given.until_status(tenant, quick.id, "active")
        for value in range(10):
            await given.write(tenant, given.observation(patient, value), who)
        await receiver.until_accepted(10, seconds=13)
        assert 1 <= len(slow.got) <= 4
        text = tenant.sql("UPDATE {s}.subscription_state SET status = 'off' WHERE endpoint = $1")
        await tenant.pool.execute(text, tenant.key(0, "endpoint", slow.url))


async def test_an_end_that_comes_switches_it_off(
    tenant: Tenant, worker: None, receiver: Receiver, patient: str
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    soon = clock.instant(clock.now() + timedelta(seconds=2))
    wanted = given.subscription(f"Observation?patient={patient}", receiver.url) | {"end": soon}
    made = await given.write(tenant, wanted, who)
    await given.until_status(tenant, made.id, "active")
    await given.until_status(tenant, made.id, "off")


async def test_deletion_ends_it(tenant: Tenant, worker: None, receiver: Receiver, patient: str) -> None:
    receiver.answer = lambda _request, _before: 500
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", receiver.url), who)
    await given.until_status(tenant, made.id, "active")
    await given.write(tenant, given.observation(patient), who)
    await receiver.until(lambda: len(receiver.got) == 1)
    await given.remove(tenant, "Subscription", made.id, who)
    await given.until_skipped(tenant, made.rid)
