"""A code system as a hierarchy: what is below and above a code (R4 codesystem.html#hierarchy).

A concept is below the one it is nested in, below what its `parent` or `subsumedBy` names, and above what its `child` names.
Whatever the hierarchy means (is-a, part-of, grouped-by), it is the one that R4's `:below` and `:above` ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_UP = frozenset({"parent", "subsumedBy"})
_USABLE = frozenset({"complete", "fragment"})
"""Contents of a CodeSystem that hold codes which may be relied on; `example` and `not-present` do not."""

Links = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """All codes with their properties, and who is directly above and below whom."""

    url: str
    complete: bool
    """Whether these are all of its codes."""
    properties: Mapping[str, Mapping[str, tuple[str, ...]]]
    parents: Links
    children: Links

    def spelt(self, code: str) -> str | None:
        """Return a code as the system writes it, without regard to case where it has no such code; None when it has none."""
        if code in self.properties:
            return code
        folded = code.casefold()
        return next((known for known in self.properties if known.casefold() == folded), None)

    def below(self, code: str) -> set[str]:
        """Return a code and all below it."""
        return _closure(code, self.children)

    def above(self, code: str) -> set[str]:
        """Return a code and all above it."""
        return _closure(code, self.parents)


def _closure(start: str, links: Links) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        for code in links.get(todo.pop(), ()):
            if code not in found:
                found.add(code)
                todo.append(code)
    return found


def usable(resource: Mapping[str, Any]) -> bool:
    """Tell whether a CodeSystem holds the codes that it is about."""
    return resource.get("content") in _USABLE and bool(resource.get("concept"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, dict) else str(value)


def _properties(concept: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for each in concept.get("property", ()):
        values = [_text(value) for name, value in each.items() if name.startswith("value")]
        found.setdefault(each.get("code", ""), []).extend(values)
    if "display" in concept:
        found.setdefault("display", [concept["display"]])
    return {name: tuple(values) for name, values in found.items()}


def from_resource(resource: Mapping[str, Any]) -> CodeSystem:
    """Return the code system that a CodeSystem resource defines."""
    properties: dict[str, dict[str, tuple[str, ...]]] = {}
    links: set[tuple[str, str]] = set()  # (parent, child)
    todo: list[tuple[str | None, Mapping[str, Any]]] = [(None, each) for each in resource.get("concept", ())]
    while todo:
        parent, concept = todo.pop()
        code = concept.get("code")
        if code is None:
            continue
        properties[code] = _properties(concept)
        if parent is not None:
            links.add((parent, code))
        for name, values in properties[code].items():
            links |= {(value, code) for value in values} if name in _UP else set()
            links |= {(code, value) for value in values} if name == "child" else set()
        todo += [(code, inner) for inner in concept.get("concept", ())]
    known = {(parent, child) for parent, child in links if parent in properties and child in properties}
    return CodeSystem(
        resource.get("url", ""), resource.get("content") == "complete", properties,
        _linked((child, parent) for parent, child in known), _linked(known),
    )  # fmt: skip


def _linked(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    out: dict[str, list[str]] = {}
    for start, end in pairs:
        out.setdefault(start, []).append(end)
    return {start: tuple(sorted(ends)) for start, ends in out.items()}
