"""What an older form of extraction indexed is indexed anew: whole, once, and going on after it was stopped."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.kit import json
from fhir_server.search.extract import extract
from fhir_server.storage.commands import INDEX_VERSION, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.reindex import reindex
from fhir_server.storage.tenants import Tenant
from tests.search import population as p
from tests.search.conftest import ids, load

RESOURCES = p.population(5, 12)
TABLES = ("ix_date", "ix_number", "ix_string", "series", "coding", "facet")


async def entries(tenant: Tenant) -> dict[str, list[Any]]:
    """All that searches go by."""
    keys = "SELECT rid, patients, keys, unsought FROM {s}.resource WHERE version > 0 AND NOT deleted ORDER BY rid"
    found = {"resource": [tuple(row) for row in await tenant.pool.fetch(tenant.sql(keys))]}
    for table in TABLES:
        rows = await tenant.pool.fetch(tenant.sql(f"SELECT t::text FROM {{s}}.{table} t ORDER BY 1"))
        found[table] = [row[0] for row in rows]
    return found


async def make_old(tenant: Tenant) -> None:
    """Leave what an older form might have left: other keys, missing rows, rows too many, no dictionary."""
    for statement in (
        "UPDATE {s}.resource SET index_version = 1, keys = '{1,2}', unsought = 0 WHERE version > 0",
        "DELETE FROM {s}.ix_date WHERE param % 2 = 0",
        "INSERT INTO {s}.ix_string SELECT rid, 1, 'old' FROM {s}.resource WHERE version > 0 AND NOT deleted",
        "TRUNCATE {s}.coding, {s}.facet",
        "UPDATE {s}.index_state SET version = 1, done = 0",
    ):
        await tenant.pool.execute(tenant.sql(statement))
    tenant.codings.clear()
    tenant.blends.clear()


@pytest.mark.parametrize("name", ["reindex_one", "reindex_two"])
async def test_a_database_of_an_older_form(open_tenant: Any, name: str) -> None:
    tenant = await open_tenant(name)
    await load(tenant, RESOURCES)
    wanted = await entries(tenant)
    await make_old(tenant)
    seen = 0

    def index_of(body: bytes) -> IndexRows:
        nonlocal seen
        seen += 1
        if seen == 50:
            raise KeyboardInterrupt
        return extract(tenant, json.decode_trusted(body))

    with pytest.raises(KeyboardInterrupt):
        await reindex(tenant, index_of, batch=20)
    changed = await reindex(tenant, index_of, batch=20)
    assert changed == len(RESOURCES) - 40
    assert await entries(tenant) == wanted
    assert await ids(tenant, "Observation", "code=8867-4")
    assert await tenant.pool.fetchval(tenant.sql("SELECT version FROM {s}.index_state")) == INDEX_VERSION
    assert await reindex(tenant, index_of) == 0


async def test_a_new_database_has_nothing_to_do(open_tenant: Any) -> None:
    tenant = await open_tenant("reindex_new")
    assert await reindex(tenant, lambda body: extract(tenant, json.decode_trusted(body))) == 0
    assert await commit(tenant, []) == []
