"""The dictionary of codings: in it before anything holds them, in every process, for two tenants."""

from __future__ import annotations

import asyncio

from fhir_server.storage import codings
from fhir_server.storage.commands import CodingRow
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.storage.test_commit import create

SYSTEM = "urn:systems:one"


def row(tenant: Tenant, code: str, system: str = SYSTEM) -> CodingRow:
    key = tenant.key
    return key(7, "sc", system, code), key(7, "c", code), key(7, "s", system), 7, system, code, "Shown"


async def test_a_code_and_a_system_lead_to_the_codings(tenant: Tenant, unique: str) -> None:
    system = f"urn:{unique}"
    rows = [row(tenant, unique, system), row(tenant, unique, f"{system}:other"), row(tenant, f"{unique}-2", system)]
    await codings.remember(tenant, rows)
    await codings.remember(tenant, rows)
    of_code, of_system = rows[0][1], rows[0][2]
    found = await codings.look_up(tenant, {of_code, of_system, 1})
    assert {at: set(keys) for at, keys in found.items()} == {
        of_code: {rows[0][0], rows[1][0]},
        of_system: {rows[0][0], rows[2][0]},
        1: set(),
    }
    assert await codings.look_up(tenant, {of_code}, most=1) == {}
    assert tenant.codings[(7, system, unique)] == rows[0][0]


async def test_a_commit_tells_the_dictionary_first(tenant: Tenant, unique: str) -> None:
    command = create(tenant, unique)
    assert command.index is not None
    new = row(tenant, unique)
    command.index.codings = [new]
    await commit(tenant, [command])
    assert await codings.look_up(tenant, [new[1]]) == {new[1]: (new[0],)}


async def test_writers_of_the_same_codings_do_not_wait_for_each_other(tenant: Tenant, unique: str) -> None:
    rows = [row(tenant, f"{unique}-{number}") for number in range(200)]
    orders = [rows, rows[::-1], rows[100:] + rows[:100]]
    await asyncio.wait_for(asyncio.gather(*(codings.remember(tenant, order) for order in orders * 3)), 30)
    assert len(await codings.look_up(tenant, [each[1] for each in rows])) == 200


async def test_what_is_too_long_to_be_indexed_is_no_error(tenant: Tenant, unique: str) -> None:
    long = row(tenant, unique + "x" * 100_000, "urn:" + "y" * 100_000)
    await codings.remember(tenant, [long])
    assert await codings.look_up(tenant, [long[1], long[2]]) == {long[1]: (long[0],), long[2]: (long[0],)}


async def test_tenants_have_dictionaries_of_their_own(tenants: dict[str, Tenant], unique: str) -> None:
    one, other = tenants.values()
    mine = row(one, unique)
    await codings.remember(one, [mine])
    assert await codings.look_up(other, [mine[1]]) == {mine[1]: ()}
    assert (7, SYSTEM, unique) not in other.codings
