"""Units of measure (https://ucum.org/ucum): canonical values, conversion, and whether a code is a unit.

The parser and the table of units are in `fhir_server.model.fhirpath`, because FHIRPath compares quantities too.
"""

from __future__ import annotations

from decimal import Context, Decimal

from fhir_server.model.fhirpath.ucum import canonical

__all__ = ["SYSTEM", "canonical", "convert", "is_code"]

SYSTEM = "http://unitsofmeasure.org"
_DIGITS = Context(prec=28)


def is_code(code: str) -> bool:
    """Return whether this is a unit expression that the table knows."""
    return canonical(Decimal(1), code) is not None


def convert(value: Decimal, code: str, wanted: str) -> Decimal | None:
    """Return the value in another unit, to 28 digits; None when one is unknown or they measure different things."""
    source, zero, one = canonical(value, code), canonical(Decimal(0), wanted), canonical(Decimal(1), wanted)
    if source is None or zero is None or one is None or source[1] != one[1]:
        return None
    # Straight lines only, but not all through zero: 0 Cel is 273.15 K.
    return _DIGITS.divide(source[0] - zero[0], one[0] - zero[0])
