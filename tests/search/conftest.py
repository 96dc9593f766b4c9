"""Tenants of this room's own, so that searches over whole types see nothing but what they loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fhir_server.context import Principal, RequestContext
from fhir_server.kit import json
from fhir_server.search.extract import extract
from fhir_server.search.run import Page, search
from fhir_server.storage import migrate
from fhir_server.storage.commands import Command, Written
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant, open_tenants
from fhir_server.storage.visibility import EVERYTHING
from tests.conftest import ORIGIN

CHUNK = 500
Resource = dict[str, Any]
OpenTenant = Callable[[str], Awaitable[Tenant]]


@pytest.fixture(scope="session")
async def open_tenant(database_url: str, pool: asyncpg.Pool, keys_dir: Path) -> OpenTenant:
    """Return a function that makes an empty tenant."""

    async def make(name: str) -> Tenant:
        await asyncio.to_thread(migrate.upgrade, database_url, (name,))
        return open_tenants((name,), pool, keys_dir, ORIGIN)[name]

    return make


async def load(tenant: Tenant, resources: Iterable[Resource]) -> list[Written]:
    """Create resources by their ids, 500 in a commit, and return what was written."""
    todo, done = list(resources), []
    for start in range(0, len(todo), CHUNK):
        part = todo[start : start + CHUNK]
        commands = [Command("create", r["resourceType"], r["id"], r, extract(tenant, r), http_method=2) for r in part]
        done += await commit(tenant, commands)
    return done


def context(tenant: Tenant, client: str = "tester", *, lenient: bool = False) -> RequestContext:
    """A request of a client; what it may see is said with each search."""
    principal = Principal(client, len(client), (), None, None, "token", 0)
    return RequestContext(tenant, principal, "request", tenant.base, lenient=lenient)


def parsed(query: str) -> list[tuple[str, str]]:
    """Split a query as written here, without percent-encoding."""
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]


async def everything(types: Iterable[str]) -> dict[str, Any]:
    """See all of every type that a search comes by."""
    return dict.fromkeys(types, EVERYTHING)


async def page(tenant: Tenant, type_: str | None, query: str, visibility: Any = EVERYTHING, **more: Any) -> Page:
    """Return one page."""
    return await search(context(tenant), type_, parsed(query), visibility=visibility, **{"sees": everything, **more})


async def ids(tenant: Tenant, type_: str | None, query: str, visibility: Any = EVERYTHING, **more: Any) -> list[str]:
    """Return the ids of all matches, page after page."""
    found = await page(tenant, type_, query, visibility, **more)
    out = [row.id for row in found.rows]
    while found.next:
        found = await page(tenant, type_, f"_cursor={found.next}", visibility, **more)
        out += [row.id for row in found.rows]
    return out


async def back(tenant: Tenant, type_: str | None, last: Page, visibility: Any = EVERYTHING) -> list[str]:
    """Return the ids of all that stands before a page, in order, by its `previous` and theirs."""
    out: list[str] = []
    while last.previous:
        last = await page(tenant, type_, f"_cursor={last.previous}", visibility)
        out = [row.id for row in last.rows] + out
    return out


async def last_page(tenant: Tenant, type_: str | None, query: str, visibility: Any = EVERYTHING) -> Page:
    """Return the last page of a search."""
    found = await page(tenant, type_, query, visibility)
    while found.next:
        found = await page(tenant, type_, f"_cursor={found.next}", visibility)
    return found


def body(row: Any) -> Resource:
    """Return the resource of a row."""
    return json.decode_trusted(row.body)


@pytest.fixture(scope="session")
async def examples_tenant(open_tenant: OpenTenant) -> Tenant:
    """A tenant with an instance for every parameter of R4."""
    from tests.search.test_examples import cases

    tenant = await open_tenant("search_examples")
    await load(tenant, {(r["resourceType"], r["id"]): r for _, _, r, _ in cases()[0]}.values())
    return tenant
