"""The dictionary of codings: under which keys of `resource.keys` a code stands in any system, and all codes of a system.

A Coding makes one key, that of system and code. What asks for less (`code=X`, `code=system|`) asks here for the keys first. So a
coding stands here before the first resource that holds it is committed: a crash may leave one here that nothing holds, never the
reverse. Rows are never removed; what a process has seen here it remembers (`Tenant.codings`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from weakref import WeakKeyDictionary

from fhir_server.storage.commands import CodingRow
from fhir_server.storage.tenants import Tenant

MOST = 500
"""Keys that a search names; what has more is asked of each row."""
_REMEMBERED = 200_000
_TEXT = 200
"""What of a text is kept, in characters: it is there to be shown and sorted by, not to be looked up."""

_behind: WeakKeyDictionary[Tenant, dict[int, tuple[int, int] | None]] = WeakKeyDictionary()

_INSERT = """
INSERT INTO {s}.coding (key, by_code, by_system, param, system, code, display)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (key) DO NOTHING
"""

UNDER = """
  (SELECT key FROM {s}.coding WHERE by_code = w.at AND by_code <> 0 LIMIT $2) UNION ALL
  (SELECT key FROM {s}.coding WHERE by_system = w.at AND by_system <> 0 LIMIT $2)
"""
"""The keys under `w.at`, $2 of each at most. `<> 0` is what the partial indexes say: a prepared statement does not infer it."""

_LOOK_UP = f"SELECT w.at, c.key FROM unnest($1::bigint[]) w(at) CROSS JOIN LATERAL ({UNDER}) c"


async def remember(tenant: Tenant, rows: Iterable[CodingRow]) -> None:
    """Put codings into the dictionary, durably: when this returns, every process finds them."""
    new = {row[0]: row for row in rows}
    if not new:
        return
    ordered = [new[key] for key in sorted(new)]  # two writers that insert the same ones never wait for each other
    columns = [list(column) for column in zip(*ordered, strict=True)]
    columns[4:] = [[text and text[:_TEXT] for text in texts] for texts in columns[4:]]
    await tenant.pool.execute(tenant.sql(_INSERT), *columns)
    if len(tenant.codings) > _REMEMBERED:
        tenant.codings.clear()
    tenant.codings.update(((param, system, code), key) for key, _, _, param, system, code, _ in ordered)


async def look_up(tenant: Tenant, wanted: Collection[int], most: int = MOST) -> dict[int, tuple[int, ...]]:
    """Return the keys under each of the keys of codes and of systems; those with more than `most` are left out."""
    found: dict[int, list[int]] = {at: [] for at in wanted}
    if wanted:
        for row in await tenant.pool.fetch(tenant.sql(_LOOK_UP), list(wanted), most + 1):
            found[row["at"]].append(row["key"])
    return {at: tuple(keys) for at, keys in found.items() if len(keys) <= most}


async def behind(tenant: Tenant, keys: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return, for each of these keys that is one of a coding, the keys of its code and of its system.

    The keys are of committed versions: what is no coding then never will be one, so that too is remembered.
    """
    known = _behind.setdefault(tenant, {})
    if len(known) > _REMEMBERED:
        known.clear()
    if new := [key for key in keys if key < 0 and key not in known]:  # what is not negative is a reference
        text = "SELECT key, by_code, by_system FROM {s}.coding WHERE key = ANY($1::bigint[])"
        rows = await tenant.pool.fetch(tenant.sql(text), new)
        known.update(dict.fromkeys(new))
        known.update({row["key"]: (row["by_code"], row["by_system"]) for row in rows})
    return {key: pair for key in keys if (pair := known.get(key)) is not None}


def among(rows: Sequence[CodingRow], wanted: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return the same for codings that are not in the dictionary yet."""
    return {at: tuple(row[0] for row in rows if at in row[1:3]) for at in wanted}
