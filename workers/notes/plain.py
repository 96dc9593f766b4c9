"""The text of an HTML document as a reader sees it: no tags, no script or style, nothing that was struck out.

One pass, because a text comes from anybody: `html.parser` of Python 3.11 takes minutes for 100 kB of tags that nobody closes. What
is not well-formed is read as a browser reads it: what is never closed has no text behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final

_RAW: Final = frozenset({"script", "style", "title", "textarea"})
"""What is in these is no markup; only their own end ends them."""
_UNSEEN: Final = frozenset({"template", "noscript", "del", "s", "strike"})
_BLOCKS: Final = """
address article aside blockquote body br dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr li main
nav ol p pre section table td th
tr ul
"""
_LINES: Final = frozenset(_BLOCKS.split())
"""What a line begins and ends with: a sentence does not go on across them."""
_NAME: Final = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)")
_STOP: Final = re.compile(r"[>\"']")


def text_of_html(source: str) -> str:
    """Return the text of HTML, a line for each block of it."""
    out, hidden = [], dict.fromkeys(_UNSEEN, 0)
    for text, tag in _pieces(source):
        if text and not any(hidden.values()):
            out.append(re.sub(r"\s+", " ", unescape(text)))
        name = tag.removeprefix("/")
        if name in hidden:
            hidden[name] = max(0, hidden[name] + (-1 if tag.startswith("/") else 1))
        elif name in _LINES:
            out.append("\n")
    lines = "".join(out).split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())


def _pieces(source: str) -> Iterator[tuple[str, str]]:
    """Yield text with the tag behind it: `p`, `/p`, empty for what is none."""
    lower, at = source.lower() if source.isascii() else _lower(source), 0
    while (start := source.find("<", at)) >= 0:
        found = _NAME.match(source, start)
        if source.startswith("<!--", start):
            end = source.find("-->", start + 4) + 3
            yield source[at:start], ""
            if end < 3:
                return
        elif found or source[start + 1 : start + 2] in ("!", "?", "/"):
            name = found[1].lower() if found else ""
            closing = "/" if source.startswith("</", start) else ""
            yield source[at:start], closing + name
            end = _end_of_tag(source, start)
            if end and name in _RAW and not closing:
                end = lower.find(f"</{name}", end)
            if end <= 0:
                return
        else:
            end = start + 1  # a plain "<"
            yield source[at:end], ""
        at = end
    yield source[at:], ""


def _lower(source: str) -> str:
    """Return the text with its ASCII letters in lower case, of the same length."""
    return source.translate({number: number + 32 for number in range(65, 91)})


def _end_of_tag(source: str, at: int) -> int:
    """Return the place behind a tag, 0 when it never ends; a `>` within quotes is no end."""
    while stop := _STOP.search(source, at):
        if stop.group() == ">":
            return stop.end()
        at = source.find(stop.group(), stop.end()) + 1
        if at == 0:
            return 0
    return 0
