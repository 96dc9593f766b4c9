"""Open elements of a document that is read, and what is found wrong with it: each issue with its FHIRPath expression and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn
from xml.parsers import expat

from fhir_server.errors import BadRequest, Issue
from fhir_server.model.walk import step
from fhir_server.model.xml.tables import FHIR, SEPARATOR, XHTML, Form, Slot, slots

MAX_ISSUES: Final = 100
_DIV: Final = f"{XHTML}{SEPARATOR}div"


class Frame:
    """An open element: what it may hold and what it holds so far."""

    __slots__ = ("last", "slot", "table", "type", "value", "values")

    def __init__(self, slot: Slot | None, table: Mapping[str, Slot], value: dict[str, Any], type_: str = "") -> None:
        self.slot = slot
        self.table = table
        self.value = value
        self.type = type_
        self.last: Slot | None = None
        self.values: list[Slot] | None = None


class Faults:
    """Collects what is wrong; after a hundred issues the rest is not looked for."""

    def __init__(self, parser: expat.XMLParserType, stack: list[Frame]) -> None:
        self._parser = parser
        self._stack = stack
        self.leaf: Slot | None = None
        """The primitive that is open, unless it has a frame of its own."""
        self.found: list[Issue] = []

    def add(self, id_: str, text: str, slot: Slot | None = None, code: str = "structure") -> None:
        """Report an issue at the element that is open, or at a slot below it."""
        place = self.place()
        if slot is not None and place is not None:
            place = step(place, slot.child)
        line = f"{text} (line {self._parser.CurrentLineNumber})"
        self.found.append(Issue(code, id_, line, place))
        if len(self.found) >= MAX_ISSUES:
            self.refuse()

    def attribute(self, path: str, name: str, hint: str = "") -> None:
        """Report an attribute that an element does not have."""
        self.add("xml-attribute", f"{path} has no attribute {_shown(name)}.{hint}")

    def empty(self) -> None:
        """Report an element without anything in it."""
        self.add("shape-empty", "An element must have a value, an extension or other elements: leave it out instead.")

    def unknown(self, tag: str, frame: Frame) -> None:
        """Report an element that has no place in the one that is open."""
        namespace, _, name = tag.rpartition(SEPARATOR)
        if namespace != FHIR and (name != "div" or _DIV not in frame.table):
            self.add("xml-namespace", f"Elements of a resource are in the namespace {FHIR}.")
            return
        path = frame.type or (frame.slot.path if frame.slot and frame.slot.form is Form.OBJECT else "Element")
        choice = [each.name for each in slots(path).values() if each.child.element.name == f"{name}[x]"]
        hint = f"; it is written with its type, as {choice[0]}." if choice else "."
        if name == "div" and _DIV in frame.table:
            hint = f" outside of the namespace {XHTML}."
        self.add("xml-element", f"{path} has no element {_shown(name)}{hint}")

    def place(self) -> str | None:
        """Return the FHIRPath expression of the element that is open."""
        place: str | None = None
        above: Frame | None = None
        for frame in self._stack:
            if frame.slot is None:
                place = place or frame.type
            elif place is not None and above is not None:
                place = step(place, frame.slot.child, _index(above, frame.slot))
            above = frame
        if self.leaf is not None and place is not None and above is not None:
            place = step(place, self.leaf.child, _index(above, self.leaf))
        return place

    def refuse(self) -> NoReturn:
        """Raise everything that was found."""
        first, more = self.found[0], len(self.found) - 1
        text = first.text + (f" And {more} more." if more else "")
        raise BadRequest(text, first.id, first.expression, self.found, code=first.code)

    def too_deep(self, most: int) -> BadRequest:
        """Return the refusal of elements that are nested too deep."""
        text = f"The XML is nested deeper than {most} levels"
        return BadRequest(text, "xml-depth", self.place(), code="too-costly")

    def malformed(self, error: expat.ExpatError, data: bytes) -> BadRequest:
        """Return the refusal of what is not XML."""
        try:
            data.decode()
        except UnicodeDecodeError as found:
            return BadRequest(f"The text is not UTF-8 (at byte {found.start})", "xml-utf8")
        reason = expat.ErrorString(error.code)
        place = f"line {error.lineno}, column {error.offset + 1}"
        return BadRequest(f"This is not XML: {reason} ({place})", "xml-syntax", self.place(), code="structure")


def _index(above: Frame, slot: Slot) -> int | None:
    """Return which item of an array is open; a resource joins its array when it ends, everything else when it begins."""
    if not slot.many:
        return None
    items = above.value.get(slot.name, ())
    return len(items) if slot.form is Form.RESOURCE else max(len(items) - 1, 0)


def _shown(name: str) -> str:
    """Return a name from outside for a message, if it is short enough to be one."""
    short = name.rpartition(SEPARATOR)[2]
    return f"'{short}'" if len(short) <= 64 and short.isascii() else "of this name"
