"""Reading versions back. Every function that finds rows takes a Visibility: there is no other way to a body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.kit import logs
from fhir_server.storage import codec
from fhir_server.storage.errors import Erased, erased
from fhir_server.storage.keystore import KeyDestroyed, KeyMissing
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_sql, visible_types_sql
from profiles.registry import R4

COLUMNS = "r.rid, r.type, r.version, r.last_updated, r.deleted, r.method, r.key_id, r.index_version, r.patients, r.body, r.xmin"
"""What `stored` needs of a row `r`, beside `fhir_id`."""


Ring: TypeAlias = dict[int, AESGCM]
"""The ciphers of the data keys that one page has met."""
_LOG = logs.logger(__name__)


@dataclass(slots=True)
class Stored:
    """A version with its body decrypted: JSON bytes, b"" when it is a deletion or, in a history, was erased."""

    rid: int
    type: str
    id: str
    version: int
    last_updated: datetime
    deleted: bool
    method: int
    key_id: int
    index_version: int
    patients: tuple[int, ...]
    body: bytes
    write: int | None = None
    """Which write the row is of: also `$meta-add`, which makes no version, changes it."""

    @property
    def own_key(self) -> int:
        """Return the data key that the next version may keep: 0 when it is the patient's."""
        return 0 if len(self.patients) == 1 else self.key_id


class Damaged(Exception):
    """A body that was changed in the database, or whose key folder is not the one it was written with; says which row.

    Unlike an erased one it is nobody's wish: it is never left out quietly, and asking for it fails.
    """


def aad(tenant: Tenant, type_: str, id_: str, version: int) -> bytes:
    """Return what a body is bound to: it opens in no other row, version or tenant."""
    return f"{tenant.name}/{type_}/{id_}/{version}".encode()


def stored(tenant: Tenant, row: Any, ring: Ring | None = None) -> Stored:
    """Return the version that a record of COLUMNS and `fhir_id` holds; only statements with a Visibility make such records.

    `ring` keeps the ciphers of one page. Raises Erased when its key was destroyed, Damaged when it does not open.
    """
    type_, id_, version = R4.type_name(row["type"]), row["fhir_id"], row["version"]
    body = row["body"]
    if body is not None:
        try:
            body = codec.decode(body, _cipher(tenant, row["key_id"], ring), aad(tenant, type_, id_, version))
        except KeyDestroyed:
            raise erased(version) from None
        except (KeyMissing, InvalidTag) as error:
            raise Damaged(f"rid {row['rid']} version {version}: {type(error).__name__}") from error
    return _stored(row, type_, body)


def _cipher(tenant: Tenant, key_id: int, ring: Ring | None) -> AESGCM:
    """Return the cipher of a data key, looking once for each page whether it was destroyed."""
    if ring is None:
        return tenant.keystore.get(key_id)
    found = ring.get(key_id)
    if found is None:
        found = ring[key_id] = tenant.keystore.get(key_id)
    return found


def _stored(row: Any, type_: str, body: bytes | None) -> Stored:
    return Stored(
        row["rid"], type_, row["fhir_id"], row["version"], row["last_updated"], row["deleted"], row["method"], row["key_id"],
        row["index_version"], tuple(row["patients"] or ()), body or b"",
        row["xmin"],
    )  # fmt: skip


def readable(tenant: Tenant, rows: Iterable[Any], ring: Ring | None = None) -> list[Stored]:
    """Return what can still be read of several versions; those that were erased are left out, as deleted ones are."""
    keys = {} if ring is None else ring
    return [found for row in rows if (found := _unless_erased(tenant, row, keys)) is not None]


def _unless_erased(tenant: Tenant, row: Any, ring: Ring) -> Stored | None:
    try:
        return stored(tenant, row, ring)
    except Erased:
        return None


async def read(tenant: Tenant, type_: str, id_: str, visibility: Visibility) -> Stored | None:
    """Return the current version, a tombstone when deleted, None when absent or not visible."""
    args: list[Any] = [R4.type_id(type_), id_]
    seen = visible_sql("r", visibility, args, one=True)
    text = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE r.type = $1 AND r.fhir_id = $2 AND r.version > 0 AND {seen}"
    row = await tenant.pool.fetchrow(tenant.sql(text), *args)
    return stored(tenant, row) if row else None


async def read_many(
    tenant: Tenant, names: Sequence[tuple[str, str]], visibility: Mapping[str, Visibility]
) -> dict[tuple[str, str], Stored]:
    """Return the current versions of many (type, id) in one statement, as far as they are visible."""
    args: list[Any] = [[R4.type_id(type_) for type_, _ in names], [id_ for _, id_ in names]]
    seen = visible_types_sql("r", visibility, args)
    text = (
        f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r JOIN unnest($1::smallint[], $2::text[]) AS w(type, fhir_id)"
        f" ON r.type = w.type AND r.fhir_id = w.fhir_id WHERE r.version > 0 AND {seen}"
    )
    rows = [stored(tenant, row) for row in await tenant.pool.fetch(tenant.sql(text), *args)]
    return {(row.type, row.id): row for row in rows}


async def owners(
    tenant: Tenant, names: Sequence[tuple[str, str]], visibility: Mapping[str, Visibility]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return whose (rids of patients) those of many (type, id) are that are there, or were, and visible."""
    args: list[Any] = [[R4.type_id(type_) for type_, _ in names], [id_ for _, id_ in names]]
    visible = visible_types_sql("r", visibility, args)
    text = (
        "SELECT r.type, r.fhir_id, r.patients FROM {s}.resource r JOIN unnest($1::smallint[], $2::text[]) AS w(type, fhir_id)"
        f" ON r.type = w.type AND r.fhir_id = w.fhir_id WHERE r.version > 0 AND {visible}"
    )
    rows = await tenant.pool.fetch(tenant.sql(text), *args)
    return {(R4.type_name(row["type"]), row["fhir_id"]): tuple(row["patients"] or ()) for row in rows}


async def current(tenant: Tenant, rids: Sequence[int], visibility: Mapping[str, Visibility]) -> dict[int, Stored]:
    """Return the current versions of rids as far as they are visible; what was deleted, erased or is damaged is left out."""
    args: list[Any] = [list(rids)]
    seen = visible_types_sql("r", visibility, args)
    text = (
        f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r"
        f" WHERE r.rid = ANY($1::bigint[]) AND r.version > 0 AND NOT r.deleted AND {seen}"
    )
    found = {}
    for row in await tenant.pool.fetch(tenant.sql(text), *args):
        try:
            found[row["rid"]] = stored(tenant, row)
        except Erased:
            continue
        except Damaged:
            _LOG.error("damaged version left out", tenant=tenant.name, exc_info=True)
    return found


async def seen(tenant: Tenant, rids: Sequence[int], visibility: Mapping[str, Visibility]) -> dict[int, tuple[str, str]]:
    """Return type and id of those of `rids` that are current and visible."""
    args: list[Any] = [list(rids)]
    visible = visible_types_sql("r", visibility, args)
    text = (
        "SELECT r.rid, r.type, r.fhir_id FROM {s}.resource r"
        f" WHERE r.rid = ANY($1::bigint[]) AND r.version > 0 AND NOT r.deleted AND {visible}"
    )
    rows = await tenant.pool.fetch(tenant.sql(text), *args) if args[0] else []
    return {row["rid"]: (R4.type_name(row["type"]), row["fhir_id"]) for row in rows}


async def seen_ids(tenant: Tenant, type_: str, ids: Sequence[str], visibility: Visibility) -> set[str]:
    """Return those of `ids` whose resources are current and visible."""
    args: list[Any] = [R4.type_id(type_), list(ids)]
    visible = visible_sql("r", visibility, args)
    text = (
        "SELECT r.fhir_id FROM {s}.resource r"
        f" WHERE r.type = $1 AND r.fhir_id = ANY($2::text[]) AND r.version > 0 AND NOT r.deleted AND {visible}"
    )
    return {row["fhir_id"] for row in await tenant.pool.fetch(tenant.sql(text), *args)}


async def each(tenant: Tenant, visibility: Mapping[str, Visibility], count: int) -> AsyncIterator[list[Stored]]:
    """Yield all that is visible of some types, `count` looked at at a time; what was deleted or erased is left out."""
    args: list[Any] = [0, count]
    seen = visible_types_sql("r", visibility, args)
    text = tenant.sql(
        f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r"
        f" WHERE r.rid > $1 AND r.version > 0 AND NOT r.deleted AND {seen} ORDER BY r.rid LIMIT $2"
    )
    while records := await tenant.pool.fetch(text, *args):
        args[0] = records[-1]["rid"]
        yield readable(tenant, records)


async def vread(tenant: Tenant, type_: str, id_: str, version: int, visibility: Visibility) -> Stored | None:
    """Return one version, judged by what that version held, and by what must not stand in the current one either."""
    args: list[Any] = [R4.type_id(type_), id_, version]
    current = visible_sql("r", visibility, args, one=True)
    past = visible_sql("h", visibility, args, current="r", one=True)
    text = f"""
    SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r
    WHERE r.type = $1 AND r.fhir_id = $2 AND r.version = $3 AND r.version > 0 AND {current}
    UNION ALL
    SELECT {COLUMNS.replace("r.", "h.")}, r.fhir_id FROM {{s}}.resource r JOIN {{s}}.history h USING (rid)
    WHERE r.type = $1 AND r.fhir_id = $2 AND h.version = $3 AND {past}
    """
    row = await tenant.pool.fetchrow(tenant.sql(text), *args)
    return stored(tenant, row) if row else None


async def fetch(tenant: Tenant, rids: Sequence[int]) -> list[Stored]:
    """Return current versions in the order of `rids`, which a statement with a Visibility has returned, without erased ones."""
    text = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE r.rid = ANY($1::bigint[]) AND r.version > 0 AND NOT r.deleted"
    rows = {row["rid"]: row for row in await tenant.pool.fetch(tenant.sql(text), list(rids))}
    return readable(tenant, [rows[rid] for rid in rids if rid in rows])


async def any_holds(tenant: Tenant, type_: str, compartment: Sequence[int], keys: Sequence[int]) -> bool:
    """Tell whether some resource of a type that the index has under a compartment holds one of the keys, kept from somebody."""
    text = """SELECT EXISTS (SELECT FROM {s}.resource r WHERE r.type = $1 AND r.version > 0 AND NOT r.deleted
      AND r.keys[r.unsought + 1:] && $2::bigint[] AND r.keys && $3::bigint[])"""
    return bool(await tenant.pool.fetchval(tenant.sql(text), R4.type_id(type_), list(compartment), list(keys)))


async def any_of_others(tenant: Tenant, type_: str, compartment: Sequence[int], patients: Sequence[int]) -> bool:
    """Tell whether some resource of a type that the index has under a compartment is also one of these patients'."""
    text = """SELECT EXISTS (SELECT FROM {s}.resource r WHERE r.type = $1 AND r.version > 0 AND NOT r.deleted
      AND r.keys[r.unsought + 1:] && $2::bigint[] AND cardinality(r.patients) > 1 AND r.patients && $3::bigint[])"""
    return bool(await tenant.pool.fetchval(tenant.sql(text), R4.type_id(type_), list(compartment), list(patients)))


async def holding(connection: asyncpg.Connection, tenant: Tenant, rids: Sequence[int], keys: Sequence[int]) -> set[int]:
    """Return those of `rids` whose current version holds one of the keys: numbers only, for the workers."""
    text = "SELECT rid FROM {s}.resource r WHERE r.rid = ANY($1::bigint[]) AND r.keys && $2::bigint[] AND NOT r.deleted"
    return {row["rid"] for row in await connection.fetch(tenant.sql(text), list(rids), list(keys))}


@dataclass(frozen=True, slots=True)
class Kept:
    """A version together with the index keys that it was committed with."""

    stored: Stored
    keys: frozenset[int]


def kept(tenant: Tenant, row: Any) -> Kept | None:
    """Return the version that a record of COLUMNS, `fhir_id` and `keys` holds; None for what was erased or is damaged."""
    try:
        return Kept(stored(tenant, row), frozenset(row["keys"] or ()))
    except Erased:
        return None
    except Damaged:
        _LOG.error("damaged version left out", tenant=tenant.name, exc_info=True)
        return None


async def exact(
    tenant: Tenant, wanted: Sequence[tuple[int, int]], connection: asyncpg.Connection | None = None
) -> dict[tuple[int, int], Kept]:
    """Return these (rid, version), current or not, for the workers that judge what was committed; no caller may see them.

    What was deleted or erased has nothing to judge and is left out; so is what is damaged, for nobody may be told of it and one
    row must not hold up all others: the log says that there is one.
    """
    if not wanted:
        return {}
    past = COLUMNS.replace("r.", "h.")
    text = f"""
    WITH w AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[]) AS w(rid, version))
    SELECT {COLUMNS}, r.keys, r.fhir_id FROM {{s}}.resource r JOIN w ON r.rid = w.rid AND r.version = w.version WHERE NOT r.deleted
    UNION ALL
    SELECT {past}, h.keys, r.fhir_id FROM {{s}}.history h JOIN w ON h.rid = w.rid AND h.version = w.version
    JOIN {{s}}.resource r ON r.rid = h.rid WHERE NOT h.deleted
    """
    found = {}
    asked = connection or tenant.pool
    for row in await asked.fetch(tenant.sql(text), [rid for rid, _ in wanted], [v for _, v in wanted]):
        if (version := kept(tenant, row)) is not None:
            found[(row["rid"], row["version"])] = version
    return found


async def versions(tenant: Tenant, rids: Sequence[int]) -> dict[int, int]:
    """Return the current version number of each of `rids`, deletions included: numbers only, for the workers."""
    text = "SELECT rid, version FROM {s}.resource WHERE rid = ANY($1::bigint[]) AND version > 0"
    return {row["rid"]: row["version"] for row in await tenant.pool.fetch(tenant.sql(text), list(rids))}


async def stamp(tenant: Tenant, type_: str) -> tuple[int, int]:
    """Return two numbers of which one changes with every version of a type that is written: numbers only, for the workers."""
    text = "SELECT count(*) AS n, coalesce(sum(version), 0)::bigint AS versions FROM {s}.resource WHERE type = $1 AND version > 0"
    row = await tenant.pool.fetchrow(tenant.sql(text), R4.type_id(type_))
    return row["n"], row["versions"]


def _history_half(alias: str, id_: str | None, seen: str, since: str, before: str) -> str:
    columns = COLUMNS.replace("r.", f"{alias}.")
    source = "{s}.resource r" if alias == "r" else "{s}.history h JOIN {s}.resource r USING (rid)"
    identity = "r.fhir_id = $1 AND" if id_ is not None else "$1::text IS NULL AND"
    return (
        f"(SELECT {columns}, r.fhir_id FROM {source} WHERE {identity} {alias}.version > 0 AND {seen}{since}{before}"
        f" ORDER BY {alias}.last_updated DESC, {alias}.rid DESC, {alias}.version DESC LIMIT $2)"
    )


_NEXT = "SELECT n.last_updated FROM {s}.history n WHERE n.rid = h.rid AND n.version = h.version + 1"


def _current_at(alias: str, at: tuple[datetime, datetime], args: list[Any]) -> str:
    """Return the condition that a version was the current one at a moment from `at[0]` to before `at[1]`."""
    args.append(at[1])
    begun = f" AND {alias}.last_updated < ${len(args)}"
    if alias == "r":
        return begun
    args.append(at[0])
    return (
        f"{begun} AND coalesce(CASE WHEN r.version > h.version + 1 THEN ({_NEXT}) END, r.last_updated) > ${len(args)}"
    )


async def history(
    tenant: Tenant,
    visibility: Mapping[str, Visibility],
    *,
    id_: str | None = None,
    since: datetime | None = None,
    at: tuple[datetime, datetime] | None = None,
    before: tuple[datetime, int, int] | None = None,
    count: int = 50,
) -> list[Stored]:
    """Return versions newest first; `visibility` names the types; `before` is (last_updated, rid, version) of the last one seen.

    `at` leaves those that were current at some moment from its start to before its end.
    """
    args: list[Any] = [id_, count]
    halves = []
    for alias in ("r", "h"):
        seen = visible_types_sql(alias, visibility, args, current="r" if alias == "h" else "")
        since_sql = before_sql = ""
        if since is not None:
            args.append(since)
            since_sql = f" AND {alias}.last_updated >= ${len(args)}"
        if at is not None:
            since_sql += _current_at(alias, at, args)
        if before is not None:
            args.extend(before)
            last = len(args)
            place = f"(${last - 2}, ${last - 1}::bigint, ${last}::int)"
            before_sql = f" AND ({alias}.last_updated, {alias}.rid, {alias}.version) < {place}"
        halves.append(_history_half(alias, id_, seen, since_sql, before_sql))
    text = " UNION ALL ".join(halves) + " ORDER BY last_updated DESC, rid DESC, version DESC LIMIT $2"
    rows = await tenant.pool.fetch(tenant.sql(text), *args)
    ring: Ring = {}
    # An erased version keeps its place: that it was there is no secret, what it said is gone.
    return [_unless_erased(tenant, row, ring) or _stored(row, R4.type_name(row["type"]), None) for row in rows]


async def claimed(tenant: Tenant, type_: str, id_: str) -> tuple[int | None, tuple[int, ...]]:
    """Return the rid and patients of what a request named; (None, ()) when there is no such resource.

    The one look at resources by name that no Visibility narrows: it answers numbers for the audit row of a refusal ("denied
    access must be audited with the claimed patient, if known", BALP), and no caller ever sees them. The same statement runs for
    a resource that does not exist.
    """
    text = "SELECT rid, patients FROM {s}.resource WHERE type = $1 AND fhir_id = $2 AND version > 0"
    row = await tenant.pool.fetchrow(tenant.sql(text), R4.type_id(type_), id_)
    return (row["rid"], tuple(row["patients"] or ())) if row else (None, ())
