"""HTML by functions: whatever is not `Html` already is text, and text is escaped. There is no way to forget it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """A piece of finished HTML; made by the functions here only."""

    __slots__ = ()


Part = str | None | Iterable["Part"]
Value = str | int | bool | None

EMPTY: Final = Html()


def text(part: object) -> Html:
    """Return a piece of HTML as it is, anything else escaped."""
    return part if isinstance(part, Html) else Html(escape(str(part), quote=True))


def join(*parts: Part) -> Html:
    """Return the parts one after the other; None is nothing, and parts may stand in lists."""
    return Html("".join(_flat(parts)))


def _flat(parts: Iterable[Part]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, str):
            yield text(part)
        elif part is not None:
            yield from _flat(part)


def el(tag: str, /, *children: Part, **attributes: Value) -> Html:
    """Return an element. `class_` and `for_` stand for class and for, `aria_label` for aria-label; False and None leave out."""
    said = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{said}>")
    return Html(f"<{tag}{said}>{join(*children)}</{tag}>")


def _attribute(name: str, value: Value) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'
