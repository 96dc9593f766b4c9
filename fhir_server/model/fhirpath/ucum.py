"""UCUM unit expressions to a factor and dimensions, so that quantities of different units compare (UCUM §2-§3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Context, Decimal, DecimalException
from functools import lru_cache

from fhir_server.model.fhirpath.units import BASES, METRIC, METRIC_BASES, PREFIXES, SCALES, UNITS

Dimensions = tuple[tuple[str, int], ...]

_PRECISION = Context(prec=40, Emax=6144, Emin=-6143)
_MAX_CODE = 128
_TOKEN = re.compile(r"\{[^{}]*\}|[()./]|[+-]?\d+(?=[().\/{]|$)|10[*^]|(?:\[[^\[\]]*\]|[^()./\[\]{}0-9+\-])+", re.ASCII)


class _UnknownUnit(Exception):
    """The text is no unit of the table."""


def canonical(value: Decimal, unit: str) -> tuple[Decimal, str] | None:
    """Return the value in base units and the code of those, such as (0.005, "g.m-3"); None for an unknown unit."""
    scale = SCALES.get(unit)
    if scale is not None:
        return _PRECISION.multiply(_PRECISION.add(value, scale[1]), scale[0]), "K"
    found = analyse(unit)
    if found is None:
        return None
    try:
        return _PRECISION.multiply(value, found[0]), code_of(found[1])
    except DecimalException:
        return None


def code_of(dimensions: Dimensions) -> str:
    """Return the UCUM code of a product of base units; `1` when there is none."""
    return ".".join(base if power == 1 else f"{base}{power}" for base, power in dimensions) or "1"


def analyse(unit: str) -> tuple[Decimal, Dimensions] | None:
    """Return the factor and dimensions of a unit expression, or None when a part of it is unknown."""
    return _analyse(unit) if 0 < len(unit) <= _MAX_CODE else None


@lru_cache(maxsize=4096)
def _analyse(unit: str) -> tuple[Decimal, Dimensions] | None:
    try:
        tokens = list(_tokens(unit))
        factor, powers = _term(tokens)
    except (_UnknownUnit, DecimalException, RecursionError):
        return None
    if tokens or not factor:
        return None
    return factor, tuple(sorted((base, power) for base, power in powers.items() if power))


def _tokens(unit: str) -> Iterator[str]:
    at = 0
    while at < len(unit):
        match = _TOKEN.match(unit, at)
        if match is None:
            raise _UnknownUnit
        at = match.end()
        yield match.group()


def _term(tokens: list[str]) -> tuple[Decimal, dict[str, int]]:
    """Read components joined by `.` and `/` up to the end or a closing parenthesis; consumes the tokens."""
    factor, powers = Decimal(1), dict[str, int]()
    sign = 1
    if tokens and tokens[0] == "/":
        sign = -1
        tokens.pop(0)
    while True:
        part, inner = _component(tokens)
        factor = _PRECISION.multiply(factor, part) if sign == 1 else _PRECISION.divide(factor, part)
        for base, power in inner.items():
            powers[base] = powers.get(base, 0) + sign * power
        if not tokens or tokens[0] not in "./":
            return factor, powers
        sign = 1 if tokens.pop(0) == "." else -1


def _component(tokens: list[str]) -> tuple[Decimal, dict[str, int]]:
    """Read a parenthesised term, a number, or a unit with its exponent; annotations in braces mean nothing."""
    token = tokens.pop(0) if tokens else ""
    if token.startswith("{"):
        return Decimal(1), {}
    if token == "(":  # noqa: S105
        found = _term(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise _UnknownUnit
    elif token.isdecimal():
        found = Decimal(token), {}
    elif token in ("", ")", ".", "/"):
        raise _UnknownUnit
    else:
        found = _atom(token)
    power = 1
    if tokens and tokens[0].lstrip("+-").isdecimal():
        power = int(tokens.pop(0))
        if abs(power) > 99:
            raise _UnknownUnit
    if tokens and tokens[0].startswith("{"):
        tokens.pop(0)
    return _PRECISION.power(found[0], power), {base: count * power for base, count in found[1].items()}


def _atom(code: str) -> tuple[Decimal, dict[str, int]]:
    """Return the meaning of a unit symbol, with or without a prefix."""
    if code in BASES:
        return Decimal(1), {code: 1}
    if code in UNITS:
        return _defined(code)
    for width in (2, 1):
        prefix, rest = code[:width], code[width:]
        if prefix in PREFIXES and rest in METRIC:
            factor, powers = (Decimal(1), {rest: 1}) if rest in METRIC_BASES else _defined(rest)
            return _PRECISION.multiply(factor, Decimal(10) ** PREFIXES[prefix]), powers
    raise _UnknownUnit


@lru_cache(maxsize=512)
def _definition(code: str) -> tuple[Decimal, Dimensions]:
    factor, definition = UNITS[code]
    if definition == "1":
        return factor, ()
    found = analyse(definition)
    assert found is not None, code
    return _PRECISION.multiply(factor, found[0]), found[1]


def _defined(code: str) -> tuple[Decimal, dict[str, int]]:
    factor, dimensions = _definition(code)
    return factor, dict(dimensions)
