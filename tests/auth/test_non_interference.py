"""Attack 117: the same requests to two databases that differ only in what is hidden; every answer the same, byte for byte.

The clock and the ids that the server gives are held still, so that nothing but base addresses, sealed cursors and the lengths of
both has to be made alike.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest

from fhir_server.app import application
from fhir_server.auth import care, tokens
from fhir_server.auth.consent import callers, known
from fhir_server.http.services import Services
from fhir_server.kit import clock, ids
from fhir_server.settings import Settings
from fhir_server.storage import migrate
from fhir_server.storage.tenants import Tenant, open_tenants
from tests.auth.interference import Generator, Request, hidden, mentions, seen_by_all
from tests.auth.test_labels import ALL
from tests.conftest import ORIGIN
from tests.http.client import Answer, Caller, caller

PAIRS = {"compartments": ("nia", "nib"), "labels": ("nic", "nid")}
CALLERS = {
    "patient": ("compartments", "patient/*.cruds", {"patient": "pa"}),
    "user": ("compartments", "user/*.cruds", {"user": "Practitioner/doc"}),
    "service": ("labels", "system/*.cruds", {}),
}
LEFT_OUT = {"date", "content-length", "x-request-id"}


class Still:
    """A clock and a source of ids that go on from request to request, not within one: what a world does more must not show."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number, self.given = 0, 0
        self.began = datetime.now(UTC).replace(microsecond=0)
        monkeypatch.setattr(clock, "now", lambda: self.began + timedelta(milliseconds=20 * self.number))
        monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=self._bytes))
        monkeypatch.setattr(ids, "clock", SimpleNamespace(seconds=lambda: 1_700_000_000 + self.number))
        monkeypatch.setattr(ids, "request_id", lambda: "request")
        for module, name in ((care, "SECONDS"), (callers, "SECONDS"), (known, "LOOK_SECONDS"), (known, "KEEP_SECONDS")):
            monkeypatch.setattr(
                module, name, 0.0
            )  # what is remembered for seconds is remembered in both, but for how long?

    def begin(self, number: int) -> None:
        self.number, self.given = number, 0

    def _bytes(self, count: int) -> bytes:
        self.given += 1
        return random.Random(f"{self.number}/{self.given}").randbytes(count)


@pytest.fixture(scope="module")
def names(database_url: str) -> list[str]:
    """Tenants of our own, migrated."""
    found = [name for pair in PAIRS.values() for name in pair]
    migrate.upgrade(database_url, found)
    return found


@pytest.fixture(scope="module")
async def worlds(
    names: list[str], pool: asyncpg.Pool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, Tenant]]]:
    tenants = open_tenants(names, pool, tmp_path_factory.mktemp("keys"), ORIGIN)
    settings = Settings(environment="test", data=tmp_path_factory.mktemp("data"), tenants=",".join(names))  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=application(Services(settings, pool, tenants)), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, timeout=120) as client:
        yield client, tenants


async def put(who: Caller, resource: dict[str, Any]) -> None:
    answer = await who.put(f"{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status in (200, 201), answer.text


async def seed(http: httpx.AsyncClient, tenant: Tenant, still: Still, *, with_hidden: bool, opted_out: bool) -> None:
    """Write what is hidden between what is seen, so that nothing is in the order of writing."""
    system = await caller(http, tenant, ALL)
    beside = hidden(opted_out=opted_out) if with_hidden else []
    seen = seen_by_all(grouped=not opted_out)
    still.begin(0)
    await put(system, mentions(grouped=not opted_out))
    for number, resource in enumerate(seen, 1):
        still.begin(number)
        await put(system, resource)
        # The Consent comes last: until then its record can be written.
        for other in [each for each in beside if each["resourceType"] != "Consent"][number - 1 :: len(seen)]:
            await put(system, other)
    for other in beside:
        if other["resourceType"] == "Consent":
            await put(system, other)


@dataclass
class World:
    who: Caller
    next: str | None = None

    async def ask(self, request: Request) -> Answer:
        if request.follow:
            return await self.who.get(self.next or "Patient/pa", accept_encoding="identity")
        headers = {"accept_encoding": "identity", **request.headers}
        return await self.who.send(request.method, request.path, request.body, **headers)

    def shown(self, answer: Answer) -> tuple[int, dict[str, str], str]:
        base = self.who.tenant.base
        text = re.sub(r"_cursor=[^\"&<\s]+", "_cursor=C", answer.text.replace(base, "BASE"))
        headers = {
            name: re.sub(r"_cursor=[^\"&>]+", "_cursor=C", value.replace(base, "BASE"))
            for name, value in answer.headers.items()
            if name not in LEFT_OUT
        }
        return answer.status, headers, text

    def remember(self, answer: Answer) -> None:
        found = re.search(r'"relation": ?"next", ?"url": ?"([^"]+)"', answer.text)
        if found or answer.text.startswith('{"resourceType":"Bundle","id"'):
            self.next = found[1] if found else None


def difference(number: int, request: Request, *shown: tuple[int, dict[str, str], str]) -> str:
    """Say where two answers part."""
    (one, _, left), (other, _, right) = shown
    end = min(len(left), len(right))
    at = next((n for n, pair in enumerate(zip(left, right, strict=False)) if len(set(pair)) > 1), end)
    part = slice(max(0, at - 200), at + 300)
    return f"{number} {request}\n{one} {left[part]}\n--- but ---\n{other} {right[part]}"


async def both_answer_alike(worlds: Any, still: Still, name: str, count: int, start: int) -> Counter[int]:
    pair, scope, context = CALLERS[name]
    http, tenants = worlds
    plain, other = [tenants[each] for each in PAIRS[pair]]
    sides = [World(Caller(http, each, await tokens.mint(each, scope, **context))) for each in (plain, other)]
    generator = Generator(random.Random(f"{name}/{start}"), may_name=name != "service", grouped=pair == "compartments")
    statuses: Counter[int] = Counter()
    for number in range(start, start + count):
        request = generator.request()
        shown = []
        for side in sides:
            still.begin(number)
            # Numbers are taken in blocks: how many are left decides the order of what has no `_sort` (docs/security.md).
            side.who.tenant.spare_rids.clear()
            answer = await side.ask(request)
            side.remember(answer)
            shown.append(side.shown(answer))
        assert shown[0] == shown[1], difference(number, request, *shown)
        assert shown[0][0] < 500, (request, shown[0])
        statuses[shown[0][0]] += 1
        if shown[0][0] == 201 and request.method in ("POST", "PUT") and request.path:
            generator.learn(answer.json)
    return statuses


_seeded: set[str] = set()


async def ready(worlds: Any, still: Still, pair: str) -> None:
    if pair not in _seeded:
        http, tenants = worlds
        for name, with_hidden in zip(PAIRS[pair], (False, True), strict=True):
            await seed(http, tenants[name], still, with_hidden=with_hidden, opted_out=pair == "labels")
        _seeded.add(pair)


@pytest.mark.parametrize("name", CALLERS)
async def test_what_is_hidden_changes_no_byte(worlds, monkeypatch, name):
    still = Still(monkeypatch)
    await ready(worlds, still, CALLERS[name][0])
    statuses = await both_answer_alike(worlds, still, name, 340, 1_000 + 100_000 * list(CALLERS).index(name))
    assert {200, 201, 404} <= statuses.keys(), "the requests do something"


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLERS)
async def test_what_is_hidden_changes_no_byte_in_many_requests(worlds, monkeypatch, name):
    still = Still(monkeypatch)
    await ready(worlds, still, CALLERS[name][0])
    statuses = await both_answer_alike(worlds, still, name, 6_700, 10_000 + 100_000 * list(CALLERS).index(name))
    assert {200, 201, 404} <= statuses.keys()
