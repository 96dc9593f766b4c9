"""From a clause to its condition: parameters become the sources that answer them, composites their components.

(or combo-code C)                    -> (any (keys code C) (keys component-code C))
(or code-value-quantity A$B)         -> (all (keys code A) (rows value-quantity B))
(or component-code-value-quantity A$B) -> (rows component-code-value-quantity A B)
(not (or code C))                    -> (without (keys code C))
(not-in code V)                      -> (without (keys code C1 C2 ...))
(missing date true)                  -> (without (rows ix_date date))
(missing code true)                  -> everything, and look into it
(missing subject false)              -> everything, and look into what has no (some key of subject)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fhir_server.search.extract import blind
from fhir_server.search.kinds import (
    coded,
    composite,
    date,
    described,
    identifier,
    near,
    number,
    quantity,
    reference,
    related,
    string,
    token,
    uri,
    words,
)
from fhir_server.search.kinds.entries import KeyFunction
from fhir_server.search.kinds.reference import Name
from fhir_server.search.parameters import WORDS, Part, Rooted, Source, table
from fhir_server.search.predicates import (
    EVERYTHING,
    NOTHING,
    Column,
    Match,
    Predicate,
    Without,
    all_of,
    any_of,
    as_facets,
)
from fhir_server.search.presence import present
from fhir_server.search.query import And, ByType, Clause, Condition, Narrowed, Not, Or, Query, Value, leaves
from fhir_server.storage.layout import FACETS
from profiles.registry import R4

NARROW = {
    "date": "ix_date",
    "number": "ix_number",
    "quantity": "ix_number",
    "string": "ix_string",
    "special": "ix_number",
}
"""Kinds whose values stand in a table of their own; strings of blind types do not."""


@dataclass(frozen=True, slots=True)
class Met:
    """The ids of what a row contains and is asked for, and whether the row is a match by itself."""

    ids: tuple[str, ...]
    itself: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """What the meaning of a value depends on: the type, the tenant's keys, and the rids of what is referred to."""

    type: str
    key: KeyFunction
    rids: Mapping[Name, int]
    joined: Mapping[tuple[str, Condition], Predicate] = field(default_factory=dict)
    """What `join.py` has found out, exact: hops by the type they start at, and what had to be looked into for an OR or a NOT."""
    inside: Mapping[int, Met] = field(default_factory=dict)
    """Which rows contain what `_contained` asks for."""
    led: Mapping[tuple[str, Condition], list[int]] = field(default_factory=dict)
    """The rows to which a chain leads, where what refers to them goes along their time series (`series.py`)."""

    @property
    def blind(self) -> bool:
        """Whether the type's strings are keys."""
        return blind(self.type)


def narrow_table(kind: str, type_: str) -> str | None:
    """Return the table in which the values of a kind stand for a type; None when they are keys only."""
    return None if kind == "string" and blind(type_) else NARROW.get(kind)


def names(query: Query) -> set[Name]:
    """Return the resources that the values of a query may refer to."""
    values = [value for each in query.where for clause in leaves(each) for value in clause.values]
    inner = [part for value in values if isinstance(value, composite.Composite) for part in value.parts]
    return {name for value in (*values, *inner) if isinstance(value, reference.Reference) for name in value.names}


# ---- one value of one source ----


def _atomic(value: Value, source: Source, scene: Scene) -> Match:
    found = _plain(value, source, scene)
    return Match(as_facets(found.predicate), as_facets(found.doubt)) if source.id in FACETS else found


def _plain(value: Value, source: Source, scene: Scene) -> Match:
    match value:
        case token.Token():
            return Match(token.predicate(value, source, scene.key))
        case string.Text():
            return string.match(value, source, scene.key, scene.type, blind=scene.blind)
        case date.Date():
            return Match(date.predicate(value, source))
        case number.Number():
            return Match(number.predicate(value, source))
        case quantity.Quantity():
            doubt = EVERYTHING if quantity.verified(value) else NOTHING
            under = None if source.id in table(scene.type).keyed else 0
            return Match(quantity.predicate(value, source.id, scene.key, under), doubt)
        case reference.Reference():
            return Match(reference.predicate(value, source, scene.key, scene.rids))
        case uri.Uri():
            return uri.match(value, source, scene.key, blind=scene.blind)
        case described.Described():
            return Match(EVERYTHING, EVERYTHING)
        case identifier.OfType():
            return identifier.match(value, source, scene.key)
        case coded.Codes():
            return Match(coded.predicate(value, source, scene.key))
        case related.Related():
            return related.match(value, source, scene.key)
        case near.Near():
            return Match(near.predicate(value, source))
        case words.Words():
            raise TypeError("words have no source")
        case coded.InSet() | coded.Subsumed():
            raise TypeError("a value that nobody has looked up")
        case composite.Composite():
            raise TypeError("a composite has no source of its own")


def _either(matches: Iterable[Match]) -> Match:
    found = list(matches)
    return Match(any_of([m.predicate for m in found]), any_of([m.doubt for m in found]))


def _both(matches: Iterable[Match]) -> Match:
    found = list(matches)
    return Match(all_of([m.predicate for m in found]), any_of([m.doubt for m in found]))


def _by_sources(value: Value, sources: Iterable[Source], scene: Scene) -> Match:
    return _either(_atomic(value, source, scene) for source in sources)


# ---- composites ----


def _on_resource(value: composite.Composite, rooted: Rooted, scene: Scene) -> Match:
    known = table(scene.type)
    if len(rooted) == 2 and all(source.id in known.keyed for source in rooted[1]):
        own = _by_sources(value.parts[0], rooted[0], scene).predicate
        under = composite.on_resource(value, [source.id for source in rooted[1]], scene.key, own)
        if under is not None:
            return under
    return _both(_by_sources(part, sources, scene) for part, sources in zip(value.parts, rooted, strict=True))


def _composite(value: composite.Composite, name: str, scene: Scene) -> Match:
    known = table(scene.type)

    def own(part: Part, part_value: composite.PartValue) -> Predicate:
        return _by_sources(part_value, part.sources, scene).predicate

    found = [composite.predicate(value, below, scene.key, own) for below in known.below.get(name, ())]
    if name in known.rooted:
        found.append(_on_resource(value, known.rooted[name], scene))
    return _either(found)


# ---- clauses ----


def _missing(clause: Clause, scene: Scene) -> Match:
    """Ask the narrow tables where the values stand there; for all else the resources must say, but for what is surely there."""
    narrow = narrow_table(clause.param.kind, scene.type)
    if narrow is None:
        there = present(clause.param, scene.type, scene.key)
        if there == NOTHING:
            return Match(EVERYTHING, EVERYTHING)
        return Match(Without(there), EVERYTHING) if clause.missing else Match(EVERYTHING, Without(there))
    ids = ", ".join(str(source.id) for source in table(scene.type).sources[clause.param.name])
    known = Column(f"EXISTS (SELECT FROM {{s}}.{narrow} n WHERE n.rid = {{r}}.rid AND n.param IN ({ids}))")
    return Match(Without(known) if clause.missing else known)


def _column(clause: Clause) -> Predicate:
    """Return the condition of `_id` or `_lastUpdated`."""
    if clause.missing is not None:
        return NOTHING if clause.missing else EVERYTHING
    if clause.param.name == "_id":
        return Column("{r}.fhir_id = ANY({})", (list(clause.texts),))
    return any_of([date.last_updated(value) for value in clause.values if isinstance(value, date.Date)])


def meaning(asked: Condition, scene: Scene) -> Match:
    """Return the condition on the row that something asks for; hops, ORs and NOTs have been through `join.py` before."""
    known = scene.joined.get((scene.type, asked)) if scene.joined else None
    if known is not None:
        return Match(known)
    match asked:
        case Clause():
            return _clause(asked, scene)
        case Narrowed():
            return _narrowed(asked, scene)
        case And(parts):
            return _both(meaning(part, scene) for part in parts)
        case Or(parts):
            return _either(meaning(part, scene) for part in parts)
        case Not(part):
            return Match(Without(meaning(part, scene).predicate))
        case ByType(inner):
            return _either(_of_type(type_, part, scene) for type_, part in inner)
        case _:
            raise TypeError("a hop that nobody has followed")


def _narrowed(asked: Narrowed, scene: Scene) -> Match:
    """Return the candidates; where a parameter has one value at most, an index that does not find it says that it is another."""
    found = _clause(asked.clause, scene)
    if asked.how != "ne":
        return Match(found.predicate, EVERYTHING)
    sources = table(scene.type).sources[asked.clause.param.name]
    single = len(sources) == 1 and not sources[0].many and sources[0].only is None and found.doubt == NOTHING
    return Match(Without(found.predicate) if single else EVERYTHING, EVERYTHING)


def _of_type(type_: str, asked: Condition, scene: Scene) -> Match:
    found = meaning(asked, replace(scene, type=type_))
    only = Column(f"{{r}}.type = {R4.type_id(type_)}")
    return Match(all_of([only, found.predicate]), all_of([only, found.doubt]))


def _clause(clause: Clause, scene: Scene) -> Match:
    name = clause.param.name
    if name in ("_id", "_lastUpdated"):
        found = Match(_column(clause))
    elif name in WORDS:
        found = Match(EVERYTHING, EVERYTHING)
    elif clause.missing is not None:
        return _missing(clause, scene)
    elif clause.param.kind == "composite":
        found = _either(
            _composite(value, name, scene) for value in clause.values if isinstance(value, composite.Composite)
        )
    else:
        sources = table(scene.type).sources[name]
        found = _either(_by_sources(value, sources, scene) for value in clause.values)
    return Match(Without(found.predicate)) if clause.modifier in ("not", "not-in") else found


def whole(query: Query, scene: Scene) -> Match:
    """Return the condition of all clauses."""
    return _both(meaning(each, scene) for each in query.where)
