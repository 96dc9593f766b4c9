"""Number: equality within the precision that is written, order as if it were exact (R4 search.html#number).

100      means [99.5, 100.5)        100.00   means [99.995, 100.005)        1e2   means [95, 105)
gt lt ge le sa eb compare with exactly 100;  ap is within a tenth
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from fhir_server.kit.json import MAX_DIGITS, MAX_EXPONENT
from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Entries, Pairs
from fhir_server.search.kinds.prefixes import Prefix, split_prefix
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import Predicate, Rows

LOWEST, HIGHEST = Decimal("-Infinity"), Decimal("Infinity")
EXACT = Context(prec=2 * (MAX_DIGITS + MAX_EXPONENT))
"""Arithmetic that rounds nothing that a resource or query may hold."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_TENTH = Decimal("0.1")

Span = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Number:
    """A comparator, the number, and the range that its digits mean."""

    prefix: Prefix
    value: Decimal
    lo: Decimal
    hi: Decimal


def parse_decimal(text: str) -> Decimal:
    """Read a decimal within the limits of JSON numbers; ValueError says what is wrong."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("is no number")
    if len(text) > MAX_DIGITS or abs(int(match[1] or 0)) > MAX_EXPONENT:
        raise ValueError(f"has more than {MAX_DIGITS} digits or an exponent beyond {MAX_EXPONENT}")
    return Decimal(text)


def implied(text: str, value: Decimal) -> Span:
    """Return the range that a number means by its digits; with an exponent one digit more, as R4's table has it."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal((0, (5,), exponent - 1 - ("e" in text.lower())))
    return EXACT.subtract(value, half), EXACT.add(value, half)


def nearly(value: Decimal) -> Span:
    """Return the range within a tenth of a number."""
    distance = EXACT.multiply(abs(value), _TENTH)
    return EXACT.subtract(value, distance), EXACT.add(value, distance)


def parse(text: str) -> Number:
    """Read a number with its comparator; ValueError says what is wrong."""
    prefix, rest = split_prefix(unescape(text))
    value = parse_decimal(rest)
    lo, hi = nearly(value) if prefix == "ap" else implied(rest, value)
    return Number(prefix, value, lo, hi)


# ---- rows ----


def decimal(value: Any) -> Decimal:
    """Return a JSON number as a Decimal."""
    return value if type(value) is Decimal else Decimal(value)


def _span(type_: str, value: Any) -> Span | None:
    if type_ == "Range":
        low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
        if low is None and high is None:
            return None
        return LOWEST if low is None else decimal(low), HIGHEST if high is None else decimal(high)
    return (decimal(value), decimal(value)) if isinstance(value, int | Decimal) else None


def spans(pairs: Pairs) -> list[Span]:
    """Return the inclusive ranges of what was found."""
    found = (_span(type_, value) for type_, value in pairs)
    return [span for span in found if span is not None and span[0] <= span[1]]


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for lo, hi in spans(pairs):
        entries.numbers.append((param, 0, lo, hi, 0, 0, None, None))


# ---- predicate ----

Condition = tuple[str, tuple[Decimal, ...]]
_LONG = "hi > lo"


def conditions(
    prefix: Prefix, value: Decimal, lo: Decimal, hi: Decimal, *, low: str = "lo", high: str = "hi"
) -> tuple[Condition, ...]:
    """Return conditions on two columns, each of which the index can seek; any of them is a match.

    Most rows are points, lo = hi; those that are not are few and have an index of their own, by their end.
    """
    match prefix:
        case "eq":
            return ((f"{low} >= {{}} AND {low} < {{}} AND {high} < {{}}", (lo, hi, hi)),)
        case "ne":
            return (f"{low} < {{}}", (lo,)), (f"{low} >= {{}}", (hi,)), (f"{_LONG} AND {high} >= {{}}", (hi,))
        case "gt":
            return (f"{low} > {{}}", (value,)), (f"{_LONG} AND {high} > {{}}", (value,))
        case "lt":
            return ((f"{low} < {{}}", (value,)),)
        case "ge":
            return (f"{low} >= {{}}", (value,)), (f"{_LONG} AND {high} >= {{}}", (value,))
        case "le":
            return ((f"{low} <= {{}}", (value,)),)
        case "sa":
            return ((f"{low} > {{}}", (value,)),)
        case "eb":
            return ((f"{low} < {{}} AND {high} < {{}}", (value, value)),)
        case "ap":
            return (f"{low} >= {{}} AND {low} <= {{}}", (lo, hi)), (
                f"{_LONG} AND {high} >= {{}} AND {low} < {{}}",
                (lo, lo),
            )


def compares(prefix: Prefix, value: Decimal, lo: Decimal, hi: Decimal, found: Span) -> bool:
    """Tell the same of one range in memory."""
    start, end = found
    match prefix:
        case "eq":
            return start >= lo and end < hi
        case "ne":
            return not (start >= lo and end < hi)
        case "gt":
            return end > value
        case "lt":
            return start < value
        case "ge":
            return end >= value
        case "le":
            return start <= value
        case "sa":
            return start > value
        case "eb":
            return end < value
        case "ap":
            return start <= hi and end >= lo


def point(value: Number, column: str) -> Condition:
    """Return the condition on one column that holds a point."""
    found = conditions(value.prefix, value.value, value.lo, value.hi, low=column, high=column)
    parts = [part for part in found if not part[0].startswith(_LONG)]
    return "(" + " OR ".join(where for where, _ in parts) + ")", tuple(v for _, values in parts for v in values)


def accepts(value: Number, pairs: Pairs) -> bool:
    """Tell whether one of the numbers found in a resource compares so."""
    return any(compares(value.prefix, value.value, value.lo, value.hi, span) for span in spans(pairs))


def predicate(value: Number, source: Source) -> Predicate:
    """Return the condition that a number of the resource compares so."""
    found = conditions(value.prefix, value.value, value.lo, value.hi)
    whole = tuple((f"param = {source.id} AND key = 0 AND {where}", values) for where, values in found)
    return Rows("ix_number", whole[0][0], whole[0][1], whole[1:])
