"""What a hostile document could make the parser remember, and how much of it there may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from fhir_server.errors import BadRequest

MAX_DEPTH: Final = 64
MAX_DIV_DEPTH: Final = 128
MAX_ATTRIBUTES: Final = 64
MAX_PREFIXES: Final = 16
MAX_NAMES: Final = 256
"""Different names of elements, attributes and prefixes in all narratives together."""
MAX_SKIPPED: Final = 1000
"""Elements below one that is not known: it is refused anyway."""

_LONG: Final = 64 * 1024
_ATTRIBUTE: Final = rb"\s+[^\s=<>\"']+\s*=\s*(?:\"[^\"<]*+\"|'[^'<]*+')"
_CROWDED: Final = re.compile(rb"<[^\s<>]++(?:%b){%d}" % (_ATTRIBUTE, MAX_ATTRIBUTES + 1))


def check_tags(data: bytes) -> None:
    """Refuse a tag of many attributes before the parser makes a list of them; only tags over 64 KiB can hurt."""
    place = data.find(b"<")
    while 0 <= place < len(data) - _LONG:
        near = data.rfind(b"<", place + 1, place + _LONG)
        if near < 0:
            if _CROWDED.match(data, place):
                raise crowded()
            near = data.find(b"<", place + _LONG)
        place = near


def crowded() -> BadRequest:
    """Return the refusal of an element with too many attributes."""
    return BadRequest(f"An element may have {MAX_ATTRIBUTES} attributes at most", "xml-attributes", code="too-costly")


class Names:
    """The names that narratives and unknown elements have used so far: the parser keeps every one of them."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def meet(self, names: Iterable[str]) -> None:
        """Remember names; BadRequest when there are too many different ones."""
        self._known.update(names)
        if len(self._known) > MAX_NAMES:
            text = f"Narratives may use {MAX_NAMES} different names of elements and attributes at most"
            raise BadRequest(text, "xml-names", code="too-costly")
