"""Rate limits: budgets are exact over processes, steps spare Redis, and its absence refuses nothing more."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from fhir_server.kit import clock, throttle
from fhir_server.kit.throttle import DEFAULTS, Throttle, Throttled, budgets, place


class Counting:
    """Redis with a count of the round trips."""

    def __init__(self, throttle_: Throttle) -> None:
        self.trips, self._shared = 0, throttle_._shared
        throttle_._shared = self

    async def __call__(self, name: str, seconds: int, amount: int) -> int:
        self.trips += 1
        assert self._shared is not None
        return await self._shared(name, seconds, amount)


@pytest.fixture
async def redis(redis_url):
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def still(monkeypatch):
    """A clock that stands, so that no window ends in the middle of a test."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(clock, "seconds", lambda: now[0])
    return now


async def taken(throttle_: Throttle, who: str, times: int, cost: int = 1) -> int:
    done = 0
    for _ in range(times):
        try:
            await throttle_.charge("reads", who, cost)
            done += 1
        except Throttled:
            pass
    return done


def test_budgets_are_named_and_understood():
    found = budgets("reads=10/minute, devices = none ,login=3/hour")
    assert (found["reads"].amount, found["reads"].get_expiry()) == (10, 60)
    assert "devices" not in found
    assert "operator" not in found
    assert found["login"].get_expiry() == 3600
    assert found["writes"] == budgets("")["writes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("read=1/minute", "no budget 'read'"), ("reads", "reads must be"), ("reads=many", "reads must be"),
     ("reads=0/minute", "1 or more"), ("reads=-1/minute", "reads must be")],
)  # fmt: skip
def test_what_cannot_be_understood_is_said(text, said):
    with pytest.raises(ValueError, match=said):
        budgets(text)


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
async def test_one_process_counts_exactly(still, redis, unique, limit):
    one = Throttle(budgets(f"reads={limit}/minute"), redis)
    assert await taken(one, unique, limit + 5) == limit


async def test_alone_counts_exactly_too(still, unique):
    assert await taken(Throttle(budgets("reads=20/minute")), unique, 30) == 20


async def test_processes_count_together(still, redis, unique):
    """What one has taken a share of and does not use is lost to the others, never given twice."""
    many = [Throttle(budgets("reads=1000/minute"), redis) for _ in range(4)]
    done = await asyncio.gather(*(taken(each, unique, 600) for each in many))
    assert 960 <= sum(done) <= 1000


async def test_most_requests_ask_redis_for_nothing(still, redis, unique):
    one = Throttle(budgets("reads=1000/minute"), redis)
    counting = Counting(one)
    await asyncio.gather(*(one.charge("reads", unique) for _ in range(500)))
    assert counting.trips == 50
    await taken(one, unique, 600)
    trips = counting.trips
    assert await taken(one, unique, 100) == 0
    assert counting.trips == trips, "who is refused costs nothing"


async def test_callers_and_budgets_do_not_know_each_other(still, redis, unique):
    one = Throttle(budgets("reads=2/minute,writes=2/minute"), redis)
    assert await taken(one, unique, 5) == 2
    assert await taken(one, unique + "x", 5) == 2
    await one.charge("writes", unique)


async def test_a_window_ends(still, redis, unique):
    one = Throttle(budgets("reads=2/minute"), redis)
    assert await taken(one, unique, 3) == 2
    with pytest.raises(Throttled) as caught:
        await one.charge("reads", unique)
    wait = int(caught.value.headers["Retry-After"])
    assert 1 <= wait <= 61
    still[0] += wait
    assert await taken(one, unique, 3) == 2


async def test_a_refusal_says_when_and_how_many(still, unique):
    one = Throttle(budgets("reads=1/minute"))
    allowance = await one.charge("reads", unique)
    assert allowance is not None
    assert allowance.headers()["RateLimit-Policy"] == '"reads";q=1;w=60'
    assert allowance.headers()["RateLimit"].startswith('"reads";r=0;t=')
    first, second = [], []
    for kept in (first, second):
        with pytest.raises(Throttled) as caught:
            await one.charge("reads", unique)
        kept.append(caught.value)
    assert (first[0].first, second[0].first) == (True, False)
    assert first[0].status == 429
    assert first[0].issues[0].code == "throttled"
    assert "1 of kind reads are allowed in 60 seconds" in first[0].text


async def test_what_begins_inside_may_overdraw(still, redis, unique):
    one = Throttle(budgets("bundles=100/minute"), redis)
    await one.charge("bundles", unique, 5000)
    with pytest.raises(Throttled):
        await one.charge("bundles", unique, 1)


async def test_redis_away_counts_alone_and_tries_again(still, unique):
    away = Redis.from_url("redis://127.0.0.1:1")
    one = Throttle(budgets("reads=50/minute"), away)
    assert await taken(one, unique, 80) == 50
    await away.aclose()


async def test_redis_that_does_not_answer_is_not_waited_for(still, unique, monkeypatch):
    one = Throttle(budgets("reads=50/minute"))
    monkeypatch.setattr(throttle, "_PATIENCE", 0.01)

    async def silent(name: str, seconds: int, amount: int) -> int:
        await asyncio.sleep(60)
        raise AssertionError

    one._shared = silent
    began = clock.monotonic()
    assert await taken(one, unique, 50) == 50
    assert clock.monotonic() - began < 50


async def test_memory_is_bounded(still, monkeypatch):
    monkeypatch.setattr(throttle, "_MOST", 100)
    one = Throttle(budgets("reads=5/minute"))
    for number in range(1000):
        await one.charge("reads", f"caller-{number}")
    assert len(one._windows) <= 100


async def test_redis_holds_no_name_and_no_address(still, redis, unique):
    await redis.flushall()
    await Throttle(budgets(""), redis).charge("login", f"default/192.0.2.77-{unique}")
    keys = [key.decode() for key in await redis.keys("*")]
    assert len(keys) == 1
    assert keys[0].startswith("clarity:rate:")
    assert "192.0.2" not in keys[0]
    assert await redis.ttl(keys[0]) > 0


def test_unlimited_is_for_the_operator_only():
    assert [name for name, limit in DEFAULTS.items() if limit == "none"] == ["operator"]


@pytest.mark.parametrize(
    ("address", "same"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
     ("::ffff:192.0.2.1", "192.0.2.1"), (None, "unknown"), ("testclient", "unknown")],
)  # fmt: skip
def test_one_subscriber_is_one_place(address, same):
    assert place(address) == same


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=60), st.integers(1, 60))
def test_never_more_begins_than_the_budget_holds(steps, limit):
    """Any order of any processes: while something is left somebody may begin, and nobody may once it is used up."""

    async def play() -> None:
        total = 0

        async def shared(name: str, seconds: int, amount: int) -> int:
            nonlocal total
            total += amount
            return total

        many = [Throttle(budgets(f"reads={limit}/hour")) for _ in range(3)]
        for each in many:
            each._shared = shared
        began = 0
        for which, cost in steps:
            try:
                await many[which].charge("reads", "x", cost)
            except Throttled:
                continue
            assert began < limit
            began += cost

    asyncio.run(play())
