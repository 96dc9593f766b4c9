"""HTML by functions: whatever is not `Html` already is text, and text is escaped. There is no way to forget it."""

from __future__ import annotations

from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """A piece of finished HTML."""

    __slots__ = ()


Part = Html | str | None
Value = str | bool | None


def text(part: Part) -> str:
    """Return a piece of HTML as it is, anything else escaped; nothing for None."""
    if part is None:
        return ""
    return part if isinstance(part, Html) else escape(part, quote=True)


def join(*parts: Part) -> Html:
    """Return the parts one after the other."""
    return Html("".join(map(text, parts)))


def el(tag: str, *children: Part, **attributes: Value) -> Html:
    """Return an element. `class_` and `for_` stand for class and for, `aria_label` for aria-label; False and None leave out."""
    said = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{said}>")
    return Html(f"<{tag}{said}>{join(*children)}</{tag}>")


def _attribute(name: str, value: Value) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value, quote=True)}"'
