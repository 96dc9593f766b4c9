"""A Subscription is served or refused by the server, with the reason, and nothing the server writes makes it judge again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import state
from fhir_server.subscriptions.judge import judge
from tests.subscriptions import subscribing as given

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


async def active(tenant: Tenant) -> set[int]:
    return {watch.rid for watch in (await state.watches(tenant))[1]}


async def test_a_good_one_becomes_active_once(tenant: Tenant, settings: Settings) -> None:
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription("Observation?code=8867-4", HOOK), who)
    for _ in range(2):
        await judge(tenant, made.rid, settings)
    stored = await reads.read(tenant, "Subscription", made.id, EVERYTHING)
    assert stored.version == 2
    resource = json.decode_trusted(stored.body)
    assert resource["status"] == "active"
    assert made.rid in await active(tenant)
    origin = tenant.sql("SELECT origin FROM {s}.outbox WHERE rid = $1 AND version = 2")
    assert await tenant.pool.fetchval(origin, made.rid) == 3


REFUSED: list[tuple[dict[str, Any], str]] = [
    (given.subscription("Observation?nonsense=1", HOOK), "criteria-invalid"),
    (given.subscription("Nothing?code=1", HOOK), "criteria-invalid"),
    (given.subscription("/Observation?code=1", HOOK), "criteria-invalid"),
    (given.subscription("Observation?code", HOOK), "criteria-invalid"),
    (given.subscription("Observation?code=1&_sort=date", HOOK), "criteria-not-filter"),
    (given.subscription("Observation?code=1&_include=Observation:subject", HOOK), "criteria-not-filter"),
    (given.subscription("Observation?date=yesterday", HOOK), "criteria-invalid"),
    (given.subscription("Observation?subject:Patient.name=x", HOOK), "criteria-not-supported"),
    (given.subscription("Patient?_has:Observation:patient:code=x", HOOK), "criteria-not-supported"),
    (given.subscription("Observation?code=1", "http://example.org/"), "endpoint-not-https"),
    (given.subscription("Observation?code=1", "https://10.0.0.1/"), "endpoint-not-public"),
    (given.subscription("Observation?code=1", "https://169.254.169.254/latest"), "endpoint-not-public"),
    (given.subscription("Observation?code=1", HOOK, "application/fhir+xml"), "payload-not-supported"),
    (given.subscription("Observation?code=1", HOOK) | {"channel": {"type": "websocket"}}, "channel-not-supported"),
    (given.subscription("Observation?code=1", HOOK, header=["Host: x"]), "header-not-allowed"),
    (given.subscription("Observation?code=1", HOOK) | {"end": "2020-01-01T00:00:00Z"}, "ended"),
    (given.subscription("Patient?gender=male", HOOK), "criteria-not-permitted"),
]


@pytest.mark.parametrize(("resource", "reason"), REFUSED)
async def test_what_is_refused_says_why(
    tenant: Tenant, settings: Settings, resource: dict[str, Any], reason: str
) -> None:
    who = await given.client(tenant, "system/Observation.rs system/Subscription.cruds")
    made = await given.write(tenant, resource, who)
    await judge(tenant, made.rid, settings)
    status, error = await given.status_of(tenant, made.id)
    assert (status, error.split(":")[0]) == ("error", reason)
    assert made.rid not in await active(tenant)


@pytest.mark.parametrize("criteria", ["Observation", "Observation?"])
async def test_a_whole_type_may_be_watched(tenant: Tenant, settings: Settings, criteria: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription(criteria, HOOK), who)
    await judge(tenant, made.rid, settings)
    assert (await given.status_of(tenant, made.id))[0] == "active"
    await state.stop(tenant, made.rid, "off", "test")


async def test_off_and_on_and_gone(tenant: Tenant, settings: Settings) -> None:
    who = await given.client(tenant, "system/*.cruds")
    wanted = given.subscription("Observation?code=8867-4", HOOK)
    made = await given.write(tenant, wanted, who)
    await judge(tenant, made.rid, settings)
    await given.write(tenant, wanted | {"status": "off"}, who, id_=made.id)
    await judge(tenant, made.rid, settings)
    assert made.rid not in await active(tenant)
    assert (await given.status_of(tenant, made.id))[0] == "off"
    await given.write(tenant, wanted, who, id_=made.id)
    await judge(tenant, made.rid, settings)
    assert made.rid in await active(tenant)
    await given.remove(tenant, "Subscription", made.id, who)
    await judge(tenant, made.rid, settings)
    assert made.rid not in await active(tenant)


async def test_rights_are_those_of_who_wrote_the_version_that_holds(tenant: Tenant, settings: Settings) -> None:
    many, few = await given.client(tenant, "system/*.cruds"), await given.client(tenant, "system/Subscription.cruds")
    wanted = given.subscription("Observation?code=8867-4", HOOK)
    made = await given.write(tenant, wanted, many)
    await judge(tenant, made.rid, settings)
    await given.write(tenant, wanted | {"reason": "taken over"}, few, id_=made.id)
    await judge(tenant, made.rid, settings)
    status, error = await given.status_of(tenant, made.id)
    assert (status, error.split(":")[0]) == ("error", "criteria-not-permitted")


async def test_a_name_that_does_not_resolve_now_may_do_so_later(
    tenant: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fhir_server.kit import addresses

    async def away(_host: str, _port: int) -> list[str]:
        raise OSError("no answer")

    monkeypatch.setattr(addresses, "resolve", away)
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.subscription("Observation?code=x", "https://ehr.example.org"), who)
    await judge(tenant, made.rid, settings)
    assert (await given.status_of(tenant, made.id))[0] == "active"
