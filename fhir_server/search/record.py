"""What belongs to a record, page by page: a patient's compartment, an encounter's, or all patients', and what those refer to.

Members hold an index key that says so (the compartment of the patient; a reference to the encounter). What they refer to is read
from their reference keys, `(parameter << 44) | rid`, so no body is opened to find it; a reference that R4 has no search parameter
for is not followed. What belongs to somebody else is never swept in: a target has no patients, or only the record's own.

Every statement carries the policy of each type: members by what may be searched, targets by what may be read. A member that the
caller may not see leads nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from fhir_server.search.compartment import reached
from fhir_server.search.compile import LIVE, sought
from fhir_server.search.parameters import r4_table
from fhir_server.search.select import Position
from fhir_server.storage.index_keys import BLOCK_BITS, COMPARTMENT, block, pack
from fhir_server.storage.layout import LONG, alternatives
from fhir_server.storage.reads import COLUMNS, Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_types_sql
from profiles.registry import R4

MEMBERS, TARGETS = 0, 1
"""The phases: what belongs to the record, then what that refers to. Each goes by rid."""

_FIRST_REFERENCE, _LAST_REFERENCE = pack(COMPARTMENT + 1, 0), block(0)
_RID = _FIRST_REFERENCE - 1
_OF_A_PERSON = frozenset({"Patient", "Person", "RelatedPerson"})
"""Types whose dates are a person's (birth, death), not those of care."""

Seen = Mapping[str, Visibility]


@dataclass(frozen=True, slots=True)
class Record:
    """Whose record: its focus, the keys one of which a member holds, and the patients it is about; all patients' without keys."""

    focus: int
    keys: tuple[int, ...]
    patients: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a record is asked for; `members` and `targets` are what the caller may see, by type, all types that it may."""

    members: Seen
    targets: Seen
    types: frozenset[str] | None = None
    start: datetime | None = None
    end: datetime | None = None
    since: datetime | None = None

    def shown(self, seen: Seen) -> Seen:
        """Return what is seen of the types that are asked for."""
        return seen if self.types is None else {name: seen[name] for name in seen if name in self.types}


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a record: what belongs to it, what it refers to, and where the next page begins."""

    members: list[Stored]
    targets: list[Stored]
    next: Position | None


def of_patient(rid: int) -> Record:
    """Return the record of one patient."""
    return Record(rid, (pack(COMPARTMENT, rid),), (rid,))


def of_encounter(rid: int, patients: tuple[int, ...]) -> Record:
    """Return the record of one encounter: what its CompartmentDefinition says refers to it."""
    return Record(rid, tuple(pack(param, rid) for param in _encounter_params()), patients)


EVERYBODY = Record(0, (), ())
"""The records of all patients."""


@cache
def _encounter_params() -> tuple[int, ...]:
    found = {
        source.id for type_ in R4.types for name in R4.compartment("Encounter", type_)
        for source in r4_table(type_).sources.get(name, ()) if source.param.kind == "reference"
    }  # fmt: skip
    return tuple(sorted(found))


@cache
def _care_dates() -> tuple[int, ...]:
    """Return the parameters whose dates say when care was given."""
    return tuple(
        sorted(
            source.id
            for type_ in R4.types
            if R4.compartment("Patient", type_) and type_ not in _OF_A_PERSON
            for source in r4_table(type_).stored
            if source.param.kind == "date"
        )
    )


@cache
def _references() -> tuple[int, ...]:
    """Return the parameters by which members of a patient's record refer to anything."""
    types = ("Patient", *(type_ for type_ in R4.types if R4.compartment("Patient", type_)))
    found = {s.id for type_ in types for s in r4_table(type_).stored if s.param.kind == "reference"}
    return tuple(sorted(found))


# ---- statements ----


def _inside(record: Record, alias: str, args: list[Any]) -> str:
    """Return the condition that a row belongs to the record."""
    if not record.keys:
        return f"{alias}.patients IS NOT NULL"
    found = [at for key in record.keys for at in (reached(key) if key < _FIRST_REFERENCE else alternatives(key))]
    args += [list(record.keys), found]
    return f"({alias}.keys && ${len(args) - 1}::bigint[] AND {sought(alias)} && ${len(args)}::bigint[])"


def _dated(wanted: Wanted, alias: str, args: list[Any]) -> str:
    """Return the condition that the care dates of a row, from first to last, touch the range; what has none is in it."""
    outside = []
    if wanted.start is None and wanted.end is None:
        return "TRUE"
    args.append(list(_care_dates()))
    params = f"${len(args)}::smallint[]"
    if wanted.start is not None:
        args.append(wanted.start)
        outside.append(f"max(d.hi) <= ${len(args)}")
    if wanted.end is not None:
        args.append(wanted.end)
        outside.append(f"min(d.lo) >= ${len(args)}")
    return (
        f"NOT EXISTS (SELECT FROM {{s}}.ix_date d WHERE d.rid = {alias}.rid AND d.param = ANY({params})"
        f" HAVING {' OR '.join(outside)})"
    )


def _changed(wanted: Wanted, alias: str, args: list[Any]) -> str:
    if wanted.since is None:
        return "TRUE"
    args.append(wanted.since)
    return f"{alias}.last_updated > ${len(args)}"


def _live(alias: str) -> str:
    return LIVE.replace("{r}", alias)


def _page(source: str, wheres: Sequence[str], after: int, limit: int, args: list[Any]) -> str:
    args.extend((after, limit))
    conditions = " AND ".join(where for where in (*wheres, f"r.rid > ${len(args) - 1}") if where != "TRUE")
    return f"SELECT {COLUMNS}, r.fhir_id FROM {source} WHERE {conditions} ORDER BY r.rid LIMIT ${len(args)}"


def _members(record: Record, wanted: Wanted, after: int, limit: int) -> tuple[str, list[Any]]:
    """Return the statement for members after a rid; the focus is not among them."""
    args: list[Any] = [record.focus]
    wheres = [
        _inside(record, "r", args),
        "r.rid <> $1",
        _live("r"),
        visible_types_sql("r", wanted.shown(wanted.members), args),
        _dated(wanted, "r", args),
        _changed(wanted, "r", args),
    ]
    return _page("{s}.resource r", wheres, after, limit, args), args


def _leading(record: Record, wanted: Wanted, alias: str, args: list[Any]) -> str:
    """Return the condition that what a row refers to belongs to the answer: a member that is seen and in the range."""
    inside = _inside(record, alias, args)
    member = f"({inside} OR {alias}.rid = $1)" if record.focus else inside
    seen = visible_types_sql(alias, wanted.members, args)
    return " AND ".join((member, _live(alias), seen, _dated(wanted, alias, args)))


def _targets(record: Record, wanted: Wanted, after: int, limit: int) -> tuple[str, list[Any]]:
    """Return the statement for what members refer to, after a rid."""
    args: list[Any] = [record.focus, list(record.patients)]
    head, source, referred = "", "{s}.resource r", ""
    if record.keys:
        leading = _leading(record, wanted, "m", args)
        head = (
            f"WITH found AS MATERIALIZED (SELECT DISTINCT k.key & {_RID} AS rid FROM {{s}}.resource m, unnest(m.keys) k(key)"
            f" WHERE {leading} AND k.key >= {_FIRST_REFERENCE} AND k.key < {_LAST_REFERENCE}) "
        )
        source = "found JOIN {s}.resource r ON r.rid = found.rid"
    else:  # going through the references of everybody would take the whole database for each page
        params = _references()
        keys = ", ".join(f"{pack(param, 0)} | r.rid" for param in params)
        blocks = [f"{block(pack(param, 0))} | (r.rid >> {BLOCK_BITS})" for param in params if param in LONG]
        found = ", ".join((keys, *blocks))
        leading = _leading(record, wanted, "m", args)
        referred = (
            f"EXISTS (SELECT FROM {{s}}.resource m WHERE {sought('m')} && ARRAY[{found}]::bigint[]"
            f" AND m.keys && ARRAY[{keys}]::bigint[] AND {leading})"
        )
    wheres = [
        f"NOT ({_inside(record, 'r', args)})",
        "r.rid <> $1",
        "coalesce(r.patients, '{}') <@ $2::bigint[]",
        _live("r"),
        visible_types_sql("r", wanted.shown(wanted.targets), args),
        _changed(wanted, "r", args),
        referred or "TRUE",
    ]
    return head + _page(source, wheres, after, limit, args), args


# ---- doors ----


async def part(tenant: Tenant, record: Record, wanted: Wanted, position: Position, count: int) -> Part:
    """Return a page of at most `count` resources after a position, the focus left out; it may be short of what was erased."""
    found: dict[int, list[Stored]] = {MEMBERS: [], TARGETS: []}
    phase, after = position.phase, position.values[0] if position.values else 0
    room = count
    for at, statement in ((MEMBERS, _members), (TARGETS, _targets)):
        if at < phase:
            continue
        text, args = statement(record, wanted, after, room + 1)
        rows = await tenant.pool.fetch(tenant.sql(text), *args)
        found[at] = readable(tenant, rows[:room])
        if len(rows) > room:
            return Part(found[MEMBERS], found[TARGETS], Position(at, (rows[room - 1]["rid"] if room else after,)))
        room, after = room - len(rows), 0
    return Part(found[MEMBERS], found[TARGETS], None)
