"""Which codes a value set has (R4 valueset.html#compositions): include minus exclude, each by concepts, filters, other value sets.

An include of a whole system whose codes are not here means every code of that system: nothing but its URL is needed to tell. What
needs more than is here is refused with the name of what to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.model.fhirpath import regex
from fhir_server.model.fhirpath.errors import FhirPathError
from terminology.code_system import CodeSystem

MOST = 10_000
"""Codes of a value set that a search can ask for."""

Resource = Mapping[str, Any]
Code = tuple[str, str]
"""(system, code)"""


@dataclass(frozen=True, slots=True)
class Members:
    """Codes by their systems, and systems of which every code is a member."""

    codes: frozenset[Code] = frozenset()
    systems: frozenset[str] = frozenset()


@dataclass(slots=True)
class Library:
    """What is known: value sets by canonical as they are cited, code systems by URL; None for what was looked for in vain."""

    value_sets: dict[str, Resource | None] = field(default_factory=dict)
    systems: dict[str, CodeSystem | None] = field(default_factory=dict)
    _expanded: dict[str, Members] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)

    def members(self, url: str) -> Members:
        """Return the members of a value set that another one is made of."""
        value_set = self.value_sets.get(url)
        if value_set is None:
            raise not_loaded("ValueSet", url)
        if url in self._under_way:
            raise _cannot("The value set is made of itself.")
        if url not in self._expanded:
            self._under_way.add(url)
            self._expanded[url] = expand(value_set, self)
            self._under_way.discard(url)
        return self._expanded[url]


def not_loaded(kind: str, url: str) -> Unprocessable:
    """Return the refusal of what needs a code system or value set that is not here."""
    text = f"This needs the {kind} {url[:200]}, which is not loaded: store it as a {kind} resource with its content."
    return Unprocessable(text, "terminology-not-loaded", code="not-found")


def _cannot(text: str) -> Unprocessable:
    return Unprocessable(text, "terminology-not-supported", code="not-supported")


# ---- what it takes ----


def _includes(value_set: Resource) -> Iterator[Resource]:
    compose = value_set.get("compose", {})
    yield from compose.get("include", ())
    yield from compose.get("exclude", ())


def needs(value_set: Resource) -> tuple[set[str], set[str]]:
    """Return the value sets and the code systems that a value set is made of, so far as its own content does not say it."""
    sets = {url for each in _includes(value_set) for url in each.get("valueSet", ())}
    systems = {each["system"] for each in _includes(value_set) if "system" in each and "concept" not in each}
    return sets, systems


# ---- expanding ----


def expand(value_set: Resource, library: Library) -> Members:
    """Return the members of a value set; Unprocessable says what is missing, or that it is too large."""
    compose = value_set.get("compose")
    if compose is None:
        return _listed(value_set)
    try:
        found = _composed(compose, library)
    except Unprocessable:
        if "expansion" not in value_set:
            raise
        return _listed(value_set)  # its author knew more than we do
    if len(found.codes) > MOST:
        text = f"The value set has more than {MOST} codes: search by a smaller one."
        raise Unprocessable(text, "terminology-too-costly", code="too-costly")
    return found


def _composed(compose: Resource, library: Library) -> Members:
    included = [_include(each, library) for each in compose.get("include", ())]
    excluded = [_include(each, library) for each in compose.get("exclude", ())]
    codes = frozenset[Code]().union(*(each.codes for each in included))
    systems = frozenset[str]().union(*(each.systems for each in included))
    gone = frozenset[Code]().union(*(each.codes for each in excluded))
    gone_systems = frozenset[str]().union(*(each.systems for each in excluded))
    for system in {system for system, _ in gone} & systems - gone_systems:
        raise not_loaded("CodeSystem", system)  # all but some: only who has them all can tell
    left = frozenset(code for code in codes - gone if code[0] not in gone_systems)
    return Members(left, systems - gone_systems)


def _listed(value_set: Resource) -> Members:
    """Return the members of an expansion; what is abstract is there to be looked at, not to be used."""
    expansion = value_set.get("expansion")
    if expansion is None:
        raise _cannot("The value set has neither a composition nor an expansion.")
    found: set[Code] = set()
    todo = list(expansion.get("contains", ()))
    while todo:
        each = todo.pop()
        todo += each.get("contains", ())
        if "code" in each and not each.get("abstract"):
            found.add((each.get("system", ""), each["code"]))
    if expansion.get("total", 0) > len(found) + expansion.get("offset", 0):
        raise _cannot("The expansion that is stored with the value set is not the whole of it.")
    return Members(frozenset(found))


def _include(include: Resource, library: Library) -> Members:
    parts = [library.members(url) for url in include.get("valueSet", ())]
    if "system" in include:
        parts.append(_of_system(include, library))
    if not parts:
        return Members()
    found = parts[0]
    for part in parts[1:]:
        found = _both(found, part)
    return found


def _both(left: Members, right: Members) -> Members:
    codes = left.codes & right.codes
    codes |= {code for code in left.codes if code[0] in right.systems}
    codes |= {code for code in right.codes if code[0] in left.systems}
    return Members(codes, left.systems & right.systems)


def _of_system(include: Resource, library: Library) -> Members:
    url = include["system"]
    if "concept" in include:
        return Members(frozenset((url, concept["code"]) for concept in include["concept"] if "code" in concept))
    system = library.systems.get(url)
    filters: Sequence[Resource] = include.get("filter", ())
    if not filters and (system is None or not system.complete):
        return Members(systems=frozenset({url}))
    if system is None:
        raise not_loaded("CodeSystem", url)
    codes = set(system.properties)
    for each in filters:
        codes &= _filtered(each, system)
    return Members(frozenset((url, code) for code in codes))


# ---- filters ----

_CODE = frozenset({"concept", "code"})


def _filtered(asked: Resource, system: CodeSystem) -> set[str]:
    name, operator, value = asked.get("property", ""), asked.get("op", ""), asked.get("value", "")
    if name in _CODE and operator in _BY_HIERARCHY:
        return _BY_HIERARCHY[operator](system, value)

    def has(code: str) -> tuple[str, ...]:
        return (code,) if name in _CODE else system.properties[code].get(name, ())

    if name == "parent":
        return {code for code in system.properties if _meets(operator, value, system.parents.get(code, ()))}
    if name == "child":
        return {code for code in system.properties if _meets(operator, value, system.children.get(code, ()))}
    return {code for code in system.properties if _meets(operator, value, has(code))}


_BY_HIERARCHY: Mapping[str, Callable[[CodeSystem, str], set[str]]] = {
    "is-a": lambda system, value: system.below(value) & system.properties.keys(),
    "descendent-of": lambda system, value: (system.below(value) - {value}) & system.properties.keys(),
    "is-not-a": lambda system, value: set(system.properties) - system.below(value),
    "generalizes": lambda system, value: system.above(value) & system.properties.keys(),
}


def _meets(operator: str, value: str, found: tuple[str, ...]) -> bool:
    match operator:
        case "=":
            return value in found
        case "in":
            return any(each.strip() in found for each in value.split(","))
        case "not-in":
            return not any(each.strip() in found for each in value.split(","))
        case "exists":
            return bool(found) is (value == "true")
        case "regex":
            return any(_matches(each, value) for each in found)
        case _:
            raise _cannot("The value set has a filter that is not known here.")


def _matches(text: str, pattern: str) -> bool:
    try:
        return regex.fullmatch(text, pattern)
    except FhirPathError:
        raise _cannot("The value set has a filter with a regular expression that RE2 does not accept.") from None
