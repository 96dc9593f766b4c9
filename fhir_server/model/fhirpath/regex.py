"""Regular expressions by RE2: linear in the text, whatever the pattern (a request may bring its own)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from fhir_server.model.fhirpath.errors import FhirPathError, within_limit

_MAX_PATTERN = 4_096
_MEMORY = 1 << 20
_GROUP = re.compile(r"\\(.)|\$\{(\w+)\}|\$(\d)", re.DOTALL | re.ASCII)


def _options() -> Any:
    options = re2.Options()
    options.dot_nl = True  # FHIRPath: single-line mode
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


@lru_cache(maxsize=128)
def pattern(text: str) -> Any:
    """Return the compiled pattern; look-around and back references do not exist in RE2."""
    if len(text) > _MAX_PATTERN:
        raise FhirPathError(f"FHIRPath: a pattern of more than {_MAX_PATTERN} characters", id="fhirpath-limit")
    try:
        return re2.compile(text, _options())
    except re2.error:
        raise FhirPathError("FHIRPath: a pattern that RE2 does not accept", id="fhirpath-pattern") from None


def search(text: str, regex: str) -> bool:
    """Return whether the pattern matches anywhere in the text."""
    return pattern(regex).search(text) is not None


def fullmatch(text: str, regex: str) -> bool:
    """Return whether the pattern matches the whole text."""
    return pattern(regex).fullmatch(text) is not None


def replace(text: str, regex: str, substitution: str) -> str:
    """Replace every match; `$1` and `${name}` in the substitution stand for groups, a backslash escapes."""
    if not regex:
        return text
    compiled = pattern(regex)
    parts = _parts(compiled, substitution)
    out: list[str] = []
    size = at = 0
    for match in compiled.finditer(text):
        pieces = [text[at : match.start()], *(p if type(p) is str else match.group(p) or "" for p in parts)]
        at = match.end()
        out.extend(pieces)
        size += sum(map(len, pieces))
        within_limit(size)
    return "".join((*out, text[at:]))


def _parts(compiled: Any, substitution: str) -> list[str | int]:
    """Return a substitution as texts and numbers of groups."""
    out: list[str | int] = []
    at = 0
    for match in _GROUP.finditer(substitution):
        escaped, name, digit = match.groups()
        out.append(substitution[at : match.start()])
        at = match.end()
        group = compiled.groupindex.get(name) if name is not None else int(digit) if digit is not None else None
        if escaped is None and (group is None or group > compiled.groups):
            raise FhirPathError("FHIRPath: the substitution names no group of the pattern", id="fhirpath-pattern")
        out.append(escaped if escaped is not None else group or 0)
    out.append(substitution[at:])
    return out
