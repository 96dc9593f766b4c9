"""Token with `:text`: what the text of a code or an Identifier's type begins with (R4 search.html#token).

Texts are free, and nobody keeps an index of them: candidates that the other parameters leave are looked into.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Pairs
from fhir_server.search.kinds.string import normalise


@dataclass(frozen=True, slots=True)
class Described:
    """What a text begins with, as strings are compared."""

    text: str


def parse(text: str) -> Described:
    """Read the text; ValueError when it says nothing."""
    found = normalise(unescape(text))
    if not found:
        raise ValueError("with :text is what a text begins with")
    return Described(found)


def _texts(type_: str, value: dict[str, Any]) -> Iterable[str]:
    """Yield CodeableConcept.text and Coding.display, and both of Identifier.type."""
    if type_ == "Identifier":
        yield from _texts("CodeableConcept", value.get("type", {}))
        return
    yield value.get("text" if type_ == "CodeableConcept" else "display", "")
    if type_ == "CodeableConcept":
        yield from (coding.get("display", "") for coding in value.get("coding", ()))


def accepts(value: Described, pairs: Pairs) -> bool:
    """Tell whether one of the texts found in a resource begins with the text."""
    found = (text for type_, each in pairs if isinstance(each, dict) for text in _texts(type_, each))
    return any(normalise(text).startswith(value.text) for text in found)
