"""Words in the narrative (`_text`) or anywhere in the resource (`_content`), as in `(bone OR liver) and metastases`.

Words are compared whole, without regard to case and accents; `liv*` is the start of a word, `"two words"` one after the other. Side
by side they must all be there; AND, OR, NOT and parentheses say otherwise. Bodies are encrypted and have no index of words, so this
looks into what the other parameters leave.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from fhir_server.search.escape import unescape
from fhir_server.search.kinds.string import normalise

MAX_TERMS = 64
MAX_DEPTH = 16
_TOKEN = re.compile(r'\(|\)|"[^"]*"|[^\s()"]+')
_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"\w+")
_ENCODED = frozenset({"data"})
"""Elements whose text is base64, not words."""
_APART = " \n "


@dataclass(frozen=True, slots=True)
class Term:
    """Words one after the other; with `start` the last of them is only the start of one."""

    words: str
    start: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of the parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Lacks:
    """Not the part."""

    part: Part


Part: TypeAlias = Term | Every | Some | Lacks


@dataclass(frozen=True, slots=True)
class Words:
    """What is asked for, in the narrative only or anywhere."""

    asked: Part
    anywhere: bool


# ---- reading ----


def words_of(text: str) -> str:
    """Return the words of a text, normalised, with single blanks between."""
    return " ".join(_WORD.findall(normalise(text)))


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if len(self._tokens) > MAX_TERMS:
            raise ValueError(f"has {MAX_TERMS} words and signs at most")
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def whole(self) -> Part:
        """Return the expression; ValueError when something is left over."""
        found = self._either(0)
        if self._peek():
            raise ValueError("has a ) too many")
        return found

    def _either(self, depth: int) -> Part:
        parts = [self._every(depth)]
        while self._peek().upper() == "OR":
            self._at += 1
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _every(self, depth: int) -> Part:
        parts = [self._one(depth)]
        while self._peek() not in ("", ")") and self._peek().upper() != "OR":
            if self._peek().upper() == "AND":
                self._at += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self, depth: int) -> Part:
        sign = self._peek()
        self._at += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"has parentheses deeper than {MAX_DEPTH}")
        if sign.upper() == "NOT":
            return Lacks(self._one(depth + 1))
        if sign == "(":
            found = self._either(depth + 1)
            if self._peek() != ")":
                raise ValueError("has a ( that nothing closes")
            self._at += 1
            return found
        if sign in ("", ")") or sign.upper() in ("AND", "OR"):
            raise ValueError("has AND, OR, NOT or a parenthesis where a word should be")
        return _term(sign)


def _term(sign: str) -> Term:
    words = words_of(sign)
    if not words:
        raise ValueError("has a term without a letter or digit")
    return Term(words, start=sign.endswith("*"))


def parse(text: str, *, anywhere: bool) -> Words:
    """Read an expression; ValueError says what is wrong with it."""
    return Words(_Reader(unescape(text)).whole(), anywhere)


# ---- in memory ----


def narrative(resource: dict[str, Any]) -> str:
    """Return the narrative without its tags."""
    return html.unescape(_TAG.sub(" ", resource.get("text", {}).get("div", "")))


def _texts(node: Any, name: str = "") -> Iterator[str]:
    """Yield every text in a resource, numbers and codes included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, name)
    elif name == "div":
        yield html.unescape(_TAG.sub(" ", node))
    elif name not in _ENCODED and node is not None:
        yield node if isinstance(node, str) else str(node).lower()


def _holds(part: Part, text: str) -> bool:
    match part:
        case Term(words, start):
            return f" {words}" in text if start else f" {words} " in text
        case Every(parts):
            return all(_holds(each, text) for each in parts)
        case Some(parts):
            return any(_holds(each, text) for each in parts)
        case Lacks(each):
            return not _holds(each, text)


def there(name: str, resource: dict[str, Any]) -> bool:
    """Tell whether a resource has what a parameter looks into: a narrative; content it always has."""
    return name == "_content" or bool(words_of(narrative(resource)))


def accepts(values: tuple[Words, ...], resource: dict[str, Any]) -> bool:
    """Tell whether a resource says what one of the values asks for."""
    anywhere = any(value.anywhere for value in values)
    found = [words_of(text) for text in (_texts(resource) if anywhere else (narrative(resource),))]
    text = f" {_APART.join(found)} "
    return any(_holds(value.asked, text) for value in values)
