"""What a search asks of a row, between its meaning (kinds) and its SQL (compile).

    (all (keys K1) (keys K2 K3) (rows ix_date "param = 7 AND lo >= {}"))
    (any (keys K4) (rows ix_number …))
    (without (keys K5))
    (refers P (hop Patient seen …))           a live row that is seen and meets …, to which P refers
    (referred P (hop Observation seen …))     a live row that is seen and meets …, which refers here by P
    (inseries C (hop Observation seen …))     the same for an Observation of this Patient under a code
    (faceted (keys K7))                                     a key of the row, in the index only within blends
    (coded K6)                                              any key that the dictionary has under K6

A `Match` pairs a predicate with its doubt: rows that match and are in doubt are decrypted and looked into before they count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from fhir_server.storage.layout import Known
from fhir_server.storage.visibility import Visibility


@dataclass(frozen=True, slots=True)
class Keys:
    """The row holds at least one of these index keys."""

    any_of: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Coded:
    """The row holds one of the keys that the dictionary of codings has under the key of a code or of a system.

    `many` says that these are too many to name: each of the row's keys is looked up there instead.
    """

    at: int
    many: bool = False


@dataclass(frozen=True, slots=True)
class Faceted:
    """The same of keys that the index has only in blends (`storage/layout.py`): the row is asked until the blends are known."""

    part: Keys | Coded

    @property
    def at(self) -> tuple[int, ...]:
        """Under what the blends are looked up."""
        return self.part.any_of if isinstance(self.part, Keys) else (self.part.at,)


@dataclass(frozen=True, slots=True)
class Rows:
    """A narrow table has a row for the resource; `where` has `{}` for each of `values`.

    `ranges` are further conditions under any of which it also matches: each is sought in the index on its own.
    """

    table: str
    where: str
    values: tuple[Any, ...] = ()
    ranges: tuple[tuple[str, tuple[Any, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A condition on the resource row itself, whose alias is written `{r}`; `{}` stands for each of `values`."""

    where: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class All:
    """All hold; () always holds."""

    parts: tuple[Predicate, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one holds; () never holds."""

    parts: tuple[Predicate, ...] = ()


@dataclass(frozen=True, slots=True)
class Without:
    """The row does not match."""

    part: Predicate


@dataclass(frozen=True, slots=True)
class Hop:
    """A live row of `type`, of what the caller may see there, that matches: where a chain or `_has` leads."""

    type: str
    seen: Visibility
    part: Predicate


@dataclass(frozen=True, slots=True)
class Refers:
    """The row refers, under one of the parameter numbers `params`, to such a row."""

    params: tuple[int, ...]
    to: Hop


@dataclass(frozen=True, slots=True)
class Referred:
    """Such a row refers to this one, under one of the parameter numbers `params`."""

    params: tuple[int, ...]
    by: Hop


@dataclass(frozen=True, slots=True)
class InSeries:
    """The row is a Patient in whose time series an Observation stands, under one of the codes, where such a hop may lead."""

    codes: tuple[int, ...]
    by: Hop


Predicate: TypeAlias = Keys | Coded | Faceted | Rows | Column | All | AnyOf | Without | Refers | Referred | InSeries

EVERYTHING = All()
NOTHING = AnyOf()


def keys(found: list[int] | tuple[int, ...]) -> Predicate:
    """Return `Keys`, or NOTHING for none."""
    return Keys(tuple(found)) if found else NOTHING


_AMONG = "{r}.rid = ANY({}::bigint[])"


def among(rids: list[int]) -> Predicate:
    """Return the condition of being one of these rows, NOTHING for none."""
    return Column(_AMONG, (rids,)) if rids else NOTHING


def is_among(part: Predicate) -> bool:
    """Tell whether a condition names its rows."""
    return isinstance(part, Column) and part.where == _AMONG


def holding(wanted: list[int], within: str) -> Predicate:
    """Return the condition of holding one of many keys, to be looked for row by row; `within` bounds the keys `k` to look at."""
    return Column(f"EXISTS (SELECT FROM unnest({{r}}.keys) k WHERE {within} AND k = ANY({{}}::bigint[]))", (wanted,))


def all_of(parts: list[Predicate]) -> Predicate:
    """Return the AND, flat and without what says nothing."""
    flat: list[Predicate] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, All) else [part])
    if NOTHING in flat:
        return NOTHING
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def any_of(parts: list[Predicate]) -> Predicate:
    """Return the OR, flat, with all keys in one and all conditions on a narrow table in one."""
    flat: list[Predicate] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, AnyOf) else [part])
    if EVERYTHING in flat:
        return EVERYTHING
    found = tuple(key for part in flat if isinstance(part, Keys) for key in part.any_of)
    merged: list[Predicate] = [Keys(tuple(dict.fromkeys(found)))] if found else []
    merged += _by_table([part for part in flat if isinstance(part, Rows)])
    merged += [part for part in flat if not isinstance(part, Keys | Rows)]
    return merged[0] if len(merged) == 1 else AnyOf(tuple(merged))


def _by_table(found: list[Rows]) -> list[Rows]:
    """Return conditions on rows as one for each table."""
    tables: dict[str, Rows] = {}
    for rows in found:
        first = tables.get(rows.table)
        more = ((rows.where, rows.values), *rows.ranges)
        tables[rows.table] = rows if first is None else replace(first, ranges=(*first.ranges, *more))
    return list(tables.values())


def coded(part: Predicate) -> set[int]:
    """Return what a condition asks of the dictionary of codings."""
    match part:
        case Coded():
            return {part.at}
        case Faceted():
            return coded(part.part)
        case All() | AnyOf():
            return {at for inner in part.parts for at in coded(inner)}
        case Without():
            return coded(part.part)
        case Refers(to=hop) | Referred(by=hop):
            return coded(hop.part)
        case _:
            return set()


def facets(part: Predicate) -> set[int]:
    """Return under what a condition asks for blends: not where it is negated, for a blend made meanwhile would be let through."""
    match part:
        case Faceted():
            return set(part.at)
        case All() | AnyOf():
            return {at for inner in part.parts for at in facets(inner)}
        case Refers(to=hop) | Referred(by=hop):
            return facets(hop.part)
        case _:
            return set()


def as_facets(part: Predicate) -> Predicate:
    """Return the same condition, said of facets."""
    match part:
        case Keys() | Coded():
            return Faceted(part)
        case All():
            return All(tuple(as_facets(inner) for inner in part.parts))
        case AnyOf():
            return AnyOf(tuple(as_facets(inner) for inner in part.parts))
        case Without():
            return Without(as_facets(part.part))
        case _:
            return part


def _faceted(part: Faceted, known: Known) -> Predicate:
    if all(at in known.blends for at in part.at):
        return keys([blend for at in part.at for blend in known.blends[at]])
    if isinstance(part.part, Keys):
        return part
    found = known.codings.get(part.part.at)
    if found is None:
        return Faceted(Coded(part.part.at, many=True))
    return Faceted(Keys(found)) if found else NOTHING


def resolved(part: Predicate, known: Known) -> Predicate:
    """Return the same condition with the keys themselves, as the dictionaries of codings and of blends have them."""
    match part:
        case Coded():
            return keys(known.codings[part.at]) if part.at in known.codings else Coded(part.at, many=True)
        case Faceted():
            return _faceted(part, known)
        case All():
            return all_of([resolved(inner, known) for inner in part.parts])
        case AnyOf():
            return any_of([resolved(inner, known) for inner in part.parts])
        case Without():
            return Without(resolved(part.part, Known(known.codings)))
        case Refers(to=hop):
            return replace(part, to=replace(hop, part=resolved(hop.part, known)))
        case Referred(by=hop):
            return replace(part, by=replace(hop, part=resolved(hop.part, known)))
        case _:
            return part


@dataclass(frozen=True, slots=True)
class Match:
    """A predicate that finds at least what is asked for; outside of `doubt` it finds exactly that."""

    predicate: Predicate
    doubt: Predicate = NOTHING
