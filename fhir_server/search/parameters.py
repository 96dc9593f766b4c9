"""What is stored for which search parameter, and from which stored parts each parameter is answered; worked out once per type.

No value is indexed twice. A *source* is a parameter with the branches of its expression that no smaller parameter covers; a
parameter is answered by the union of its sources:

    (combo-code)   -> (or code component-code)            both branches are covered, nothing of its own
    (name)         -> (or family given name')             name' keeps prefix, suffix and text
    (phonetic)     -> (name)                              the same expression
    (patient)      -> (only Patient subject)              `subject.where(resolve() is Patient)`

A composite whose expression is the resource itself is the AND of its components, but for a code and a quantity: those quantities
stand under the code. One below an element has entries of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from typing import ParamSpec, TypeVar, cast

from fhir_server.search.expressions import Term, normalise, resolves, split_outside, term, terms
from fhir_server.storage.own import FIRST, NONE, OwnParam, OwnParams
from profiles.definitions import Kind
from profiles.registry import R4, SearchParam

ATOMIC = frozenset({"token", "string", "date", "number", "quantity", "reference", "uri", "special"})
"""Kinds that find values of their own; of the special parameters only `near` does."""
COLUMNS = frozenset({"_id", "_lastUpdated"})
"""Answered by columns of the resource table."""
WORDS = frozenset({"_text", "_content"})
"""Answered by looking into resources: no values of theirs are stored."""

Kinds = tuple[str, ...]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Index entries under one number: `param` is whose number it is, `terms` what goes in; `only` keeps references to a type."""

    param: SearchParam
    terms: frozenset[Term]
    only: str | None = None

    @property
    def id(self) -> int:
        """The number under which the entries stand."""
        return self.param.id

    @property
    def types(self) -> frozenset[str]:
        """The FHIR types that the entries come from; empty when one of them is unknown."""
        known = [t.types for t in self.terms]
        return frozenset().union(*known) if all(known) else frozenset()

    @property
    def many(self) -> bool:
        """Whether one resource can have several values."""
        return len(self.terms) > 1 or any(t.many for t in self.terms)


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a composite within one of its instances."""

    name: str
    kind: str
    expressions: tuple[str, ...]
    sources: tuple[Source, ...] = ()
    """What holds the component's values of all instances, and nothing else."""


@dataclass(frozen=True, slots=True)
class Instances:
    """An element-level branch of a composite: its entries stand under the composite's number."""

    param: SearchParam
    term: Term
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Everything search knows of one resource type."""

    type: str
    sources: Mapping[str, tuple[Source, ...]]
    """Parameter -> what answers it."""
    stored: tuple[Source, ...]
    """What a resource of the type is indexed by."""
    instances: tuple[Instances, ...]
    """The composites' element-level branches, each once."""
    below: Mapping[str, tuple[Instances, ...]]
    """Composite -> the element-level branches that answer it."""
    rooted: Mapping[str, tuple[tuple[Source, ...], ...]]
    """Composite -> for each component the sources that answer it on the resource itself."""
    keyed: Mapping[int, tuple[Source, ...]] = field(default_factory=dict)
    """The number of a quantity -> what holds the codes under which its entries stand, one entry for each code."""


def own_terms(param: SearchParam, type_: str) -> frozenset[Term]:
    """Return the branches of an atomic parameter, those of Resource and DomainResource written for the type."""
    expression = param.expression
    if param.base in ("Resource", "DomainResource"):
        expression = expression.replace(f"{param.base}.", f"{type_}.")
    return terms(expression, type_, param.kind)


def _filtered(found: frozenset[Term], stored: list[Source]) -> list[tuple[Source, Term]]:
    """Return, for each `E.where(resolve() is T)` that some source's E covers, that source narrowed to T."""
    out = []
    for branch in found:
        match = resolves(branch.expression)
        if match is None:
            continue
        for source in stored:
            if source.param.kind == "reference" and {t.expression for t in source.terms} == {match[0]}:
                out.append((Source(source.param, source.terms, match[1]), branch))
                break
    return out


def _cover(param: SearchParam, found: frozenset[Term], stored: list[Source]) -> tuple[Source, ...]:
    """Return what answers a parameter, adding to `stored` what nothing covers yet."""
    used = [s for s in stored if s.param.kind == param.kind and s.terms <= found]
    rest = found.difference(*(s.terms for s in used))
    for narrowed, branch in _filtered(rest, stored) if param.kind == "reference" else ():
        used.append(narrowed)
        rest -= {branch}
    if rest:
        source = Source(param, rest)
        stored.append(source)
        used.append(source)
    return tuple(used)


def _rank(item: tuple[SearchParam, frozenset[Term]]) -> tuple[bool, int, int]:
    """Order parameters so that what covers comes before what is covered: filters last, then by size, then by number."""
    param, found = item
    return any(resolves(t.expression) for t in found), len(found), param.id


def _parts(param: SearchParam) -> tuple[Part, ...]:
    return tuple(Part(c.name, c.kind, tuple(split_outside(normalise(c.expression), "|"))) for c in param.components)


def _below(type_: str, branch: str, part: Part, stored: list[Source]) -> Part:
    """Return a component with the sources that hold its expressions below a branch; () when one is not held by any."""
    used: list[Source] = []
    for expression in part.expressions:
        path = (
            expression.replace("%resource", type_) if expression.startswith("%resource") else f"{branch}.{expression}"
        )
        held = [s for s in stored if s.param.kind == part.kind and any(_is_or_narrows(t, path) for t in s.terms)]
        if not held:
            return part
        used += [source for source in held if source not in used]
    return replace(part, sources=tuple(used))


def _is_or_narrows(branch: Term, path: str) -> bool:
    return branch.expression == path or branch.expression.startswith(f"{path}.ofType(")


Rooted = tuple[tuple[Source, ...], ...]
"""For each component of a composite, the sources that answer it on the resource itself."""


@dataclass(slots=True)
class _Composites:
    """The composites of a type while they are sorted out; one branch with the same components is stored once."""

    type: str
    stored: list[Source]
    instances: dict[tuple[str, tuple[tuple[str, ...], ...]], Instances] = field(default_factory=dict)
    below: dict[str, list[Instances]] = field(default_factory=dict)
    rooted: dict[str, Rooted] = field(default_factory=dict)

    def add(self, param: SearchParam) -> None:
        for branch in split_outside(param.expression, "|"):
            parts = tuple(_below(self.type, branch, part, self.stored) for part in _parts(param))
            if branch == self.type and all(part.sources for part in parts):
                self.rooted[param.name] = tuple(part.sources for part in parts)
                continue
            at = (branch, tuple(part.expressions for part in parts))
            made = self.instances.setdefault(at, Instances(param, term(branch, self.type), parts))
            self.below.setdefault(param.name, []).append(made)


_OWN: ContextVar[OwnParams] = ContextVar("own_params", default=NONE)


def use(own: OwnParams) -> None:
    """Say whose own parameters searches know from here on, in this task: set at every door, as soon as the tenant is known."""
    _OWN.set(own)


def used() -> OwnParams:
    """Return the own parameters that searches of this task know."""
    return _OWN.get()


def remembered(make: Callable[P, T]) -> Callable[P, T]:
    """Return a function of the tables that works each thing out once, for each set of own parameters."""

    @wraps(make)
    def found(*args: P.args, **kwargs: P.kwargs) -> T:
        made, at = _OWN.get().made, (make, args)
        if at not in made:
            made[at] = make(*args, **kwargs)
        return cast("T", made[at])

    return found


def table(type_: str) -> Table:
    """Return the table of a resource type, with the own parameters of the tenant that this task works for."""
    own = _OWN.get()
    params = own.by_type.get(type_)
    return r4_table(type_) if params is None else _own(own, type_, params)


def _own(own: OwnParams, type_: str, params: tuple[OwnParam, ...]) -> Table:
    at = ("table", type_)
    made: Table | None = own.made.get(at)
    if made is None:
        made = own.made[at] = own_table(type_, params)
    return made


def own_table(type_: str, params: Iterable[OwnParam]) -> Table:
    """Return the table of a type with some own parameters; each has entries of its own."""
    known = r4_table(type_)
    made = [
        SearchParam(p.number, p.type, p.name, cast("Kind", p.kind), p.expression, p.targets, (), p.url) for p in params
    ]
    sources = {param.name: (Source(param, own_terms(param, type_)),) for param in made}
    stored = (*known.stored, *(source for found in sources.values() for source in found))
    return replace(known, sources={**known.sources, **sources}, stored=stored)


@cache
def r4_table(type_: str) -> Table:
    """Return the table of a resource type by R4's parameters alone."""
    params = [p for p in R4.params(type_).values() if p.expression and p.name not in COLUMNS]
    atomic = [(p, own_terms(p, type_)) for p in params if p.kind in ATOMIC]
    stored: list[Source] = []
    sources = {param.name: _cover(param, found, stored) for param, found in sorted(atomic, key=_rank)}
    composites = _Composites(type_, stored)
    for param in sorted((p for p in params if p.kind == "composite"), key=lambda p: p.id):
        composites.add(param)
    below = {name: tuple(found) for name, found in composites.below.items()}
    instances, rooted = tuple(composites.instances.values()), composites.rooted
    return Table(type_, sources, tuple(stored), instances, below, rooted, _keyed(rooted))


def _keyed(rooted: Mapping[str, Rooted]) -> dict[int, tuple[Source, ...]]:
    """Return which quantities are asked for with a code of the same resource, and what holds the code."""
    pairs = [parts for parts in rooted.values() if [part[0].param.kind for part in parts] == ["token", "quantity"]]
    return {quantity.id: codes for codes, quantities in pairs for quantity in quantities}


def holds(source: Source, type_name: str) -> bool:
    """Tell whether entries of a source may come from a FHIR type."""
    return not source.types or type_name in source.types


def served_params(type_: str) -> tuple[SearchParam, ...]:
    """Return the parameters that searches of a type may name, by name; own ones too, from when their entries are written."""
    own = _OWN.get().by_type.get(type_)
    if own is None:
        return _r4_params(type_)
    found = [source.param for param in own for source in table(type_).sources[param.name]]
    return tuple(sorted((*_r4_params(type_), *found), key=lambda param: param.name))


def behind(param: SearchParam) -> bool:
    """Tell whether resources may lack the entries of an own parameter: those written before it, until `$reindex` is done."""
    return param.id >= FIRST and any(
        p.number == param.id and not p.served for p in _OWN.get().by_type.get(param.base, ())
    )


@cache
def _r4_params(type_: str) -> tuple[SearchParam, ...]:
    known = r4_table(type_)
    names = {*known.sources, *known.below, *known.rooted, *COLUMNS, *WORDS}
    return tuple(param for name, param in sorted(R4.params(type_).items()) if name in names)
