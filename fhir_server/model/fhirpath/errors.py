"""The one error of FHIRPath, and the limits that keep an expression from taking the server with it."""

from __future__ import annotations

from fhir_server.errors import BadRequest

MAX_EXPRESSION = 16_384  # characters; the longest expression of R4 (a search parameter over 30 types) has about 3,000
MAX_DEPTH = 100  # nesting of the syntax tree, so that neither parsing nor evaluation can exhaust the stack
MAX_STEPS = 1_000_000  # items produced by one evaluation: about a second of work
MAX_TEXT = 1_048_576  # characters of any string that an expression builds


class FhirPathError(BadRequest):
    """An expression that cannot be parsed, compiled or evaluated; ids are `fhirpath-syntax`, `-type`, `-limit`, ..."""


def syntax(text: str, at: int) -> FhirPathError:
    """Return the error for an expression that breaks the grammar at the 0-based character `at`."""
    return FhirPathError(f"FHIRPath: {text} at character {at + 1}", id="fhirpath-syntax")


def wrong_type(text: str) -> FhirPathError:
    """Return the error for an operand or input of the wrong type or cardinality."""
    return FhirPathError(f"FHIRPath: {text}", id="fhirpath-type")


def within_limit(size: int) -> None:
    """Refuse a string of that many characters when it is too long."""
    if size > MAX_TEXT:
        raise over_limit(f"a string of more than {MAX_TEXT} characters")


def over_limit(text: str) -> FhirPathError:
    """Return the error for an expression that exceeds a limit."""
    return FhirPathError(f"FHIRPath: {text}", id="fhirpath-limit")
