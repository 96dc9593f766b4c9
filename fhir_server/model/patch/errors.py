"""What can be wrong with a patch: the document itself (400), too much of it (413), or what it wants of this resource (422).

RFC 5789 §2.2 tells them apart. Each names the operation by its place in the document; values are never repeated, for they may be
about a person.
"""

from __future__ import annotations

import re

from fhir_server.errors import BadRequest, TooLarge, Unprocessable

MAX_OPERATIONS = 1000
MAX_WEIGHT = 64 * 1024 * 1024
"""What the values that a patch adds, copies and moves may weigh together: characters of text, and 64 for every value."""
MAX_STEPS = 100_000
"""What all FHIRPath of a patch may cost together: about half a second of the dearest functions."""

_SHOWN = re.compile(r"[A-Za-z0-9_\-/~$]{1,120}")


def malformed(where: str, text: str, expression: str | None = None) -> BadRequest:
    """Return the error for a patch document that does not say what to do."""
    return BadRequest(f"{where}: {text}", "patch-malformed", expression)


def failed(where: str, text: str, expression: str | None = None, *, id_: str = "patch-failed") -> Unprocessable:
    """Return the error for an operation that this resource, as it is now, does not allow."""
    return Unprocessable(f"{where}: {text}", id_, expression)


def too_large(text: str) -> TooLarge:
    """Return the error for a patch that is out of bounds."""
    return TooLarge(text, "patch-too-large")


def shown(pointer: str) -> str:
    """Return a JSON Pointer for a message; one that holds more than names and numbers is not repeated."""
    return pointer if _SHOWN.fullmatch(pointer) else "the whole document" if not pointer else "an unusual path"
