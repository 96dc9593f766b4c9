"""The decimal arithmetic of FHIRPath: 34 digits, bounded exponents, and rounding that cannot fail."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException

ARITHMETIC = Context(prec=34, Emax=6144, Emin=-6143)
WIDE = Context(prec=800, Emax=6144, Emin=-6143)  # for exact steps on what a resource can hold


def places(value: int | Decimal) -> int:
    """Return with how many decimals a number is written."""
    if type(value) is not Decimal:
        return 0
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def significant_places(value: int | Decimal) -> int:
    """Return how many decimals a number has when trailing zeros are left out."""
    return places(value.normalize(WIDE)) if type(value) is Decimal else 0


def at_places(value: int | Decimal, count: int, rounding: str = ROUND_HALF_UP) -> Decimal:
    """Return a number with `count` decimals; numbers too large to have that many stay as they are."""
    try:
        return Decimal(value).quantize(Decimal(1).scaleb(-count), rounding, WIDE)
    except DecimalException:
        return Decimal(value)
