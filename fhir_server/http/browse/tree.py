"""JSON that can be folded, with references as links; a very large resource is shown up to a limit."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.http.browse.markup import EMPTY, Html, el, join
from fhir_server.http.browse.values import link
from fhir_server.http.browse.visit import Visit
from fhir_server.kit import json

MOST: Final = 4000
"""Values that a page shows; the rest is in the raw view."""
_LONGEST: Final = 2000
_LINKS: Final = frozenset({"reference", "fullUrl", "url", "system", "instantiatesCanonical", "profile"})


def tree(visit: Visit, resource: dict[str, Any]) -> Html:
    """Return a resource as a tree."""
    made = _Tree(visit)
    body = made.members(resource)
    rest = el("p", "The rest is left out here; the raw view has all of it.", class_="dim") if made.left < 0 else EMPTY
    return join(el("div", body, class_="tree"), rest)


class _Tree:
    """Counts what is still to be shown."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.left = MOST

    def members(self, value: dict[str, Any]) -> Html:
        """Return the members of an object as a list."""
        return el("ul", [self._item(el("span", f'"{name}"', class_="k"), name, each) for name, each in value.items()])

    def _items(self, name: str, values: list[Any]) -> Html:
        return el("ul", [self._item(EMPTY, name, each) for each in values])

    def _item(self, key: Html, name: str, value: Any) -> Html:
        self.left -= 1
        if self.left < 0:
            return EMPTY
        before = join(key, ": ") if key else EMPTY
        if isinstance(value, dict) and value:
            return self._fold(before, "{ }", self.members(value))
        if isinstance(value, list) and value:
            many = el("span", f" {len(value)}", class_="dim")
            return self._fold(before, join("[ ]", many), self._items(name, value))
        return el("li", el("span", before, self._leaf(name, value), class_="leaf"))

    def _fold(self, before: Html, marks: str, inside: Html) -> Html:
        return el("li", el("details", el("summary", before, el("span", marks, class_="dim")), inside, open=True))

    def _leaf(self, name: str, value: Any) -> Html:
        if not isinstance(value, str):
            return el("span", json.encode(value).decode(), class_="n")
        words = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value)} characters)"
        address = self._visit.reference(value) if name in _LINKS else None
        return el("span", '"', link(words, address), '"', class_="s")
