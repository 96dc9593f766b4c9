"""Which of the versions just committed meet a search, judged by what each version said, not by what stands there now.

A search's condition is a tree over index keys and narrow rows (`search/predicates.py`). Keys are asked in memory: that settles
nearly everything. What is left is asked of PostgreSQL in one statement over the index rows of the versions themselves, given as
arrays under the names of the tables; a version that was replaced long ago is judged like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from fhir_server.kit import json
from fhir_server.search.compile import condition
from fhir_server.search.extract import extract
from fhir_server.search.predicates import (
    NOTHING,
    All,
    AnyOf,
    Coded,
    Faceted,
    Keys,
    Match,
    Predicate,
    Without,
    coded,
    resolved,
)
from fhir_server.search.query import Query
from fhir_server.search.rewrite import Scene, names, whole
from fhir_server.search.verify import checker
from fhir_server.storage import codings, ident
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.layout import Known
from fhir_server.storage.reads import Kept
from fhir_server.storage.statements import array
from fhir_server.storage.tenants import Tenant

_TABLES = """
resource AS (
  SELECT rid, fhir_id, last_updated, version, false AS deleted, keys::bigint[] AS keys, 0 AS unsought
  FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::int[], $5::text[]) u(rid, fhir_id, last_updated, version, keys)),
ix_date AS (SELECT * FROM unnest($6::bigint[], $7::smallint[], $8::timestamptz[], $9::timestamptz[]) u(rid, param, lo, hi)),
ix_number AS (
  SELECT * FROM unnest($10::bigint[], $11::smallint[], $12::bigint[], $13::numeric[], $14::numeric[], $15::bigint[],
    $16::bigint[], $17::numeric[], $18::numeric[]) u(rid, param, key, lo, hi, unit, cunit, clo, chi)),
ix_string AS (
  SELECT rid, param, value COLLATE "C" AS value
  FROM unnest($19::bigint[], $20::smallint[], $21::text[]) u(rid, param, value))
"""
_WIDTHS = {"dates": 3, "numbers": 8, "strings": 2}


def settled(part: Predicate, keys: frozenset[int], behind: Collection[int] = ()) -> bool | None:
    """Tell whether a version with these keys meets a condition; None when keys alone cannot tell.

    `behind` are the keys of the codes and systems that its keys stand under in the dictionary of codings.
    """
    match part:
        case Faceted():
            return settled(part.part, keys, behind)
        case Keys():
            return not keys.isdisjoint(part.any_of)
        case Coded():
            return part.at in behind
        case All():
            found = [settled(inner, keys, behind) for inner in part.parts]
            return False if False in found else None if None in found else True
        case AnyOf():
            found = [settled(inner, keys, behind) for inner in part.parts]
            return True if True in found else None if None in found else False
        case Without():
            inside = settled(part.part, keys, behind)
            return None if inside is None else not inside
        case _:
            return None


class Standing:
    """A search that is asked again and again: its condition, made anew only when what it refers to becomes known."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self.refers = frozenset(names(query))
        self._rids: dict[tuple[str, str], int] = {}
        self._known = -1
        self.meant = Match(NOTHING)
        """The condition as it is before the dictionary of codings is asked."""
        self.codings: set[int] = set()
        """What it asks of that dictionary, which may know more with every commit."""
        self.decide: Callable[[bytes], bool] = lambda _body: False

    def known(self, tenant: Tenant) -> dict[tuple[str, str], int]:
        """Return the rids of what the search refers to; once taken in they stay, whatever the tenant's memory forgets."""
        missing = self.refers - self._rids.keys()
        self._rids.update((name, tenant.rids[name]) for name in missing if name in tenant.rids)
        return self._rids

    def settle(self, tenant: Tenant) -> None:
        """Take in what is known of the resources referred to; `look_up` comes before."""
        rids = self.known(tenant)
        if len(rids) != self._known:
            scene = Scene(self._query.base, tenant.key, rids)
            self.meant = whole(self._query, scene)
            self.codings = coded(self.meant.predicate)
            self.decide, self._known = checker(self._query, scene), len(rids)


async def look_up(tenant: Tenant, searches: Iterable[Standing]) -> None:
    """Ask once for everything that the searches refer to and that is not known yet."""
    all_searches = list(searches)
    unknown = {name for search in all_searches for name in search.refers - search.known(tenant).keys()}
    if unknown:
        await ident.look_up(tenant, unknown)
    for search in all_searches:
        search.settle(tenant)


async def meeting(tenant: Tenant, search: Standing, versions: Sequence[Kept]) -> list[Kept]:
    """Return those of the versions, all of the search's type, that meet it; `look_up` comes before."""
    asked, known = search.meant, dict[int, tuple[int, int]]()
    if search.codings:
        known = await codings.behind(tenant, {key for version in versions for key in version.keys})
    met: dict[int, bool] = {}
    unsettled: list[int] = []
    for position, version in enumerate(versions):
        behind = {at for key in version.keys for at in known.get(key, ())}
        hit = settled(asked.predicate, version.keys, behind)
        doubt = settled(asked.doubt, version.keys, behind)
        if hit is False:
            continue
        if hit is None or doubt is None:
            unsettled.append(position)
        else:
            met[position] = doubt
    if unsettled:
        named = await codings.look_up(tenant, search.codings) if search.codings else {}
        wanted = Match(resolved(asked.predicate, Known(named)), asked.doubt)
        there = await _ask(tenant, wanted, [versions[position] for position in unsettled])
        met.update({unsettled[number]: doubt for number, doubt in there.items()})
    return [versions[at] for at in sorted(met) if not met[at] or search.decide(versions[at].stored.body)]


async def _ask(tenant: Tenant, wanted: Match, versions: Sequence[Kept]) -> dict[int, bool]:
    """Return which of the versions meet the condition, by their number here, and whether they are in doubt."""
    args = _arguments(tenant, versions)
    hit, doubt = condition(wanted.predicate, args), condition(wanted.doubt, args)
    hit, doubt = (text.replace("{s}.coding", f"{tenant.schema}.coding").replace("{s}.", "") for text in (hit, doubt))
    text = f"WITH {_TABLES} SELECT r.rid, {doubt} AS doubt FROM resource r WHERE {hit}"
    return {row["rid"]: row["doubt"] for row in await tenant.pool.fetch(text, *args)}


def _arguments(tenant: Tenant, versions: Sequence[Kept]) -> list[Any]:
    rows = [extract(tenant, json.decode_trusted(version.stored.body)) for version in versions]
    args: list[Any] = [
        list(range(len(versions))),
        [version.stored.id for version in versions],
        [version.stored.last_updated for version in versions],
        [version.stored.version for version in versions],
        [array(version.keys) for version in versions],
    ]
    for kind, width in _WIDTHS.items():
        args += _narrow(rows, kind, width)
    return args


def _narrow(rows: Sequence[IndexRows], kind: str, width: int) -> list[list[Any]]:
    """Return the columns of the narrow rows of a kind, headed by the number of the version that each is of."""
    found = [(number, *row) for number, index in enumerate(rows) for row in getattr(index, kind)]
    return [list(column) for column in zip(*found, strict=True)] if found else [[] for _ in range(width + 1)]
