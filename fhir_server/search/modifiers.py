"""From the name of a parameter to what it names: parameter, modifier, or why not (R4 search.html#modifiers).

What strict handling refuses and lenient handling leaves out is an `Unsupported`; the nearest names are offered.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from fhir_server.search import escape
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
from fhir_server.search.modifier_table import parent_param, refusal
from fhir_server.search.parameters import WORDS, served_params
from fhir_server.search.query import Clause, Unsupported, Value, invalid, shown
from profiles.registry import R4, SearchParam

_SPELT = {"ofType": "of-type"}
"""R4's code list spells one modifier otherwise than its text."""
_LATER = frozenset({"_query", "_score"})

MAX_LOOKED_FOR = 100
"""Alternatives of `:contains`, `:text`, `_text` and `_content`."""

# ---- values ----


def _token_parser(modifier: str | None) -> Callable[[str], Value]:
    if modifier == "of-type":
        return identifier.parse
    if modifier == "text":
        return described.parse
    if modifier in ("in", "not-in", "above", "below"):
        return lambda text: coded.parse(text, modifier)
    return token.parse


def _parsers(param: SearchParam, modifier: str | None, base: str) -> Callable[[str], Value]:
    match param.kind:
        case "token":
            return _token_parser(modifier)
        case "string" if param.name in WORDS:
            return lambda text: words.parse(text, anywhere=param.name == "_content")
        case "string":
            return lambda text: string.parse(text, modifier)
        case "date":
            return date.parse
        case "number":
            return number.parse
        case "quantity":
            return quantity.parse
        case "reference" if modifier in ("above", "below"):
            parts = tuple(target for target in param.targets if parent_param(target))
            return lambda text: related.parse(text, parts, modifier, base)
        case "reference":
            return lambda text: reference.parse(text, param.targets, modifier, base)
        case "special":
            return near.parse
        case "uri":
            return lambda text: uri.parse(text, modifier)
        case _:
            return lambda text: composite.parse(text, param)


def _missing(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise invalid(name, "with :missing is true or false")
    return text == "true"


def clause(name: str, param: SearchParam, modifier: str | None, text: str, base: str) -> Clause:
    """Return the clause that a parameter with its text says; BadSearch when a value is not one of its kind."""
    if modifier == "missing":
        return Clause(param, modifier, (), _missing(name, text))
    parts = escape.split(text, ",")
    if not all(parts):
        raise invalid(name, "is empty; leave the parameter out to search by others only")
    if len(parts) > MAX_LOOKED_FOR and (modifier in ("contains", "text") or param.name in WORDS):
        raise invalid(name, f"has {MAX_LOOKED_FOR} alternatives at most, for each is looked for by itself")
    if param.name == "_id":
        return Clause(param, modifier, (), texts=tuple(escape.unescape(part) for part in parts))
    read = _parsers(param, modifier, base)
    try:
        return Clause(param, modifier, tuple(read(part) for part in parts))
    except ValueError as error:
        raise invalid(name, str(error)) from None


# ---- names ----


def suggestions(name: str, known: list[str]) -> str:
    """Return the question which of the known names was meant, "" when none is near."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _check_modifier(type_: str, param: SearchParam, modifier: str | None) -> None:
    """Raise unless the modifier is one that we do on this parameter."""
    if modifier is None:
        return
    said = shown(modifier)
    why = refusal(type_, param, modifier if modifier == said else "?")
    if why is not None:
        of_type = param.kind == "reference" and R4.is_type(modifier)
        raise Unsupported("search-target" if of_type else "search-modifier", f"{why}.", "invalid")


def find(type_: str, name: str) -> tuple[SearchParam, str | None]:
    """Return the parameter and the modifier that a name says."""
    stem, colon, modifier = name.partition(":")
    if stem in _LATER:
        raise Unsupported("search-not-supported", f"{stem} is not supported.")
    if "." in name:
        raise Unsupported("search-chain", f"A chained parameter such as {shown(name)} cannot stand here.")
    known = {param.name: param for param in served_params(type_)}
    if stem not in known:
        hint = suggestions(stem, list(known))
        raise Unsupported(
            "search-unknown-parameter", f"{type_} has no search parameter {shown(stem)}.{hint}", "not-found"
        )
    said = _SPELT.get(modifier, modifier) if colon else None
    _check_modifier(type_, known[stem], said)
    return known[stem], said
