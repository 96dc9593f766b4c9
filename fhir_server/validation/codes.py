"""Required bindings: a code, Coding or CodeableConcept must be from the value set, where R4 enumerates it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from fhir_server.errors import Issue
from profiles.registry import R4, Element

SHOWN: Final = 12


def required_valueset(element: Element) -> str | None:
    """Return the value set that an element's codes must be from; None where there is none to check."""
    binding = element.binding
    if binding is None or binding.strength != "required" or R4.codes(binding.valueset) is None:
        return None
    return binding.valueset


def code_issue(element: Element, code: str, where: str) -> Issue | None:
    """Return the issue of a `code` that is not in its required value set."""
    valueset = required_valueset(element)
    codes = R4.codes(valueset) if valueset else None
    if codes is None or code in codes:
        return None
    return Issue("code-invalid", "shape-code", f"Not a code of {valueset}; {_offer(code, codes)}", where)


def concept_issue(element: Element, path: str, value: Mapping[str, Any], where: str) -> Issue | None:
    """Return the issue of a Coding or CodeableConcept (`path`) of which no coding is in its required value set."""
    valueset = required_valueset(element)
    expansion = R4.expansion(valueset) if valueset else None
    if expansion is None:
        return None
    codings = value.get("coding", []) if path == "CodeableConcept" else [value]
    if not isinstance(codings, list):
        return None  # another issue says that it must be an array
    pairs = [(c.get("system"), c.get("code")) for c in codings if isinstance(c, dict)]
    if any(code in expansion.get(str(system), ()) for system, code in pairs):
        return None
    if not pairs and "extension" in value:
        return None
    first = next((code for _, code in pairs if isinstance(code, str)), "")
    offer = _offer(first, frozenset(code for codes in expansion.values() for code in codes))
    return Issue(
        "code-invalid", "shape-code", f"No coding is from {valueset} ({' or '.join(expansion)}); {offer}.", where
    )


def _offer(code: str, codes: frozenset[str]) -> str:
    """Return the end of a sentence that offers the nearest codes, or all of a short list."""
    near = nearest(code, codes)
    if near:
        return f"did you mean {near}?"
    if len(codes) <= SHOWN:
        return f"it must be one of {', '.join(sorted(codes))}."
    return f"it has {len(codes)} codes."


def nearest(text: str, names: frozenset[str] | Mapping[str, Any]) -> str:
    """Return up to three names that are near to a text, joined by `or`; empty when none is."""
    if len(text) > 64:
        return ""
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(text.lower(), by_lower, n=3, cutoff=0.7)
    return " or ".join(f"'{by_lower[name]}'" for name in close)
