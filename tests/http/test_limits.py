"""Rate limits over HTTP: who is counted where, what a refusal looks like, and what is never limited."""

import dataclasses
from base64 import b64encode

import httpx
import pytest
from redis.asyncio import Redis

from fhir_server.app import application
from fhir_server.audit.codes import BY_NAME
from fhir_server.auth import clients
from fhir_server.kit.throttle import Throttle, budgets
from tests.http.client import Caller, entry, observation


@pytest.fixture
async def limited(services, redis_url, tenant):
    """Make an HTTP client of a server with these limits; others in this file have counters of their own (`unique`)."""
    opened = []

    async def make(text: str, address: str) -> httpx.AsyncClient:
        redis = Redis.from_url(redis_url)
        await redis.flushall()
        own = dataclasses.replace(services, throttle=Throttle(budgets(text), redis))
        transport = httpx.ASGITransport(app=application(own), client=(address, 4000))
        client = httpx.AsyncClient(transport=transport, timeout=60)
        opened.extend((redis, client))
        return client

    yield make
    for each in opened:
        await each.aclose()


async def registered(http, tenant, client_id: str, scope: str) -> Caller:
    """Return a backend service with a token that the token endpoint gave it."""
    _, secret = await clients.add(tenant, name=client_id, scope=scope, client_id=client_id)
    answer = await asked(http, tenant, client_id, secret, scope)
    assert answer.status_code == 200, answer.text
    return Caller(http, tenant, answer.json()["access_token"])


async def asked(http, tenant, client_id: str, secret: str | None, scope: str) -> httpx.Response:
    basic = b64encode(f"{client_id}:{secret}".encode()).decode()
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/token"
    form = {"grant_type": "client_credentials", "scope": scope}
    return await http.post(url, data=form, headers={"Authorization": f"Basic {basic}"})


async def test_a_client_that_asks_too_much_is_told_when_to_come_back(limited, tenant, unique, system):
    http = await limited("reads=3/day", "192.0.2.1")
    one = await registered(http, tenant, f"one-{unique}", "system/*.cruds")
    other = await registered(http, tenant, f"other-{unique}", "system/*.cruds")
    for left in (2, 1, 0):
        answer = await one.get("Observation?_count=1")
        assert answer.status == 200
        assert answer.headers["ratelimit"].startswith(f'"reads";r={left};t=')
    answer = await one.get("Observation?_count=1")
    assert (answer.status, answer.issue, answer.json["issue"][0]["code"]) == (429, "throttled", "throttled")
    assert answer.json["resourceType"] == "OperationOutcome"
    assert 1 <= int(answer.headers["retry-after"]) <= 86_401
    assert answer.headers["ratelimit-policy"] == '"reads";q=3;w=86400'
    assert answer.headers["ratelimit"].startswith('"reads";r=0;t=')
    assert (await one.post("Observation", observation())).status == 201, "writes are counted apart"
    assert (await other.get("Observation?_count=1")).status == 200, "other clients are not touched"


async def test_the_first_refusal_is_audited_and_not_the_thousandth(limited, tenant, unique):
    http = await limited("reads=1/day", "192.0.2.1")
    one = await registered(http, tenant, f"one-{unique}", "system/Observation.rs")
    for _ in range(5):
        await one.get("Observation?_count=1")
    rows = await tenant.pool.fetch(
        tenant.sql(
            "SELECT status, interaction FROM {s}.audit a JOIN {s}.agent g ON g.id = a.agent"
            " WHERE g.client_id = $1 AND a.interaction = $2"
        ),
        f"one-{unique}", BY_NAME["search-type"].number,
    )  # fmt: skip
    assert sorted(row["status"] for row in rows) == [200, 429]


async def test_a_bundle_costs_what_it_holds(limited, tenant, unique):
    http = await limited("bundles=10/day", "192.0.2.1")
    one = await registered(http, tenant, f"one-{unique}", "system/*.cruds")
    posts = [entry("POST", "Observation", observation()) for _ in range(9)]
    assert (await one.transaction(*posts)).status == 200
    assert (await one.transaction(*posts[:3], kind="batch")).status == 200, "what begins inside may overdraw"
    refused = await one.transaction(posts[0])
    assert (refused.status, refused.issue) == (429, "throttled")


async def test_a_device_hub_has_a_budget_of_its_own(limited, tenant, unique):
    http = await limited("writes=1/day, devices=4/day", "192.0.2.1")
    hub = await registered(http, tenant, f"hub-{unique}", "system/Observation.c system/Device.c")
    assert [(await hub.post("Observation", observation())).status for _ in range(5)] == [201] * 4 + [429]


async def test_strangers_are_counted_by_address(limited, tenant, unique):
    text = "anonymous=3/day"
    http = await limited(text, "192.0.2.1")
    stranger = Caller(http, tenant, f"no-token-{unique}")
    assert [(await stranger.get("Patient")).status for _ in range(5)] == [401, 401, 401, 429, 429]
    assert (await stranger.get("metadata")).status == 429
    elsewhere = Caller(await limited(text, "192.0.2.2"), tenant, None)
    assert (await elsewhere.get("metadata")).status == 200


async def test_the_operator_is_not_limited(limited, tenant, system, unique):
    http = await limited("reads=1/day", "192.0.2.1")
    operator = Caller(http, tenant, system._headers["Authorization"].removeprefix("Bearer "))
    assert {(await operator.get("Observation?_count=1")).status for _ in range(5)} == {200}


async def test_token_requests_by_address(limited, tenant, unique):
    http = await limited("token=3/day", "192.0.2.1")
    statuses = []
    for _ in range(5):
        answer = await asked(http, tenant, f"nobody-{unique}", "wrong", "system/*.rs")
        statuses.append(answer.status_code)
    assert statuses == [401, 401, 401, 429, 429]
    assert answer.json()["error"] == "temporarily_unavailable"
    assert "Try again in" in answer.json()["error_description"]
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit-policy"] == '"token";q=3;w=86400'
    assert answer.headers["cache-control"] == "no-store"


async def test_who_is_refused_by_address_is_named_as_far_as_known(limited, tenant, unique):
    await clients.add(tenant, name="x", scope="system/*.rs", client_id=f"named-{unique}")
    http = await limited("token=1/day,login=1/day", "192.0.2.1")
    for _ in range(2):
        await asked(http, tenant, f"named-{unique}", "wrong", "system/*.rs")
        await http.get(f"{tenant.base.removesuffix('/fhir')}/oauth2/authorize?client_id=named-{unique}")
    text = "SELECT a.status FROM {s}.audit a JOIN {s}.agent g ON g.id = a.agent WHERE g.client_id = $1 ORDER BY 1"
    rows = await tenant.pool.fetch(tenant.sql(text), f"named-{unique}")
    assert [row["status"] for row in rows] == [401, 429, 429]


async def test_nobody_uses_up_the_budget_of_another_client(limited, tenant, unique):
    """Token requests count for a client once it has proved who it is: a wrong secret counts for the address alone."""
    _, secret = await clients.add(tenant, name="x", scope="system/*.rs", client_id=f"victim-{unique}")
    attacker = await limited("token=4/day", "192.0.2.66")
    redis_kept = attacker._transport.app.services.throttle
    for _ in range(3):
        assert (await asked(attacker, tenant, f"victim-{unique}", "wrong", "system/*.rs")).status_code == 401
    victim = httpx.ASGITransport(app=attacker._transport.app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=victim) as http:
        for _ in range(4):
            assert (await asked(http, tenant, f"victim-{unique}", secret, "system/*.rs")).status_code == 200
    assert redis_kept is not None


async def test_a_browser_gets_a_page(limited, tenant):
    http = await limited("login=1/day", "192.0.2.1")
    url = f"{tenant.base.removesuffix('/fhir')}/oauth2/login"
    assert (await http.get(url)).status_code == 200
    refused = await http.get(url)
    assert refused.status_code == 429
    assert refused.headers["content-type"].startswith("text/html")
    assert "Try again in" in refused.text
    assert "frame-ancestors 'none'" in refused.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/openapi.json"])
async def test_health_and_metrics_are_never_limited(limited, path):
    http = await limited("anonymous=1/day, reads=1/day, login=1/day, token=1/day", "192.0.2.1")
    assert {(await http.get(f"http://clarity.test{path}")).status_code for _ in range(5)} == {200}


async def test_metrics_count_refusals(limited, tenant):
    http = await limited("anonymous=1/day", "192.0.2.1")
    for _ in range(3):
        await http.get(f"{tenant.base}/metadata")
    text = (await http.get("http://clarity.test/metrics")).text
    assert 'clarity_throttled_total{budget="anonymous"}' in text


async def test_redis_away_serves_and_still_counts_logins(services, tenant, system, unique):
    away = Redis.from_url("redis://127.0.0.1:1")
    own = dataclasses.replace(services, throttle=Throttle(budgets("login=2/day"), away))
    transport = httpx.ASGITransport(app=application(own), client=("192.0.2.9", 1))
    async with httpx.AsyncClient(transport=transport) as http:
        one = await registered(http, tenant, f"one-{unique}", "system/*.rs")
        assert (await one.get("Observation?_count=1")).status == 200
        url = f"{tenant.base.removesuffix('/fhir')}/oauth2/login"
        assert [(await http.get(url)).status_code for _ in range(3)] == [200, 200, 429]
    await away.aclose()
