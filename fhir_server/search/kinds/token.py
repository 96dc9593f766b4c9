"""Token: codes, identifiers, booleans (R4 search.html#token).

| FHIR type | entries |
|---|---|
| Coding, CodeableConcept | system+code; without a code, system |
| Identifier | value, system+value, system |
| ContactPoint | value, system+value, ""+value, system |
| code, boolean, id, string, integer | code |
| uri | code, ""+code |

A search for a code in any system, or for a system, asks the dictionary of codings for their keys (`storage/codings.py`): a Coding
is written there once, a resource holds its one key.

Codes are compared without regard to case, as R4 advises when in doubt, but for systems that say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fhir_server.search.escape import split, unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import NOTHING, Coded, Faceted, Keys, Predicate, any_of, keys
from profiles.registry import R4

CASE_SENSITIVE = frozenset({"http://unitsofmeasure.org"})
SPECIAL_VALUES = "http://hl7.org/fhir/special-values"
_CODINGS = frozenset({"Coding", "CodeableConcept"})
_PRIMITIVE = frozenset(
    {"code", "boolean", "id", "string", "markdown", "integer", "positiveInt", "unsignedInt", "uri", "url"}
)


@dataclass(frozen=True, slots=True)
class Token:
    """`code`, `system|code`, `|code` (no system) or `system|`; None is what was not said."""

    system: str | None
    code: str | None


def parse(text: str) -> Token:
    """Read a token; ValueError says what is wrong with it."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return Token(None, parts[0])
    if len(parts) > 2:
        raise ValueError("is [system]|[code]; write a | that belongs to the code as \\|")
    system, code = parts
    if not system and not code:
        raise ValueError("names neither system nor code")
    return Token(system, code or None)


def folded(system: str, code: str) -> str:
    """Return the code as it is compared under its system."""
    return code if system in CASE_SENSITIVE else code.casefold()


# ---- rows ----


def _coded(entries: Entries, param: int, system: str | None, code: str | None) -> None:
    key, add = entries.key, entries.keys.add
    if code is not None:
        add(key(param, "c", code.casefold()))
        add(key(param, "sc", system or "", folded(system or "", code)))
    if system:
        entries.facets.add(key(param, "s", system))


def _coding(entries: Entries, param: int, value: dict[str, Any]) -> None:
    system, code = value.get("system"), value.get("code")
    key = entries.known.get((param, system, code))
    if key is None:
        if system is None and code is None:
            return
        key = _unknown(entries, param, system, code, value.get("display"))
    entries.keys.add(key)
    entries.counted.add(key)


def _unknown(entries: Entries, param: int, system: str | None, code: str | None, display: str | None) -> int:
    """Return the key of a coding that may not be in the dictionary yet, and note it for that."""
    of_system = entries.key(param, "s", system) if system else 0
    of_code = entries.key(param, "c", code.casefold()) if code is not None else 0
    key = of_system if code is None else entries.key(param, "sc", system or "", folded(system or "", code))
    entries.codings.setdefault(key, (key, of_code, of_system, param, system, code, display))
    return key


def _concept(entries: Entries, param: int, value: dict[str, Any]) -> None:
    for coding in value.get("coding", ()):
        _coding(entries, param, coding)


def _identifier(entries: Entries, param: int, value: dict[str, Any]) -> None:
    _coded(entries, param, value.get("system"), value.get("value"))


def _contact(entries: Entries, param: int, value: dict[str, Any]) -> None:
    _coded(entries, param, value.get("system"), value.get("value"))
    if "value" in value:
        entries.keys.add(entries.key(param, "sc", "", value["value"].casefold()))


def _primitive(entries: Entries, param: int, value: Any) -> None:
    if isinstance(value, dict):  # a type that tokens do not search, such as a Quantity beside a CodeableConcept
        return
    text = ("true" if value else "false") if isinstance(value, bool) else str(value).casefold()
    entries.keys.add(entries.key(param, "c", text))


def _code(entries: Entries, param: int, value: str) -> None:
    """Add a code of a closed list: it stands in the dictionary only to be counted, a search knows its key."""
    key = entries.known.get((param, "", value))
    if key is None:
        key = entries.key(param, "c", value.casefold())
        entries.codings.setdefault(key, (key, 0, 0, param, "", value, None))
    entries.keys.add(key)
    entries.counted.add(key)


def _uri(entries: Entries, param: int, value: str) -> None:
    _primitive(entries, param, value)
    entries.keys.add(entries.key(param, "sc", "", value.casefold()))


_ROWS: dict[str, Callable[[Entries, int, Any], None]] = {
    "Coding": _coding,
    "CodeableConcept": _concept,
    "Identifier": _identifier,
    "ContactPoint": _contact,
    "code": _code,
    "uri": _uri,
    "url": _uri,
}


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for type_, value in pairs:
        _ROWS.get(type_, _primitive)(entries, param, value)


# ---- predicate ----


def _systems(source: Source) -> dict[str, set[str]] | None:
    """Return the codes by system that a source of `code` elements can hold; None when R4 does not enumerate them."""
    found: dict[str, set[str]] = {}
    for term in source.terms:
        for valueset in term.bindings:
            expansion = R4.expansion(valueset)
            if expansion is None:
                return None
            for system, codes in expansion.items():
                found.setdefault(system, set()).update(codes)
    return found or None


def _implied(value: Token, source: Source) -> list[str]:
    """Return the codes to look for where elements have no system of their own; [] when the system given is not theirs."""
    if not value.system:
        return [value.code] if value.code is not None else []
    if source.types == {"boolean"}:
        return [value.code] if value.system == SPECIAL_VALUES and value.code else []
    if source.types != {"code"}:
        return []
    systems = _systems(source)
    if systems is None:
        return [value.code] if value.code is not None else []
    codes = systems.get(value.system, set())
    if value.code is None:
        return sorted(codes)
    return [value.code] if value.code.casefold() in {code.casefold() for code in codes} else []


def key_of(value: Token, param: int, key: KeyFunction) -> int:
    """Return the one key that says the token; for a code or a system alone, the one that the dictionary has it under."""
    if value.code is None:
        return key(param, "s", value.system or "")
    if value.system is None:
        return key(param, "c", value.code.casefold())
    return key(param, "sc", value.system, folded(value.system, value.code))


def predicate(value: Token, source: Source, key: KeyFunction) -> Predicate:
    """Return the condition that a resource holds the token."""
    if source.types and source.types <= _PRIMITIVE:
        codes = _implied(value, source)
        return keys([key(source.id, "c", code.casefold()) for code in codes]) if codes else NOTHING
    found = key_of(value, source.id, key)
    if value.system is not None and value.code is not None:
        return keys([found])
    own = Faceted(Keys((found,))) if value.code is None else Keys((found,))
    parts: list[Predicate] = [Coded(found)] if source.types & _CODINGS or not source.types else []
    return any_of([*parts, *([own] if not source.types or source.types - _CODINGS else [])])


# ---- in memory ----


def held(pairs: Pairs) -> Iterable[tuple[str | None, str | None]]:
    """Yield (system, code) of what was found; system None where the element cannot have one."""
    for type_, value in pairs:
        if type_ == "CodeableConcept":
            yield from ((coding.get("system", ""), coding.get("code")) for coding in value.get("coding", ()))
        elif type_ == "Coding":
            yield value.get("system", ""), value.get("code")
        elif type_ in ("Identifier", "ContactPoint"):
            yield value.get("system", ""), value.get("value")
            if type_ == "ContactPoint":
                yield "", value.get("value")
        elif not isinstance(value, dict):
            yield None, ("true" if value else "false") if isinstance(value, bool) else str(value)


def accepts(value: Token, pairs: Pairs) -> bool:
    """Tell whether one of the values found in a resource is the token; for elements that have a system of their own."""
    for system, code in held(pairs):
        if value.system is not None and (system or "") != value.system:
            continue
        if value.code is None or (code is not None and _equal(value, code)):
            return True
    return False


def meant(value: Token, source: Source, pairs: Pairs) -> bool:
    """Tell the same of a source's values, whether or not they have a system of their own."""
    if source.types and source.types <= _PRIMITIVE:
        wanted = {code.casefold() for code in _implied(value, source)}
        return any(code is not None and code.casefold() in wanted for _, code in held(pairs))
    return accepts(value, pairs)


def _equal(value: Token, code: str) -> bool:
    return folded(value.system or "", code) == folded(value.system or "", value.code or "")
