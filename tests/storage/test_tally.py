"""What is counted is what is there: after any changes, by whatever path, in both tenants."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from fhir_server.kit import ids
from fhir_server.storage import codings, tally
from fhir_server.storage.commands import AuditRow, Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4
from tests.storage.test_commit import audit_row

TYPE = "Basic"
RESOURCE: dict[str, Any] = {"resourceType": TYPE}


def keys_of(tenant: Tenant, unique: str) -> list[int]:
    return [tenant.key(3, "sc", unique, str(number)) for number in range(4)]


async def dictionary(tenant: Tenant, keys: list[int]) -> None:
    await codings.remember(tenant, [(key, 0, 0, 3, None, str(key), None) for key in keys])


def index(keys: list[int]) -> IndexRows:
    return IndexRows(keys=list(keys), counted=list(keys))


async def scanned(tenant: Tenant, key: int) -> int:
    text = """
    SELECT count(*) FROM {s}.resource
    WHERE type = $1 AND version > 0 AND NOT deleted AND ($2::bigint = 0 OR keys @> ARRAY[$2::bigint])
    """
    return int(await tenant.pool.fetchval(tenant.sql(text), R4.type_id(TYPE), key))


async def agree(tenant: Tenant, keys: list[int]) -> None:
    for key in (tally.ALL, *keys):
        assert await tally.count(tenant, TYPE, key) == await scanned(tenant, key)


@pytest.mark.parametrize("seed", range(3))
async def test_counts_follow_every_change(tenant: Tenant, unique: str, seed: int) -> None:
    r, keys = random.Random(seed), keys_of(tenant, unique)
    await dictionary(tenant, keys)
    standing: dict[str, tuple[int, IndexRows]] = {}
    for _ in range(40):
        commands: list[Command] = []
        for id_ in {r.choice([*standing, ids.new_id(), ids.new_id()]) for _ in range(r.choice([1, 1, 2, 5]))}:
            version, previous = standing.get(id_, (0, IndexRows()))
            now = index(r.sample(keys, r.randint(0, 3)))
            deletes = bool(version and previous.keys and r.random() < 0.4)
            before = previous if version else None
            if deletes:
                now = IndexRows()
                commands.append(Command("delete", TYPE, id_, expected=version, previous=before))
            else:
                method = "update" if previous.keys else "create"
                commands.append(Command(method, TYPE, id_, RESOURCE, now, version, before))
            standing[id_] = version + 1, now
        audit: list[AuditRow] = [audit_row(unique)] if len(commands) == 1 else []
        await commit(tenant, commands, audit)
        if r.random() < 0.3:
            await tally.fold(tenant)
    await agree(tenant, keys)


async def test_what_is_refused_counts_nothing(tenant: Tenant, unique: str) -> None:
    keys = keys_of(tenant, unique)
    await dictionary(tenant, keys)
    id_ = ids.new_id()
    await commit(tenant, [Command("create", TYPE, id_, RESOURCE, index(keys[:1]))])
    for stale in ([], [Command("create", TYPE, ids.new_id(), RESOURCE, index(keys))]):
        with pytest.raises(VersionConflict):
            await commit(tenant, [*stale, Command("update", TYPE, id_, RESOURCE, index(keys[1:]), 7, index(keys[:1]))])
    await agree(tenant, keys)
    assert await tally.count(tenant, TYPE, keys[0]) == 1


async def test_folding_beside_writers_loses_nothing(tenant: Tenant, unique: str) -> None:
    keys = keys_of(tenant, unique)
    await dictionary(tenant, keys)
    creates = (
        commit(tenant, [Command("create", TYPE, ids.new_id(), RESOURCE, index(keys[:2]), fresh=True)])
        for _ in range(150)
    )
    await asyncio.gather(*creates, *(tally.fold(tenant) for _ in range(20)))
    assert await tally.count(tenant, TYPE, keys[0]) == 150
    await agree(tenant, keys)


async def test_what_is_no_coding_is_not_counted(tenant: Tenant, unique: str) -> None:
    key = tenant.key(3, "sc", unique, "not in the dictionary")
    await commit(tenant, [Command("create", TYPE, ids.new_id(), RESOURCE, IndexRows(keys=[key]), fresh=True)])
    assert await tally.count(tenant, TYPE, key) is None
    await agree(tenant, [])


async def test_counting_anew_gives_the_same(tenant: Tenant, unique: str) -> None:
    keys = keys_of(tenant, unique)
    await dictionary(tenant, keys)
    await commit(tenant, [Command("create", TYPE, ids.new_id(), RESOURCE, index(keys[:3]), fresh=True)])
    async with tenant.pool.acquire() as connection, connection.transaction():
        await tally.fill(connection, tenant)
    await agree(tenant, keys)
