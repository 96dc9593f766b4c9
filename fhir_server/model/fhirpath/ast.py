"""The syntax tree of FHIRPath N1 (https://hl7.org/fhirpath/N1/grammar.html), as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal; `value` is a system value: bool, int, Decimal, str, Temporal or Quantity."""

    value: Any


@dataclass(frozen=True, slots=True)
class Empty:
    """The empty collection `{}`."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An external constant: `%resource`, `` %`vs-name` ``."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """One of `$this`, `$index` and `$total`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A child element by name, or a type name at the head of a path."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    name: str
    args: tuple[Expr, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """An indexer: `[expression]`."""

    position: Expr


Step = Member | Call | Index


@dataclass(frozen=True, slots=True)
class Path:
    """A term followed by `.invocation`s and indexers, kept flat."""

    head: Expr
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """The polarity `-` or `+` before an expression."""

    sign: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator with two operands."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Union:
    """`a | b | c`, kept flat."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type specifier; the namespace is `FHIR`, `System` or None when not written."""

    namespace: str | None
    name: str


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`operand is Type` or `operand as Type`."""

    operator: str
    operand: Expr
    type: TypeName


Expr = Literal | Empty | Variable | Special | Member | Call | Path | Sign | Binary | Union | TypeTest


def type_name(expression: Expr) -> TypeName | None:
    """Return the type specifier that an argument such as `System.Boolean` stands for, or None."""
    if isinstance(expression, Member):
        return TypeName(None, expression.name)
    if isinstance(expression, Path) and isinstance(expression.head, Member) and len(expression.steps) == 1:
        last = expression.steps[0]
        if isinstance(last, Member) and expression.head.name in ("FHIR", "System"):
            return TypeName(expression.head.name, last.name)
    return None
