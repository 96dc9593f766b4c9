"""Token with `:of-type`: an Identifier by the code of its type and its value, `system|code|value` (R4 search.html#token).

The value alone finds the few candidates; whether it stands in an Identifier of that type is seen in the resource.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhir_server.search.escape import split, unescape
from fhir_server.search.kinds import token
from fhir_server.search.kinds.entries import KeyFunction, Pairs
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import EVERYTHING, Match


@dataclass(frozen=True, slots=True)
class OfType:
    """The code of an Identifier's type and its value."""

    system: str
    code: str
    value: str


def parse(text: str) -> OfType:
    """Read `system|code|value`; ValueError when a part is missing."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise ValueError("with :of-type is [system]|[code]|[value], all three, of Identifier.type and Identifier.value")
    return OfType(*parts)


def match(value: OfType, source: Source, key: KeyFunction) -> Match:
    """Return the condition that a resource holds the value at all; the rest is in doubt."""
    return Match(token.predicate(token.Token(None, value.value), source, key), EVERYTHING)


def _types(identifier: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for coding in identifier.get("type", {}).get("coding", ()):
        yield coding.get("system", ""), coding.get("code", "")


def accepts(value: OfType, pairs: Pairs) -> bool:
    """Tell whether one of the Identifiers found in a resource has the type and the value."""
    wanted, text = (value.system, token.folded(value.system, value.code)), value.value.casefold()
    for type_, found in pairs:
        if type_ != "Identifier" or found.get("value", "").casefold() != text:
            continue
        if any((system, token.folded(system, code)) == wanted for system, code in _types(found)):
            return True
    return False
