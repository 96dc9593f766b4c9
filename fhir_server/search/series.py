"""The reads that matter most: Observations of one code, of one patient, of those a chain leads to, or of all, from `series`.

    Observation?code=[S|]C[&patient=P][&date=…][&_sort=-date | &_sort=-_lastUpdated]

Every Observation stands there under each coding of its code: by patient and time, by time, and by its last change, which is the
order of a search for one code that asks for none. What has no date stands before all dates: who goes by time finds it in a second
phase, as everywhere. What has no coding stands under its text, for `$lastn` only (`lastn.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from fhir_server.search.extract import SERIES_TYPE
from fhir_server.search.kinds import composite, date, reference, token
from fhir_server.search.order import COLUMNS, Key
from fhir_server.search.parameters import table
from fhir_server.search.predicates import Column, Match, Predicate, all_of, any_of
from fhir_server.search.query import Chain, Clause, Condition, Query
from fhir_server.search.rewrite import Scene, meaning

Codings = Mapping[int, tuple[int, ...]]
"""The keys that the dictionary of codings has under the key of a code."""

AT, CHANGED = "k0.at", "k0.last_updated"
_BOUNDS = {
    "eq": ("k0.at >= {} AND k0.at < {}", ("lo", "hi")),
    "lt": ("k0.at < {}", ("lo",)),
    "le": ("k0.at < {}", ("hi",)),
    "sa": ("k0.at >= {}", ("hi",)),
    "eb": ("k0.at < {}", ("lo",)),
    "ap": ("k0.at < {}", ("hi",)),
}
"""What a comparator says of the start alone; a date that matches always meets it."""


@dataclass(frozen=True, slots=True)
class Series:
    """A search that goes along a series: whose, of what, and the condition on each row beside."""

    patients: tuple[int, ...]
    """Whose Observations; all people's when empty."""
    code: int
    match: Match
    dated: bool
    """Whether the query asks for a date."""
    column: str
    """What it is sorted by."""

    @property
    def complete(self) -> bool:
        """Whether going along it finds all: by its times it finds what has one."""
        return self.dated or self.column != AT


def of_patients(asked: Condition) -> bool:
    """Tell whether a condition is a chain to the Patients whose Observations are meant."""
    if not isinstance(asked, Chain) or asked.param.name not in _SUBJECT:
        return False
    return [type_ for type_, _ in asked.inner] == ["Patient"]


def _patients(clause: Clause | Chain, scene: Scene) -> tuple[int, ...]:
    """Return the rids of the Patients that a subject clause can mean, or that a chain has led to; () when they are not known."""
    if isinstance(clause, Chain):
        return tuple(scene.led.get((SERIES_TYPE, clause), ()))
    found = _patient(clause, scene)
    return () if found is None else (found,)


def _patient(clause: Clause, scene: Scene) -> int | None:
    """Return the rid of the one Patient that a subject clause can mean."""
    if len(clause.values) != 1 or clause.modifier not in (None, "Patient"):
        return None
    value = clause.values[0]
    if not isinstance(value, reference.Reference) or value.identifier is not None:
        return None
    known = [
        name for name in value.names if name in scene.rids and (clause.param.name != "patient" or name[0] == "Patient")
    ]
    return scene.rids[known[0]] if len(known) == 1 and known[0][0] == "Patient" else None


def _code(clause: Clause, scene: Scene, known: Codings) -> int | None:
    """Return the key of the one coding that a code clause names: by its system, or because the code is known in one only."""
    value = _token(clause)
    if value is None:
        return None
    found = token.key_of(value, table(SERIES_TYPE).sources["code"][0].id, scene.key)
    if value.system is not None:
        return found
    codings = known.get(found, ())
    return codings[0] if len(codings) == 1 else None


def _token(clause: Clause) -> token.Token | None:
    """Return the one code that a clause asks for, be it the first value of a composite; None when it asks for more, or less."""
    value = clause.values[0] if len(clause.values) == 1 and clause.modifier is None else None
    if clause.param.name in _OF_CODE:
        value = value.parts[0] if isinstance(value, composite.Composite) else None
    return value if isinstance(value, token.Token) and value.code is not None else None


def asked(query: Query, scene: Scene) -> set[int]:
    """Return what has to be known of the dictionary of codings to recognise a series: the codes without a system."""
    if query.type != SERIES_TYPE:
        return set()
    named = (c for c in query.where if isinstance(c, Clause) and c.param.name in ("code", *_OF_CODE))
    tokens = (value for c in named if (value := _token(c)) is not None and value.system is None)
    return {token.key_of(value, table(SERIES_TYPE).sources["code"][0].id, scene.key) for value in tokens}


def _bound(value: date.Date, when: int, *, all_patients: bool) -> tuple[str, list[datetime]]:
    """Return what a date says of the start alone; "" when that is nothing, or not worth asking of one patient's rows."""
    if value.prefix in ("ge", "gt") and all_patients:
        # What is longer than a day may have begun long before; that is little, and found by its end.
        (_, (short, *_)), (_, (ends, *_)) = date.conditions(value)
        long = f"x.param = {when} AND x.hi - x.lo > interval '1 day' AND x.hi > {{}}"
        return f"k0.at > {{}} OR k0.rid IN (SELECT x.rid FROM {{s}}.ix_date x WHERE {long})", [short, ends]
    bound, names = _BOUNDS.get(value.prefix, ("", ()))
    return bound, [getattr(value, name) for name in names]


def _dated(clause: Clause, when: int, *, all_patients: bool) -> Predicate:
    """Return the condition of a date clause along a series: the row of ix_date is found by the start, which both have."""
    alternatives: list[str] = []
    bounds: list[str] = []
    values: list[datetime] = []
    bound_values: list[datetime] = []
    for value in clause.values:
        assert isinstance(value, date.Date)
        for where, args in date.conditions(value):
            alternatives.append("(" + where.replace("lo ", "d.lo ").replace("hi ", "d.hi ") + ")")
            values.extend(args)
        bound, found_values = _bound(value, when, all_patients=all_patients)
        bounds.append(bound)
        bound_values.extend(found_values)
    exact = " OR ".join(alternatives)
    found = Column(
        f"EXISTS (SELECT FROM {{s}}.ix_date d WHERE d.param = {when} AND d.lo = k0.at AND d.rid = k0.rid AND ({exact}))",
        tuple(values),
    )
    near = Column("(" + " OR ".join(f"({bound})" for bound in bounds) + ")", tuple(bound_values))
    return all_of([near, found]) if all(bounds) else found


def _column(keys: list[Key], when: int) -> str | None:
    """Return the column of a series in whose order a search is sorted."""
    if len(keys) != 1:
        return None
    if keys[0].ids == (when,):
        return AT
    return CHANGED if keys[0].column == COLUMNS["_lastUpdated"] else None


_OF_CODE = frozenset({"code-value-quantity", "code-value-concept", "code-value-string", "code-value-date"})
_SUBJECT = frozenset({"subject", "patient"})
_BROAD = frozenset({"token", "date", "quantity", "number", "composite"})


def broad(query: Query) -> bool:
    """Tell whether nothing names few resources (a reference, an identifier): those are found first, then sorted."""
    return all(
        isinstance(c, Clause) and c.param.kind in _BROAD and c.param.name not in ("identifier", "_id")
        for c in query.where
    )


def by_default(query: Query) -> tuple[Key, ...]:
    """Return the order of a search that asks for none: what has one code goes along its series, by date, the newest first."""
    clauses = [c for c in query.where if isinstance(c, Clause) and c.param.name in ("code", *_OF_CODE)]
    codes = [c for c in clauses if c.modifier is None and len(c.values) == 1]
    single = query.type == SERIES_TYPE and len(codes) == 1 and not query.sort
    when = table(SERIES_TYPE).sources["date"][0].id
    return (Key(descending=True, table="ix_date", ids=(when,)),) if single else ()


def leads(query: Query, keys: list[Key] | None, scene: Scene, known: Codings) -> bool:
    """Tell, before its chain to Patients is followed, whether a search will go along their series if there are few of them."""
    if not any(of_patients(c) for c in query.where):
        return False
    plain = replace(query, where=[c for c in query.where if not isinstance(c, Chain)])
    return recognise(plain, scene, keys, known) is not None


def recognise(query: Query, scene: Scene, keys: list[Key] | None, known: Codings) -> Series | None:
    """Return the series that a search goes along; `known` are the codings it asks for. None when it goes along none."""
    if query.type != SERIES_TYPE or keys is None:
        return None
    when = table(SERIES_TYPE).sources["date"][0].id
    where = [c for c in query.where if isinstance(c, Clause)]
    dates = [c for c in where if c.param.name == "date" and c.missing is None]
    column = _column(keys, when)
    if column is None:
        return None
    patients = {
        c: whose
        for c in query.where
        if isinstance(c, Clause | Chain) and c.param.name in _SUBJECT and (whose := _patients(c, scene))
    }
    codes = {c: found for c in where if c.param.name == "code" and (found := _code(c, scene, known))}
    codes |= {
        c: found
        for c in where
        if c.param.name in _OF_CODE and not codes and (found := _code(c, scene, known)) is not None
    }
    if len(patients) > 1 or len(codes) != 1 or not (patients or broad(query)):
        return None
    ((coded, code),) = codes.items()
    told = (coded, *patients, *dates) if coded.param.kind == "token" else (*patients, *dates)
    rest = [meaning(c, scene) for c in query.where if c not in told]
    predicates = [_dated(c, when, all_patients=not patients) for c in dates] + [m.predicate for m in rest]
    match = Match(all_of(predicates), any_of([m.doubt for m in rest]))
    return Series(next(iter(patients.values()), ()), code, match, bool(dates), column)
