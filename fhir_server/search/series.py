"""The reads that matter most: one patient's Observations of one code by time, from the table `series`.

    Observation?patient=P&code=[S|]C[&date=…][&_sort=-date]

A row stands there for each coding of an Observation whose subject is a Patient; what has no date stands before all dates, what
has no coding under its text, both for `$lastn` only (`lastn.py`). So the table serves when the query asks for a date, or sorts by
it (what has no date comes last and is found as usual).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fhir_server.search.extract import SERIES_TYPE
from fhir_server.search.kinds import date, reference, token
from fhir_server.search.order import Key
from fhir_server.search.parameters import table
from fhir_server.search.predicates import Column, Keys, Match, Predicate, all_of, any_of
from fhir_server.search.query import Chain, Clause, Query
from fhir_server.search.rewrite import Scene, meaning
from fhir_server.storage.index_keys import MOST_RID

Codings = Mapping[int, tuple[int, ...]]
"""The keys that the dictionary of codings has under the key of a code."""

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

    patient: int
    code: int
    match: Match
    complete: bool
    """Whether all that matches stands in the series: the query asks for a date."""


def _patient(clause: Clause | Chain, scene: Scene) -> int | None:
    """Return the rid of the one Patient that a subject clause can mean, or that a chain has led to."""
    if isinstance(clause, Chain):
        found = scene.joined.get((SERIES_TYPE, clause))
        only = (
            isinstance(found, Keys) and len(found.any_of) == 1 and [type_ for type_, _ in clause.inner] == ["Patient"]
        )
        return found.any_of[0] & MOST_RID if only and isinstance(found, Keys) else None
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
    value = clause.values[0] if len(clause.values) == 1 and clause.modifier is None else None
    if not isinstance(value, token.Token) or value.code is None:
        return None
    found = token.key_of(value, table(SERIES_TYPE).sources["code"][0].id, scene.key)
    if value.system is not None:
        return found
    codings = known.get(found, ())
    return codings[0] if len(codings) == 1 else None


def _dated(clause: Clause, when: int) -> Predicate:
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
        bound, names = _BOUNDS.get(value.prefix, ("", ()))
        bounds.append(bound)
        bound_values.extend(getattr(value, name) for name in names)
    exact = " OR ".join(alternatives)
    found = Column(
        f"EXISTS (SELECT FROM {{s}}.ix_date d WHERE d.param = {when} AND d.lo = k0.at AND d.rid = k0.rid AND ({exact}))",
        tuple(values),
    )
    near = Column("(" + " OR ".join(f"({bound})" for bound in bounds) + ")", tuple(bound_values))
    return all_of([near, found]) if all(bounds) else found


def recognise(query: Query, scene: Scene, keys: list[Key] | None, known: Codings) -> Series | None:
    """Return the series that a search goes along; `known` are the codings it asks for. None when it goes along none."""
    if query.type != SERIES_TYPE or keys is None:
        return None
    when = table(SERIES_TYPE).sources["date"][0].id
    by_time = len(keys) == 1 and keys[0].ids == (when,)
    where = [c for c in query.where if isinstance(c, Clause)]
    dates = [c for c in where if c.param.name == "date" and c.missing is None]
    if (keys and not by_time) or not (by_time or dates):
        return None
    patients = {
        c: found
        for c in query.where
        if isinstance(c, Clause | Chain) and c.param.name in ("subject", "patient") and (found := _patient(c, scene))
    }
    codes = {c: found for c in where if c.param.name == "code" and (found := _code(c, scene, known))}
    if len(patients) != 1 or len(codes) != 1:
        return None
    [(subject, patient)], [(coded, code)] = patients.items(), codes.items()
    rest = [meaning(c, scene) for c in query.where if c not in (subject, coded, *dates)]
    predicates = [_dated(c, when) for c in dates] + [m.predicate for m in rest]
    return Series(patient, code, Match(all_of(predicates), any_of([m.doubt for m in rest])), complete=bool(dates))
