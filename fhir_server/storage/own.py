"""The search parameters of a tenant's own: which there are, and since when their entries are written.

Everything that a process knows of them is one immutable `OwnParams`; `refresh` looks once a second whether there is a newer one,
which costs one row. A *generation* is a set of parameters whose entries are written. Every row of `resource` says by which
generation its entries were made, so that an update deletes exactly those, and `$reindex` finds what it still has to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from fhir_server.kit import logs
from profiles.registry import R4

if TYPE_CHECKING:
    from fhir_server.storage.tenants import Tenant

FIRST = 1 << 14
"""Numbers of own parameters begin here; R4's are below. Both fit a smallint."""
_LAST = (1 << 15) - 1
LEARNED_WITHIN = 2.0
"""Seconds after which every process that reaches the database knows of a change."""
_LOG = logs.logger("clarity.storage")

_COLUMNS = "number, rid, type, name, kind, expression, targets, url, since, until, served"


@dataclass(frozen=True, slots=True)
class OwnParam:
    """One own parameter of one type; `until` is None while its entries are written."""

    number: int
    rid: int
    type: str
    name: str
    kind: str
    expression: str
    targets: tuple[str, ...]
    url: str
    since: int
    until: int | None
    served: bool


@dataclass(frozen=True, slots=True)
class NewParam:
    """What a SearchParameter asks for on one of its base types."""

    type: str
    name: str
    kind: str
    expression: str
    targets: tuple[str, ...]
    url: str


@dataclass(frozen=True, slots=True, eq=False)
class OwnParams:
    """What a process knows of a tenant's own parameters; compared by identity, so that it can be a key of caches."""

    revision: int = 0
    generation: int = 0
    changed_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    params: tuple[OwnParam, ...] = ()
    by_type: dict[str, tuple[OwnParam, ...]] = field(default_factory=dict)
    """Type -> those whose entries are written now."""
    types: frozenset[str] = frozenset()
    """Types that ever had one."""
    made: dict[Any, Any] = field(default_factory=dict)
    """What search works out of them."""

    def written(self, type_: str, generation: int) -> tuple[OwnParam, ...]:
        """Return those of a type whose entries a generation wrote."""
        return tuple(
            p for p in self.params
            if p.type == type_ and p.since <= generation and (p.until is None or generation < p.until)
        )  # fmt: skip


NONE = OwnParams()


class Clash(Exception):
    """Another SearchParameter has this name on this type already; or there are no numbers left."""


def _param(row: Any) -> OwnParam:
    return OwnParam(
        row["number"], row["rid"], R4.type_name(row["type"]), row["name"], row["kind"], row["expression"],
        tuple(row["targets"]), row["url"], row["since"], row["until"], row["served"],
    )  # fmt: skip


async def load(tenant: Tenant) -> None:
    """Read everything anew."""
    async with tenant.pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        state = await connection.fetchrow(tenant.sql("SELECT revision, generation, changed_at FROM {s}.own_state"))
        rows = await connection.fetch(tenant.sql(f"SELECT {_COLUMNS} FROM {{s}}.own_param ORDER BY number"))
    params = tuple(_param(row) for row in rows)
    by_type: dict[str, tuple[OwnParam, ...]] = {}
    for param in params:
        if param.until is None:
            by_type[param.type] = (*by_type.get(param.type, ()), param)
    tenant.own = OwnParams(
        state["revision"], state["generation"], state["changed_at"], params, by_type, frozenset(p.type for p in params)
    )


async def refresh(tenants: Iterable[Tenant]) -> None:
    """Read anew what has changed, of tenants over one pool; one statement when nothing has."""
    all_of_them = list(tenants)
    if not all_of_them:
        return
    one = "SELECT {number} AS number, revision FROM {{s}}.own_state"
    text = " UNION ALL ".join(t.sql(one.format(number=number)) for number, t in enumerate(all_of_them))
    for row in await all_of_them[0].pool.fetch(text):
        tenant = all_of_them[row["number"]]
        if row["revision"] != tenant.own.revision:
            await load(tenant)


async def keep_learning(tenants: Iterable[Tenant]) -> None:
    """Refresh every second until cancelled; while the database is away, what was known holds."""
    all_of_them = list(tenants)
    while True:
        await asyncio.sleep(LEARNED_WITHIN / 2)
        try:
            await refresh(all_of_them)
        except Exception:  # noqa: BLE001  whatever fails, the next look is a new chance: who stops learning writes too little
            _LOG.warning("own search parameters not refreshed", exc_info=True)


async def settle(tenant: Tenant, rid: int, wanted: Sequence[NewParam]) -> bool:
    """Make the own parameters of one SearchParameter those that it asks for now; True when that changed anything.

    What it says otherwise than before gets a number of its own: entries under the old one mean something else.
    """
    async with tenant.pool.acquire() as connection, connection.transaction():
        state = await connection.fetchrow(tenant.sql("SELECT generation FROM {s}.own_state FOR UPDATE"))
        text = f"SELECT {_COLUMNS} FROM {{s}}.own_param WHERE rid = $1 AND until IS NULL"
        present = [_param(row) for row in await connection.fetch(tenant.sql(text), rid)]
        kept = {_said(param): param for param in present}
        gone = [param.number for said, param in kept.items() if said not in {_said(new) for new in wanted}]
        new = [param for param in wanted if _said(param) not in kept]
        if not gone and not new:
            return False
        generation = state["generation"] + 1
        retire = "UPDATE {s}.own_param SET until = $2, served = false WHERE number = ANY($1::smallint[])"
        await connection.execute(tenant.sql(retire), gone, generation)
        await _add(connection, tenant, rid, new, generation)
        text = "UPDATE {s}.own_state SET revision = revision + 1, generation = $1, changed_at = now()"
        await connection.execute(tenant.sql(text), generation)
    await load(tenant)
    return True


def _said(param: OwnParam | NewParam) -> tuple[Any, ...]:
    return param.type, param.name, param.kind, param.expression, param.targets, param.url


async def _add(
    connection: asyncpg.Connection, tenant: Tenant, rid: int, new: Sequence[NewParam], generation: int
) -> None:
    text = "SELECT coalesce(max(number), $1 - 1)::int FROM {s}.own_param"
    number: int = await connection.fetchval(tenant.sql(text), FIRST)
    if number + len(new) > _LAST:
        raise Clash("all numbers of own search parameters are given")
    insert = (
        "INSERT INTO {s}.own_param (number, rid, type, name, kind, expression, targets, url, since)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    )
    try:
        for position, param in enumerate(new, number + 1):
            await connection.execute(
                tenant.sql(insert), position, rid, R4.type_id(param.type), param.name, param.kind, param.expression,
                list(param.targets), param.url, generation,
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Clash("another SearchParameter has this code on this type") from error


async def serve(tenant: Tenant, types: Sequence[str], generation: int) -> None:
    """Say that all resources of these types have the entries of the parameters that there were at a generation."""
    numbers = [R4.type_id(type_) for type_ in types]
    async with tenant.pool.acquire() as connection, connection.transaction():
        await connection.execute(tenant.sql("SELECT FROM {s}.own_state FOR UPDATE"))
        text = (
            "UPDATE {s}.own_param SET served = true"
            " WHERE type = ANY($1::smallint[]) AND since <= $2 AND until IS NULL AND NOT served"
        )
        await connection.execute(tenant.sql(text), numbers, generation)
        await connection.execute(tenant.sql("UPDATE {s}.own_state SET revision = revision + 1"))
    await load(tenant)
