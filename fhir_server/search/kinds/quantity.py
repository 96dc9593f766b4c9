"""Quantity: number|system|code, number||unit, or the bare number (R4 search.html#quantity).

A quantity in UCUM is compared by its canonical value, so that 1 kg is found as 1000 g. `number||unit` means the code or the unit as
people write it; the latter is a key of the resource, so candidates are verified. A comparator in the resource makes it a range.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from fhir_server.model.fhirpath import ucum
from fhir_server.search.escape import split, unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.kinds.number import (
    EXACT,
    HIGHEST,
    LOWEST,
    Condition,
    Span,
    compares,
    conditions,
    decimal,
    implied,
    nearly,
    parse_decimal,
)
from fhir_server.search.kinds.prefixes import Prefix, split_prefix
from fhir_server.search.predicates import All, Keys, Predicate, Rows, any_of

UCUM = "http://unitsofmeasure.org"
CURRENCIES = "urn:iso:std:iso:4217"

_BASE_DIGITS = Context(prec=18)
"""Digits of a value in base units: beyond that a division such as /min only fills the disk."""

_NEXT = Context(prec=_BASE_DIGITS.prec - 1, Emin=-40)
"""In which the neighbour of 5 is where `<5` ends, so that `ge5` does not find it; kept when a value is put in base units."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A comparator, the number with the range that its digits mean, and the unit; system None: any, code None: any unit."""

    prefix: Prefix
    value: Decimal
    lo: Decimal
    hi: Decimal
    system: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity of a resource: its range, its unit and the unit as people write it."""

    lo: Decimal
    hi: Decimal
    system: str | None
    code: str | None
    unit: str | None


def parse(text: str) -> Quantity:
    """Read a quantity; ValueError says what is wrong."""
    parts = split(text, "|")
    if len(parts) not in (1, 3):
        raise ValueError("is [number], [number]|[system]|[code] or [number]||[unit]")
    prefix, number = split_prefix(unescape(parts[0]))
    value = parse_decimal(number)
    lo, hi = nearly(value) if prefix == "ap" else implied(number, value)
    system, code = (unescape(parts[1]) or None, unescape(parts[2]) or None) if len(parts) == 3 else (None, None)
    if system and not code:
        raise ValueError("names a system of units but no unit")
    return Quantity(prefix, value, lo, hi, system, code)


# ---- what is in the resource ----


def _bounds(value: dict[str, Any]) -> Span | None:
    number = value.get("value")
    if number is None:
        return None
    exact = decimal(number)
    match value.get("comparator"):
        case None:
            return exact, exact
        case "<":
            return LOWEST, _NEXT.next_minus(exact)
        case "<=":
            return LOWEST, exact
        case ">":
            return _NEXT.next_plus(exact), HIGHEST
        case _:
            return exact, HIGHEST


def _quantity(value: dict[str, Any]) -> Measure | None:
    span = _bounds(value)
    if span is None:
        return None
    return Measure(*span, value.get("system"), value.get("code"), value.get("unit"))


def _money(value: dict[str, Any]) -> Measure | None:
    if "value" not in value:
        return None
    exact = decimal(value["value"])
    return Measure(exact, exact, CURRENCIES, value.get("currency"), None)


def _range(value: dict[str, Any]) -> Measure | None:
    low, high = value.get("low", {}), value.get("high", {})
    unit = low or high
    if "value" not in low and "value" not in high:
        return None
    lo = decimal(low["value"]) if "value" in low else LOWEST
    hi = decimal(high["value"]) if "value" in high else HIGHEST
    return Measure(lo, hi, unit.get("system"), unit.get("code"), unit.get("unit")) if lo <= hi else None


def _sampled(value: dict[str, Any]) -> Measure | None:
    """Return the range of the samples; E, U and L (error, above, below the limits) are none."""
    samples = [sample for sample in value.get("data", "").split() if sample not in ("E", "U", "L")]
    origin = value["origin"]
    if not samples or "value" not in origin:
        return None
    zero, factor = decimal(origin["value"]), decimal(value.get("factor", 1))
    ends = [EXACT.add(zero, EXACT.multiply(Decimal(pick(samples, key=float)), factor)) for pick in (min, max)]
    return Measure(min(ends), max(ends), origin.get("system"), origin.get("code"), origin.get("unit"))


_MEASURES = {"Money": _money, "Range": _range, "SampledData": _sampled}


def measures(pairs: Pairs) -> list[Measure]:
    """Return the quantities of what was found."""
    found = (_MEASURES.get(type_, _quantity)(value) for type_, value in pairs)
    return [measure for measure in found if measure is not None]


# ---- rows ----

Canonical = tuple[Decimal, Decimal, str]
"""Lower and upper bound in base units, and the code of those."""


def canonical(number: Decimal, code: str) -> tuple[Decimal, str] | None:
    """Return a value in the base units of UCUM, and their code; None for a unit that UCUM does not have."""
    found = ucum.canonical(number, code) if number.is_finite() else ucum.canonical(Decimal(0), code)
    if found is None:
        return None
    return (_BASE_DIGITS.plus(found[0]) if number.is_finite() else number), found[1]


def canonical_span(measure: Measure) -> Canonical | None:
    """Return a measure in the base units of UCUM; None when it has none."""
    if measure.system != UCUM or not measure.code:
        return None
    low = canonical(measure.lo, measure.code)
    high = low if measure.hi is measure.lo else canonical(measure.hi, measure.code)
    return (low[0], high[0], low[1]) if low and high else None


def rows(entries: Entries, param: int, pairs: Pairs, instance: int = 0) -> None:
    """Add the entries of what was found; `instance` is the key of the token beside it in a composite."""
    key = entries.key
    for measure in measures(pairs):
        said = measure.code or measure.unit
        unit = key(param, "q", said) if said else 0
        if measure.unit and measure.code and measure.unit != measure.code:
            entries.keys.add(key(param, "qu", measure.unit))
        base = canonical_span(measure)
        lo, hi, canonical_unit = (base[0], base[1], key(param, "qc", base[2])) if base else (None, None, 0)
        entries.numbers.append((param, instance, measure.lo, measure.hi, unit, canonical_unit, lo, hi))


# ---- predicate ----


def _rows(head: str, values: tuple[Any, ...], found: tuple[Condition, ...]) -> Rows:
    ranges = tuple((f"{head} AND {where}", (*values, *more)) for where, more in found)
    return Rows("ix_number", ranges[0][0], ranges[0][1], ranges[1:])


BaseUnits = tuple[Decimal, Decimal, Decimal, str]
"""The number, its range and the code of the units."""


def _in_base_units(value: Quantity) -> BaseUnits | None:
    """Return what is asked for in base units; None when the query names no unit of UCUM."""
    if value.system != UCUM or value.code is None:
        return None
    found = [canonical(number, value.code) for number in (value.value, value.lo, value.hi)]
    exact, lo, hi = found
    return (exact[0], lo[0], hi[0], exact[1]) if exact and lo and hi else None


def verified(value: Quantity) -> bool:
    """Tell whether the predicate alone cannot decide: a unit as people write it, or one of a system other than UCUM."""
    return value.code is not None and _in_base_units(value) is None


def predicate(value: Quantity, param: int, key: KeyFunction, instance: int | None = 0) -> Predicate:
    """Return the condition that a quantity of the resource compares so.

    `instance` is the key of a composite's token; None means the rows under any: PostgreSQL goes from key to key in the index.
    """
    head, at = f"param = {param}", () if not instance else (instance,)
    if instance is not None:
        head += " AND key = {}" if instance else " AND key = 0"
    found = conditions(value.prefix, value.value, value.lo, value.hi)
    if value.code is None:
        return _rows(head, at, found)
    base = _in_base_units(value)
    if base is not None:
        # The literal condition lets PostgreSQL see that the partial index serves.
        found = conditions(value.prefix, *base[:3], low="clo", high="chi")
        return _rows(f"{head} AND cunit <> 0 AND cunit = {{}}", (*at, key(param, "qc", base[3])), found)
    coded = _rows(f"{head} AND unit = {{}}", (*at, key(param, "q", value.code)), found)
    if value.system is not None:
        return coded
    return any_of([coded, All((Keys((key(param, "qu", value.code),)), _rows(head, at, found)))])


# ---- in memory ----


def _same_unit(value: Quantity, measure: Measure) -> bool:
    if value.system is None:
        return value.code in (None, measure.code, measure.unit)
    return measure.system == value.system and measure.code == value.code


def _compares(value: Quantity, measure: Measure) -> bool:
    wanted, held = _in_base_units(value), canonical_span(measure)
    if wanted and held and wanted[3] == held[2]:
        return compares(value.prefix, *wanted[:3], held[:2])
    return _same_unit(value, measure) and compares(
        value.prefix, value.value, value.lo, value.hi, (measure.lo, measure.hi)
    )


def accepts(value: Quantity, pairs: Pairs) -> bool:
    """Tell whether one of the quantities found in a resource compares so."""
    return any(_compares(value, measure) for measure in measures(pairs))
