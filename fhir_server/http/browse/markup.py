"""Elements as `kit/html.py` makes them, but an address that could run something is left out."""

from __future__ import annotations

import re
from typing import Final

from fhir_server.kit import html
from fhir_server.kit.html import EMPTY, Html, Part, Value, join, text

__all__ = ["EMPTY", "Html", "Part", "document", "el", "is_safe", "join", "text"]

_ADDRESSES: Final = ("href", "src", "action")
_SAFE: Final = re.compile(r"(?:/(?![/\\])|#|\?|https?://|mailto:|tel:)[^\s\\<>\"\x00-\x1f\x7f]*", re.IGNORECASE)


def el(tag: str, /, *children: Part, **attributes: Value) -> Html:
    """Return an element, its addresses checked."""
    for name in _ADDRESSES:
        if name in attributes and not is_safe(str(attributes[name])):
            attributes[name] = None
    return html.el(tag, *children, **attributes)


def is_safe(address: str) -> bool:
    """Tell whether an address only leads somewhere: within this site, or by http, https, mail or telephone."""
    return _SAFE.fullmatch(address) is not None


def document(title: str, head: Html, body: Html) -> bytes:
    """Return a whole page."""
    metas = (el("meta", charset="utf-8"), el("meta", name="viewport", content="width=device-width, initial-scale=1"))
    page = el("html", el("head", *metas, el("title", title), head), el("body", body), lang="en")
    return f"<!doctype html>\n{page}\n".encode("utf-8", "replace")
