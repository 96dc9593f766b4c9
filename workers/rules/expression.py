"""The condition of a rule: FHIRPath over its criteria, which stand in it as `%name`.

A criterion with a comparator is a Boolean, one without is a Quantity; an unknown one is empty. Of FHIRPath only what carries an
unknown on is allowed (and, or, xor, implies, not(), comparisons, arithmetic): such an expression is never true by what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fhir_server.model.fhirpath import FhirPathError, ast, compile_path
from fhir_server.model.fhirpath.compiled import Compiled
from fhir_server.model.fhirpath.parser import parse
from fhir_server.model.fhirpath.quantities import Quantity, canonical_of
from fhir_server.model.fhirpath.runtime import Scope
from fhir_server.model.fhirpath.types import root_node

MOST_TEXT: Final = 1000
_CONNECTIVES: Final = frozenset({"and", "or", "xor", "implies"})
_COMPARISONS: Final = frozenset({"<", "<=", ">", ">=", "=", "!="})
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/"})
_BOOLEAN: Final = "Boolean"
_FOCUS: Final = root_node({}, "Element")


class NotAllowed(ValueError):
    """Why an expression is no condition; the text is for its author."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that can be evaluated."""

    text: str
    compiled: Compiled

    def holds(self, values: Mapping[str, bool | Quantity | None]) -> bool | None:
        """Return whether it holds; None when what is unknown would decide."""
        found = list(self.compiled.run(Scope(_FOCUS, values)))
        return found[0] if len(found) == 1 and type(found[0]) is bool else None


def compiled(text: str, units: Mapping[str, str | None]) -> Condition:
    """Return the condition; `units` has the criteria by name, None for one that is true or false. NotAllowed says what is wrong."""
    if len(text) > MOST_TEXT:
        raise NotAllowed(f"An expression has {MOST_TEXT} characters at most.")
    try:
        tree = parse(text)
        made = compile_path(text, "Element")
    except FhirPathError as error:
        raise NotAllowed(error.text) from error
    if _type(tree, units) != _BOOLEAN:
        raise NotAllowed("A condition is true or false: compare the numbers with something.")
    return Condition(text, made)


def quantity(number: float | None, unit: str) -> Quantity | None:
    """Return a number as FHIRPath compares it."""
    return None if number is None else Quantity(Decimal(repr(number)), unit)


def _type(tree: ast.Expr, units: Mapping[str, str | None]) -> str | None:
    """Return Boolean, the UCUM unit of a number, or None where a product has one that is not followed."""
    if isinstance(tree, ast.Variable):
        if tree.name not in units:
            raise NotAllowed(
                f"%{tree.name} is no criterion of this rule; it has: {', '.join(sorted(units)) or 'none'}."
            )
        return _BOOLEAN if units[tree.name] is None else units[tree.name]
    if isinstance(tree, ast.Literal):
        return _literal(tree.value)
    if isinstance(tree, ast.Sign):
        return _number(tree.operand, units)
    if isinstance(tree, ast.Path) and all(
        isinstance(s, ast.Call) and s.name == "not" and not s.args for s in tree.steps
    ):
        _boolean(tree.head, units)
        return _BOOLEAN
    if isinstance(tree, ast.Binary):
        return _binary(tree, units)
    raise NotAllowed(
        "A condition is made of criteria (%name), numbers with units, and, or, xor, implies, not(), comparisons and arithmetic: "
        "other functions would let what is missing decide."
    )


def _binary(tree: ast.Binary, units: Mapping[str, str | None]) -> str | None:
    if tree.operator in _CONNECTIVES:
        _boolean(tree.left, units)
        _boolean(tree.right, units)
        return _BOOLEAN
    if tree.operator not in _COMPARISONS | _ARITHMETIC:
        raise NotAllowed(f"The operator {tree.operator} is not for conditions: it takes what is missing for an answer.")
    left, right = _number(tree.left, units), _number(tree.right, units)
    if tree.operator in ("*", "/"):
        return None if "1" not in (left, right) else left if right == "1" else None
    if tree.operator in ("+", "-") and None in (left, right):
        raise NotAllowed("What was multiplied can be compared, not added to.")
    if left is not None and right is not None and _dimension(left) != _dimension(right):
        raise NotAllowed(f"'{left}' and '{right}' measure different things.")
    return _BOOLEAN if tree.operator in _COMPARISONS else left


def _boolean(tree: ast.Expr, units: Mapping[str, str | None]) -> None:
    if _type(tree, units) != _BOOLEAN:
        raise NotAllowed("Only what is true or false can be combined by and, or, xor, implies and not().")


def _number(tree: ast.Expr, units: Mapping[str, str | None]) -> str | None:
    found = _type(tree, units)
    if found == _BOOLEAN:
        raise NotAllowed("Only numbers can be compared or calculated with.")
    return found


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | Decimal):
        return "1"
    if isinstance(value, Quantity):
        if value.calendar or canonical_of(value) is None:
            raise NotAllowed(f"'{value.unit}' is no UCUM unit that is known here.")
        return value.unit
    raise NotAllowed("Only numbers, quantities, true and false can stand in a condition.")


def _dimension(unit: str) -> str | None:
    found = canonical_of(Quantity(Decimal(1), unit))
    return found[1] if found else None
