"""A narrative cut out of its document: as it was written where it stands by itself, else written anew with its own namespace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

from fhir_server.model.xml.tables import XHTML

_OWN: Final = re.compile(rf"<div(?:\s[^>]*?)?\sxmlns\s*=\s*[\"']{re.escape(XHTML)}[\"']".encode())
_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ATTRIBUTE: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_XML: Final = "http://www.w3.org/XML/1998/namespace"


def alone(piece: bytes, outer: Mapping[str | None, str]) -> str:
    """Return the text of a div; `outer` are the namespaces that are declared around it."""
    borrowed = any(prefix and f"{prefix}:".encode() in piece for prefix in outer)
    if _OWN.match(piece) and not borrowed:
        return piece.decode()
    return _Writer(outer).write(piece)


class _Writer:
    """Writes a div again, every element by its name in the XHTML namespace; a foreign one keeps its own."""

    def __init__(self, outer: Mapping[str | None, str]) -> None:
        declared = "".join(
            f' xmlns{":" + prefix if prefix else ""}="{uri.translate(_ATTRIBUTE)}"' for prefix, uri in outer.items()
        )
        self._around = f"<around{declared}>".encode()
        self._out: list[str] = []
        self._depth = 0

    def write(self, piece: bytes) -> str:
        """Return the text; the piece has been parsed once already."""
        parser: Any = expat.ParserCreate("utf-8", "\n")
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(self._around + piece + b"</around>", True)
        return "".join(self._out)

    def _start(self, tag: str, given: list[str]) -> None:
        self._depth += 1
        if self._depth == 1:
            return
        namespace, _, name = tag.rpartition("\n")
        foreign = f' xmlns="{namespace.translate(_ATTRIBUTE)}"' if namespace != XHTML else ""
        own = f' xmlns="{XHTML}"' if self._depth == 2 else foreign
        pairs = zip(given[::2], given[1::2], strict=True)
        attributes = "".join(f' {_attribute(key)}="{value.translate(_ATTRIBUTE)}"' for key, value in pairs)
        self._out.append(f"<{name}{own}{attributes}>")

    def _end(self, tag: str) -> None:
        if self._depth > 1:
            name = tag.rpartition("\n")[2]
            opened = self._out[-1]
            if opened.startswith(f"<{name}") and not opened.endswith("/>") and opened.endswith(">"):
                self._out[-1] = f"{opened[:-1]}/>"
            else:
                self._out.append(f"</{name}>")
        self._depth -= 1

    def _text(self, text: str) -> None:
        if self._depth > 1:
            self._out.append(text.translate(_TEXT))


def _attribute(name: str) -> str:
    """Return the name of an attribute; of the prefixes only `xml` needs no declaration."""
    namespace, _, short = name.rpartition("\n")
    return f"xml:{short}" if namespace == _XML else short
