"""Values of primitives between an attribute and JSON; numbers keep the digits that they were written with."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Raw

from fhir_server.errors import BadRequest
from fhir_server.kit import json
from fhir_server.model.xml.tables import Form

_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_ESCAPED: Final = re.compile('[&<>"\x00-\x1f\ufffe\uffff\ud800-\udfff]')
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
    | dict.fromkeys(map(chr, [*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)]), "\ufffd")
)
"""What XML 1.0 has no way to write becomes U+FFFD; of these only U+FFFE and U+FFFF can be in a FHIR string."""

EXPECTED: Final = {
    Form.BOOLEAN: "true or false",
    Form.INTEGER: "a whole number",
    Form.DECIMAL: f"a decimal of {json.MAX_DIGITS} digits at most, such as 1.50",
}


def read_value(form: Form, text: str) -> Any:
    """Return the JSON value of an attribute; ValueError when it has not the form of its type."""
    if form is Form.STRING:
        return text
    if form is Form.BOOLEAN and text in _BOOLEANS:
        return _BOOLEANS[text]
    if form is Form.INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    if form is Form.DECIMAL and _DECIMAL.fullmatch(text):
        return _number(text)
    raise ValueError(form)


def _number(text: str) -> Raw:
    if len(text) > 18 or "e" in text or "E" in text:
        try:
            json.decode(text.encode())
        except BadRequest as error:
            raise ValueError(text) from error
    return Raw(text.encode())


def write_value(value: Any) -> str:
    """Return a JSON value, its decimals as text, as it stands in an attribute."""
    if value.__class__ is str:
        return value.translate(_ESCAPES) if _ESCAPED.search(value) else value
    if value.__class__ is bool:
        return "true" if value else "false"
    return str(value)
