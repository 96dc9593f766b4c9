"""Primitive values: the JSON type and the grammar that R4 asks for, and what a text says when they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from fhir_server.errors import Issue
from fhir_server.model.fhirpath.narrative import is_harmless
from fhir_server.model.primitives import PRIMITIVES, STRING_MAX, JsonType, Primitive, matches

_FOUND: Final = {
    bool: "a boolean",
    int: "a whole number",
    Decimal: "a number with a decimal point or exponent",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_ACCEPTED: Final[dict[JsonType, tuple[type, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, Decimal),
    "string": (str,),
}
_WRITTEN: Final[dict[JsonType, str]] = {
    "boolean": "without quotes",
    "integer": "without quotes",
    "number": "without quotes",
    "string": "in quotes",
}


def found(value: Any) -> str:
    """Return what a JSON value is, for a text."""
    return _FOUND.get(type(value), "something that JSON does not have")


def wrong_type(expected: str, value: Any, where: str) -> Issue:
    """Return the issue of a value of the wrong JSON type."""
    return Issue("structure", "shape-wrong-type", f"Expected {expected}, found {found(value)}.", where)


def primitive_issue(type_code: str, value: Any, where: str) -> Issue | None:
    """Return what is wrong with the value of a primitive type."""
    primitive = PRIMITIVES[type_code]
    if type(value) not in _ACCEPTED[primitive.json]:
        return wrong_type(f"{primitive.expected}, {_WRITTEN[primitive.json]}", value, where)
    problem = _text_problem(type_code, value) if primitive.json == "string" else _number_problem(primitive, value)
    return Issue("value", "shape-value", problem, where) if problem else None


def _number_problem(primitive: Primitive, value: Any) -> str | None:
    """Return what is wrong with a boolean, integer or decimal of the right JSON type."""
    if primitive.json == "integer" and not primitive.low <= value <= primitive.high:
        return f"Expected {primitive.expected}."
    return None


def _text_problem(type_code: str, value: str) -> str | None:
    """Return what is wrong with a string."""
    if not value:
        return "A string must not be empty: leave the property out instead."
    if type_code in ("string", "markdown") and len(value) > STRING_MAX:
        return f"A {type_code} may have {STRING_MAX} characters at most."
    return None if matches(type_code, value) else f"A {type_code} must be {PRIMITIVES[type_code].expected}."


def narrative_issue(value: Mapping[str, Any], where: str) -> Issue | None:
    """Return the issue of a Narrative that is no XHTML, or would run something where it is shown (R4 §2.4.1)."""
    div = value.get("div")
    if not isinstance(div, str) or not matches("xhtml", div) or is_harmless(div):
        return None
    text = (
        "A narrative is one well-formed XHTML div without scripts, forms, frames, styles or links that run something."
    )
    return Issue("value", "narrative", text, f"{where}.div")
