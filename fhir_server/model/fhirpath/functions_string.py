"""String manipulation (FHIRPath N1 §5.6, and the additional string functions of its successor)."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable
from typing import Any

import msgspec

from fhir_server.model.fhirpath import regex
from fhir_server.model.fhirpath.errors import FhirPathError, within_limit, wrong_type
from fhir_server.model.fhirpath.runtime import Function, Scope, Table, bounded, integer_of, text_of
from fhir_server.model.fhirpath.types import Collection, value_of


def _text(compute: Callable[..., Any]) -> Callable[..., Collection]:
    """Lift a function of strings to collections: empty when the input or an argument is."""

    def call(scope: Scope, items: Collection, *arguments: Collection) -> Collection:
        text = text_of(items)
        if text is None:
            return []
        values = [text_of(argument) for argument in arguments]
        scope.charge(len(text) >> 6)
        if None in values:
            return []
        return _wrapped(compute(text, *values))

    return call


def _wrapped(found: Any) -> Collection:
    return bounded(found) if type(found) is str else [] if found is None else [found]


def substring(scope: Scope, items: Collection, start: Collection, length: Collection | None = None) -> Collection:  # noqa: ARG001
    """Return the part of a string from a 0-based position."""
    text, at = text_of(items), integer_of(start)
    if text is None or at is None or not 0 <= at < len(text):
        return []
    size = None if length is None else integer_of(length)
    if size is None:
        return [text[at:]]
    return [text[at : at + max(size, 0)]]


def replace(text: str, pattern: str, substitution: str) -> str:
    """Return the text with every occurrence of the pattern replaced."""
    within_limit(len(text) + text.count(pattern) * len(substitution))
    return text.replace(pattern, substitution)


def to_chars(scope: Scope, items: Collection) -> Collection:
    """Return the characters of a string."""
    text = text_of(items) or ""
    scope.charge(len(text))
    return list(text)


def split(scope: Scope, items: Collection, separator: Collection) -> Collection:
    """Return the parts of a string between separators."""
    text, between = text_of(items), text_of(separator)
    if text is None or between is None:
        return []
    parts = text.split(between) if between else list(text)
    scope.charge(len(parts))
    return [*parts]


def join(scope: Scope, items: Collection, separator: Collection | None = None) -> Collection:  # noqa: ARG001
    """Return the strings of a collection as one, with a separator between them."""
    texts = [value_of(item) for item in items]
    texts = [text for text in texts if text is not None]
    if any(type(text) is not str for text in texts):
        raise wrong_type("join() takes strings")
    between = (text_of(separator) or "") if separator else ""
    within_limit(sum(map(len, texts)) + len(between) * len(texts))
    return [between.join(texts)] if items else []


def _decode(raw: Callable[[str], bytes]) -> Callable[[str], str | None]:
    def decode(text: str) -> str | None:
        try:
            return raw(text).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None

    return decode


_ENCODE: dict[str, Callable[[str], str]] = {
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "urlbase64": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}
_DECODE: dict[str, Callable[[str], str | None]] = {
    "hex": _decode(bytes.fromhex),
    "base64": _decode(lambda text: base64.b64decode(text, validate=True)),
    "urlbase64": _decode(lambda text: base64.b64decode(text, altchars=b"-_", validate=True)),
}


_JSON_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_JSON_PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _unescape_json(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code, char = match.groups()
        return chr(int(code, 16)) if code is not None else _JSON_PLAIN.get(char, char)

    return _JSON_ESCAPE.sub(plain, text)


_ESCAPE: dict[str, Callable[[str], str]] = {
    "html": lambda text: html.escape(text, quote=True).replace("&#x27;", "&#39;"),
    "json": lambda text: msgspec.json.encode(text).decode()[1:-1],
}
_UNESCAPE: dict[str, Callable[[str], str | None]] = {"html": html.unescape, "json": _unescape_json}


def _by_format(formats: dict[str, Any]) -> Callable[[str, str], Any]:
    def convert(text: str, name: str) -> Any:
        if name not in formats:
            raise FhirPathError("FHIRPath: unknown encoding or escape format", id="fhirpath-type")
        return formats[name](text)

    return convert


def length(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the number of characters of a string."""
    text = text_of(items)
    return [] if text is None else [len(text)]


def contains(scope: Scope, items: Collection, part: Collection) -> Collection:
    """Return whether a string contains another."""
    return _CONTAINS(scope, items, part)


_CONTAINS = _text(lambda text, part: part in text)

TABLE: Table = {
    "indexOf": Function(_text(str.find), "v"),
    "lastIndexOf": Function(_text(str.rfind), "v"),
    "substring": Function(substring, "v", "v"),
    "startsWith": Function(_text(str.startswith), "v"),
    "endsWith": Function(_text(str.endswith), "v"),
    "contains": Function(contains, "v"),
    "upper": Function(_text(str.upper)),
    "lower": Function(_text(str.lower)),
    "trim": Function(_text(str.strip)),
    "replace": Function(_text(replace), "vv"),
    "matches": Function(_text(regex.search), "v"),
    "matchesFull": Function(_text(regex.fullmatch), "v"),
    "replaceMatches": Function(_text(regex.replace), "vv"),
    "length": Function(length),
    "toChars": Function(to_chars),
    "split": Function(split, "v"),
    "join": Function(join, "", "v"),
    "encode": Function(_text(_by_format(_ENCODE)), "v"),
    "decode": Function(_text(_by_format(_DECODE)), "v"),
    "escape": Function(_text(_by_format(_ESCAPE)), "v"),
    "unescape": Function(_text(_by_format(_UNESCAPE)), "v"),
}
