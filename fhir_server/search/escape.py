"""Splitting search values where their separators are not escaped (R4 search.html#escaping).

`\\,` `\\$` `\\|` and `\\\\` stand for the characters themselves; any other backslash is one.
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\([,$|\\])")


def split(text: str, separator: str) -> list[str]:
    """Return the parts between unescaped separators, with their escapes still in place."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    at = 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            parts[-1] += text[at : at + 2]
            at += 2
            continue
        if text[at] == separator:
            parts.append("")
        else:
            parts[-1] += text[at]
        at += 1
    return parts


def unescape(text: str) -> str:
    """Return the text that an escaped one stands for."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def escape(text: str) -> str:
    """Return the text so that no separator in it separates."""
    return re.sub(r"([,$|\\])", r"\\\1", text)
