"""Elements and text that escape by default: what is not `Html` is text, and an address that could run something is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})
_ADDRESSES: Final = frozenset({"href", "src", "action"})
_SAFE: Final = re.compile(r"(?:/(?![/\\])|#|\?|https?://|mailto:|tel:)[^\s\\<>\"\x00-\x1f\x7f]*", re.IGNORECASE)


class Html(str):
    """Markup that is safe as it stands; made by the functions here only."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Attribute = str | int | bool | None

EMPTY: Final = Html()


def text(value: object) -> Html:
    """Return a value as text."""
    return Html(escape(str(value)))


def join(*children: Child) -> Html:
    """Return children one after the other; strings are text, None is nothing."""
    return Html("".join(_flat(children)))


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield escape(child)
        elif child is not None:
            yield from _flat(child)


def el(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element; `class_` is the attribute class, `data_copy` is data-copy, None and False are left out."""
    given = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(*children)}</{name}>")


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False or (name in _ADDRESSES and not is_safe(str(value))):
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def is_safe(address: str) -> bool:
    """Tell whether an address only leads somewhere: within this site, or by http, https, mail or telephone."""
    return _SAFE.fullmatch(address) is not None


def document(title: str, head: Html, body: Html) -> bytes:
    """Return a whole page."""
    metas = (el("meta", charset="utf-8"), el("meta", name="viewport", content="width=device-width, initial-scale=1"))
    page = el("html", el("head", *metas, el("title", title), head), el("body", body), lang="en")
    return f"<!doctype html>\n{page}\n".encode("utf-8", "replace")
