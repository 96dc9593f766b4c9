"""What a caller may see, as a condition on index keys that every statement carries.

A Visibility is an OR of Grants, a Grant an AND of keys that must be there, keys that must not, and groups of which one must (the
compartments of all patients whom somebody cares for). `()` sees nothing. What is told of other resources is seen where those are
(`Through`). Because compartments, scope filters, labels and what a Consent says are all index keys, one form serves current rows,
history rows and counts alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.kit.memo import Memo
from fhir_server.storage.index_keys import COMPARTMENT, MOST_RID, pack
from fhir_server.storage.layout import SOUGHT, alternatives
from fhir_server.storage.statements import array
from profiles.registry import R4


@dataclass(frozen=True, slots=True)
class Through:
    """What is seen of the resources that a row refers to by `param`, by groups of types; of a type in no group nothing is."""

    param: int
    seen: tuple[tuple[tuple[int, ...], Visibility], ...]
    absent: bool = False
    """Whether it may refer to what is not here."""


@dataclass(frozen=True, slots=True)
class Unless:
    """Of rows that hold a key of `group` (the records of some patients), no more than `seen`; all others."""

    group: tuple[int, ...]
    seen: Visibility


@dataclass(frozen=True, slots=True)
class Grant:
    """Rows that hold every key of `all_of`, none of `none_of`, and one or more of every group in `any_of`.

    `rids` narrows to single resources (what stands for the person who signed in, say), `not_rids` leaves single ones out.
    `through` leaves out what refers to something that is not seen, `unless` what is seen less of for some patients.
    """

    all_of: tuple[int, ...] = ()
    none_of: tuple[int, ...] = ()
    any_of: tuple[tuple[int, ...], ...] = ()
    rids: tuple[int, ...] = ()
    not_rids: tuple[int, ...] = ()
    through: tuple[Through, ...] = ()
    unless: tuple[Unless, ...] = ()

    @property
    def by_row(self) -> bool:
        """Tell whether more than keys decides, so that only the SQL knows."""
        return bool(self.rids or self.not_rids or self.through) or any(
            grant.by_row for each in self.unless for grant in each.seen
        )

    def admits(self, keys: frozenset[int]) -> bool:
        """Tell whether a row with these keys is granted, as the SQL would; never by its rid, nor by what it refers to: who
        asks has said neither.
        """
        return (
            not (self.rids or self.not_rids or self.through)
            and keys.issuperset(self.all_of)
            and keys.isdisjoint(self.none_of)
            and all(not keys.isdisjoint(group) for group in self.any_of)
            and all(keys.isdisjoint(each.group) or any(g.admits(keys) for g in each.seen) for each in self.unless)
        )


Visibility = tuple[Grant, ...]

FEW = 100
"""So many keys of a group are looked for in the index; of more, each row that is met is asked, by one hash table a statement."""

_SINGLE = 4
_PROBES = 500
"""Keys that the index is asked for to find the compartments of a grant."""

EVERYTHING: Visibility = (Grant(),)
NOTHING: Visibility = ()


_conditions: Memo[tuple[str, tuple[Any, ...]]] = Memo(1000)
_products: Memo[Visibility] = Memo(1000)


class Fixed(tuple[int, ...]):
    """Keys that are the same for all callers of a kind: statements hold them as text, and stay few.

    A value of a statement would be written and read anew for each (15 µs of a read of 200).
    """

    __slots__ = ()


def _array(keys: tuple[int, ...], args: list[Any]) -> str:
    """Return keys as an array; of a few each is a value by itself, for the driver takes 40 µs to write the shortest array."""
    if isinstance(keys, Fixed):
        return f"'{array(keys)}'::bigint[]"
    if len(keys) > _SINGLE:
        args.append(list(keys))
        return f"${len(args)}::bigint[]"
    args.extend(keys)
    return "ARRAY[" + ", ".join(f"${len(args) - len(keys) + n}" for n in range(1, len(keys) + 1)) + "]::bigint[]"


@lru_cache(maxsize=256)
def _literal(group: tuple[int, ...]) -> str:
    """Return a large group as PostgreSQL writes arrays: sent number by number, 1,500 cost the driver ten times a read."""
    return array(group)


@lru_cache(maxsize=256)
def _listed(group: tuple[int, ...]) -> str:
    """Return a large group of compartments as text in which each number stands between commas."""
    return f",{','.join(map(str, group))},"


def _named_sql(column: str, text: str) -> str:
    """Return that one of a row's patients is named in a text of numbers between commas.

    To look for one number in 200 as text takes 3 µs, to read 200 numbers first 11. A row of several patients need not name them in
    that order: of such a one each is looked for. The text is never read as numbers: a plan made for its values would do
    that while it is made, 1 ms for each thousand.
    """
    named = f"strpos({text} COLLATE \"C\", ',' || array_to_string({column}, ',') || ',') > 0"
    each = f"strpos({text} COLLATE \"C\", ',' || held.key || ',') > 0"
    return f"({named} OR cardinality({column}) > 1 AND EXISTS (SELECT FROM unnest({column}) AS held(key) WHERE {each}))"


def _group_sql(alias: str, group: tuple[int, ...], args: list[Any], *, one: bool) -> str:
    """Return that a row holds one key of a group; compartments stand in `patients` too, where there are fewer to ask.

    Of `one` row the keys are compared as they are: to build a table for that takes 60 µs.
    """
    if len(group) <= (_SINGLE if one else FEW):
        return f"{alias}.keys && {_array(group, args)}"
    compartments = pack(COMPARTMENT, 0) < min(group) and max(group) < pack(COMPARTMENT + 1, 0)
    if one and compartments:
        args.append(_listed(group))
        return _named_sql(f"{alias}.patients", f"${len(args)}::text")
    args.append(_literal(group))
    place, column = f"${len(args)}::text::bigint[]", "patients" if compartments else "keys"
    if one:
        return f"{alias}.{column} && {place}"
    # IS TRUE keeps the planner from making a join of it, which would build the table anew for every row.
    held = f"(held.key IN (SELECT unnest({place}))) IS TRUE"
    return f"EXISTS (SELECT FROM unnest({alias}.{column}) AS held(key) WHERE {held})"


def compartments(keys: Iterable[int]) -> list[int]:
    """Return those of some keys that are of compartments."""
    return [key for key in keys if 0 < key < pack(COMPARTMENT + 1, 0)]


def _reached_sql(alias: str, grant: Grant, args: list[Any], told: tuple[int, ...]) -> str:
    """Return by what the index finds the compartments of a grant: references by `told`; "" when they are none, or too many."""
    groups = [compartments(grant.all_of), *(group for group in map(compartments, grant.any_of) if group)]
    found = min((group for group in groups if group), key=len, default=[])
    wanted = [at for rid in found for param in told for at in alternatives(pack(param, rid))]
    if not wanted or len(wanted) > _PROBES:
        return ""
    args.append(array([*found, *wanted]))
    return f"{SOUGHT.replace('{r}', alias)} && ${len(args)}::text::bigint[]"


def _grant_sql(alias: str, grant: Grant, args: list[Any], current: str, *, one: bool, told: tuple[int, ...]) -> str:
    parts = []
    if reached := _reached_sql(alias, grant, args, told):
        parts.append(reached)
    if grant.all_of:
        parts.append(f"{alias}.keys @> {_array(grant.all_of, args)}")
    if grant.none_of:
        kept = _array(grant.none_of, args)
        parts.append(f"NOT {alias}.keys && {kept}")
        if current:
            parts.append(f"NOT coalesce({current}.keys, '{{}}') && {kept}")
    parts.extend(_group_sql(alias, group, args, one=one) for group in grant.any_of)
    if grant.rids:
        args.append(list(grant.rids))
        parts.append(f"{alias}.rid = ANY(${len(args)}::bigint[])")
    if grant.not_rids:
        args.append(list(grant.not_rids))
        parts.append(f"{alias}.rid <> ALL(${len(args)}::bigint[])")
    parts.extend(_through_sql(alias, through, args, one=one) for through in grant.through)
    parts.extend(_unless_sql(alias, unless, args, current, one=one) for unless in grant.unless)
    return " AND ".join(parts)


def _unless_sql(alias: str, unless: Unless, args: list[Any], current: str, *, one: bool) -> str:
    """Return that a row, and what became of it, is of none of the group, or seen all the same."""
    rows = (alias, current) if current else (alias,)
    apart = " AND ".join(f"({_group_sql(row, unless.group, args, one=one)}) IS NOT TRUE" for row in rows)
    return f"({apart} OR {visible_sql(alias, unless.seen, args, current=current, one=one)})"


def _through_sql(alias: str, through: Through, args: list[Any], *, one: bool) -> str:
    """Return that a row refers to nothing that is not seen; what was deleted is judged by what it was found by."""
    to, seen = f"{alias}_to", ["FALSE"]
    for types, visibility in through.seen:
        args.append(list(types))
        seen.append(f"{to}.type = ANY(${len(args)}::smallint[]) AND {visible_sql(to, visibility, args, one=one)}")
    there, shown = f"{to}.version > 0", f"({' OR '.join(seen)})"
    hidden = f"{there} AND {shown} IS NOT TRUE" if through.absent else f"({there} AND {shown}) IS NOT TRUE"
    return (
        f"NOT EXISTS (SELECT FROM unnest({alias}.keys) AS told(key) JOIN {{s}}.resource {to} ON {to}.rid = told.key & {MOST_RID}"
        f" WHERE told.key BETWEEN {pack(through.param, 0)} AND {pack(through.param, MOST_RID)}"
        f" AND {hidden})"
    )


def kept_from(visibility: Visibility) -> tuple[int, ...] | None:
    """Return the keys that alone are kept from a caller who sees all else; None when more than that is asked of a row."""
    return (
        visibility[0].none_of if visibility == (Grant(none_of=visibility[0].none_of if visibility else ()),) else None
    )


def visible_sql(
    alias: str,
    visibility: Visibility,
    args: list[Any],
    *,
    current: str = "",
    one: bool = False,
    told: tuple[int, ...] = (),
) -> str:
    """Return the condition on `alias`.keys, appending its values to `args`; no grant gives FALSE.

    For a row of the history, `current` is the alias of the row of `resource`: what must not be there must not be there now
    either, so that a label or a Consent that came later holds for every version. `one` says that a single row is asked; `told` are
    the parameters whose references put a row into compartments: with them the index finds the rows, which decides nothing more.
    """
    form = (alias, current, one, len(args), told)
    found = _conditions.get((visibility,), form)
    if found is None:
        numbered = list(args)
        if EVERYTHING[0] in visibility:
            text = "TRUE"
        else:
            parts = [_grant_sql(alias, grant, numbered, current, one=one, told=told) for grant in visibility]
            text = f"({' OR '.join(parts)})" if parts else "FALSE"
        found = _conditions.put((visibility,), (text, tuple(numbered[len(args) :])), form)
    args.extend(found[1])
    return found[0]


def visible_types_sql(
    alias: str,
    by_type: Mapping[str, Visibility],
    args: list[Any],
    *,
    current: str = "",
    told: Callable[[Iterable[str]], tuple[int, ...]] = lambda _types: (),
) -> str:
    """Return the condition over several types, each with its own Visibility; a type not named is not seen.

    `told` gives what `visible_sql` takes, for some types together.
    """
    groups: dict[Visibility, list[str]] = {}
    for name, visibility in by_type.items():
        groups.setdefault(visibility, []).append(name)
    parts = []
    for visibility, types in groups.items():
        if visibility:
            args.append(sorted(map(R4.type_id, types)))
            types_sql = f"{alias}.type = ANY(${len(args)}::smallint[])"
            seen = visible_sql(alias, visibility, args, current=current, told=told(types))
            parts.append(f"({types_sql} AND {seen})")
    return "(" + " OR ".join(parts) + ")" if parts else "FALSE"


# ---- the algebra: an AND and a NOT of ORs of ANDs ----


def both(left: Visibility, right: Visibility) -> Visibility:
    """Return what both see: the product of two ORs of ANDs."""
    if left == EVERYTHING:
        return right
    if right == EVERYTHING:
        return left
    found = _products.get((left, right))
    if found is None:
        found = _products.put((left, right), tuple(dict.fromkeys(_together(a, b) for a in left for b in right)))
    return found


def either(*sights: Visibility) -> Visibility:
    """Return what one of them sees."""
    found = tuple(dict.fromkeys(grant for sight in sights for grant in sight))
    return EVERYTHING if EVERYTHING[0] in found else found


def outside(visibility: Visibility) -> Visibility:
    """Return what does not see: of what is said of rows themselves, as Consents and labels do."""
    found = EVERYTHING
    for grant in visibility:
        found = both(found, _outside(grant))
    return found


def _outside(grant: Grant) -> Visibility:
    if grant.through or grant.unless:
        raise ValueError("what a row refers to, and what is said of some rows alone, has no opposite among grants")
    found = [Grant(none_of=(key,)) for key in grant.all_of]
    found += [Grant(none_of=group) for group in grant.any_of]
    found += [Grant(any_of=(grant.none_of,))] if grant.none_of else []
    found += [Grant(not_rids=grant.rids)] if grant.rids else []
    found += [Grant(rids=grant.not_rids)] if grant.not_rids else []
    return tuple(found)


def _together(one: Grant, other: Grant) -> Grant:
    any_of = tuple(dict.fromkeys((*one.any_of, *other.any_of)))
    both_rids = tuple(rid for rid in one.rids if rid in other.rids) or (0,)  # no row has the rid 0
    rids = both_rids if one.rids and other.rids else one.rids or other.rids
    not_rids = _union(one.not_rids, other.not_rids)
    through = tuple(dict.fromkeys((*one.through, *other.through)))
    unless = tuple(dict.fromkeys((*one.unless, *other.unless)))
    return Grant(
        _union(one.all_of, other.all_of), _union(one.none_of, other.none_of), any_of, rids, not_rids, through, unless
    )


def _union(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    if not left or not right:
        return left or right
    return tuple(sorted({*left, *right}))
