"""Which modifiers go with which parameters (R4 search.html#modifiers): the one table that parsing and the CapabilityStatement read.

A modifier of a kind may still need something of the parameter: `:of-type` an Identifier, `:in` a code. What is refused says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from fhir_server.search.parameters import COLUMNS, WORDS, remembered, table
from profiles.registry import R4, SearchParam

Types = frozenset[str]
"""The FHIR types that a parameter's values have; empty when they are not known."""

_CODED = frozenset({"Coding", "CodeableConcept", "code"})
_DESCRIBED = frozenset({"Coding", "CodeableConcept", "Identifier"})
_CANONICAL = frozenset({"canonical", "uri"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What a modifier needs of a parameter, and what to say to those that lack it."""

    fits: Callable[[SearchParam, Types], bool]
    otherwise: str = ""


def _any(_: SearchParam, __: Types) -> bool:
    return True


def _holds(wanted: Types) -> Callable[[SearchParam, Types], bool]:
    return lambda _, types: not types or bool(types & wanted)


@cache
def parent_param(type_: str) -> SearchParam | None:
    """Return the parameter by which resources of a type are parts of others of it: `Location.partOf`; None when there is none."""
    for param in R4.params(type_).values():
        if param.kind == "reference" and param.expression == f"{type_}.partOf" and type_ in param.targets:
            return param
    return None


def _has_parts(param: SearchParam, types: Types) -> bool:
    return bool(types & _CANONICAL) or any(parent_param(target) for target in param.targets)


_ALWAYS = Rule(_any)
_CODES = Rule(_holds(_CODED), "its values are no codes, which value sets and code systems are about")
_PARTS = Rule(_has_parts, "nothing it refers to is part of another of its type, and it holds no canonical URL")
_MISSING = {"missing": _ALWAYS}

TABLE: Mapping[str, Mapping[str, Rule]] = {
    "string": {**_MISSING, "exact": _ALWAYS, "contains": _ALWAYS},
    "token": {
        **_MISSING,
        "not": _ALWAYS,
        "in": _CODES,
        "not-in": _CODES,
        "above": _CODES,
        "below": _CODES,
        "text": Rule(_holds(_DESCRIBED), "its values have no text beside them"),
        "of-type": Rule(_holds(frozenset({"Identifier"})), "its values are no Identifiers, which alone have a type"),
    },
    "reference": {
        **_MISSING,
        "identifier": Rule(_holds(frozenset({"Reference"})), "its values are canonical URLs, which have no identifier"),
        "above": _PARTS,
        "below": _PARTS,
    },
    "uri": {**_MISSING, "above": _ALWAYS, "below": _ALWAYS},
    "date": _MISSING,
    "number": _MISSING,
    "quantity": _MISSING,
    "composite": _MISSING,
    "special": _MISSING,
}
"""Kind -> modifier -> what it needs. A reference takes a resource type too (`subject:Patient`)."""

OF_ID = frozenset({"missing", "not"})
"""What goes with `_id`, a token without codes."""

KNOWN = frozenset(
    {"missing", "exact", "contains", "not", "text", "in", "not-in", "above", "below", "of-type", "type", "identifier"}
)
"""All of R4. `ofType` is how its code list spells `of-type`."""


@remembered
def types_of(type_: str, name: str) -> Types:
    """Return the FHIR types that a parameter's values can have; empty when unknown."""
    sources = table(type_).sources.get(name, ())
    known = [source.types for source in sources]
    return frozenset().union(*known) if known and all(known) else frozenset()


def _said(param: SearchParam, modifier: str) -> str:
    return f"The modifier :{modifier} does not go with {param.name}, a parameter of kind {param.kind}"


@remembered
def allowed(type_: str, param: SearchParam) -> tuple[str, ...]:
    """Return the modifiers that a parameter takes, as the CapabilityStatement lists them."""
    rules = TABLE[param.kind]
    if param.name in COLUMNS | WORDS:
        return tuple(name for name in rules if name in (OF_ID if param.name == "_id" else _MISSING))
    return tuple(name for name, rule in rules.items() if rule.fits(param, types_of(type_, param.name)))


def refusal(type_: str, param: SearchParam, modifier: str) -> str | None:
    """Return why a modifier does not go with a parameter; None when it does."""
    if modifier in allowed(type_, param):
        return None
    if param.kind == "reference" and R4.is_type(modifier):
        if param.targets and modifier not in param.targets:
            return f"{param.name} refers to {', '.join(param.targets)}, not to {modifier}"
        return None if _holds(frozenset({"Reference"}))(param, types_of(type_, param.name)) else _said(param, modifier)
    rule = TABLE[param.kind].get(modifier)
    reason = f": {rule.otherwise}" if rule and rule.otherwise else ""
    takes = ", ".join(f":{name}" for name in allowed(type_, param)) or "none"
    return f"{_said(param, modifier)}{reason}. It takes {takes}"


def documentation(type_: str, param: SearchParam) -> str:
    """Return what the CapabilityStatement says about a parameter."""
    said = " ".join(f":{name}" for name in allowed(type_, param))
    if param.kind == "reference" and refusal(type_, param, param.targets[0] if param.targets else "Patient") is None:
        said += " :[type]"
    return f"Modifiers: {said or 'none'}"
