"""XML to JSON: a stream of events becomes the dict that JSON would have given, then bytes for the usual path.

There is no DTD, so there are no entities and nothing is ever fetched; comments and processing instructions are no content and are
left out. What JSON could not hold (unknown elements and attributes, wrong order, text between elements) is refused here with
its place; everything else is judged by validation. A resource in a Bundle becomes bytes as soon as it ends: memory stays small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn
from xml.parsers import expat

from msgspec import Raw

from fhir_server.errors import BadRequest
from fhir_server.kit import json
from fhir_server.model.xml import narrative
from fhir_server.model.xml.bounds import MAX_DEPTH, MAX_DIV_DEPTH, MAX_PREFIXES, MAX_SKIPPED, Names, check_tags
from fhir_server.model.xml.faults import Faults, Frame
from fhir_server.model.xml.tables import FHIR, SEPARATOR, Form, Slot, attributes, resource_tags, tags
from fhir_server.model.xml.values import EXPECTED, read_value

_PIECE: Final = 64 * 1024

_SCHEMA_HINT: Final = f"http://www.w3.org/2001/XMLSchema-instance{SEPARATOR}schemaLocation"
_BLANK: Final = " \t\r\n"
_BESIDE: Final = tags("Element")
_ENTRY: Final = "Bundle.entry.resource"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_ENCODINGS: Final = ("utf-8", "utf8", "us-ascii")


def from_xml(data: bytes) -> bytes:
    """Return the JSON of a resource that is XML; BadRequest with all that XML itself has wrong."""
    reader = Reader(data)
    for _ in reader.steps():
        pass
    return reader.json()


class Reader:
    """Reads one document; `steps` yields between pieces, so that the caller can let others run."""

    def __init__(self, data: bytes) -> None:
        self._data = data.removeprefix(b"\xef\xbb\xbf")
        self._stack: list[Frame] = []
        self._root: dict[str, Any] | None = None
        self._skipped = self._below = 0
        self._div = 0
        self._div_from = 0
        self._outer: dict[str | None, list[str]] = {}
        self._names = Names()
        self._parser = parser = expat.ParserCreate("utf-8", SEPARATOR)
        self._faults = Faults(parser, self._stack)
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._namespace
        parser.EndNamespaceDeclHandler = self._namespace_end
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def steps(self) -> Iterator[None]:
        """Read the document piece by piece; pieces grow while a token has no end, which older parsers read anew with each."""
        data, parser = self._data, self._parser
        start, size, at = 0, _PIECE, -1
        try:
            if data[:2] in _UTF_16 or b"\0" in data[:4]:
                raise _not_utf_8()
            check_tags(data)
            while start < len(data):
                parser.Parse(data[start : start + size], False)
                start += size
                size = _PIECE if parser.CurrentByteIndex != at else size * 2
                at = parser.CurrentByteIndex
                yield
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise self._faults.malformed(error, self._data) from None
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Break the circle between parser and reader, so that the memory is free at once."""
        parser = self._parser
        parser.XmlDeclHandler = parser.StartDoctypeDeclHandler = parser.CharacterDataHandler = None
        parser.StartNamespaceDeclHandler = parser.EndNamespaceDeclHandler = None
        parser.StartElementHandler = parser.EndElementHandler = None

    def json(self) -> bytes:
        """Return the document as JSON."""
        if self._faults.found:
            self._faults.refuse()
        return json.encode(self._root)

    # ---- elements

    def _start(self, tag: str, given: list[str]) -> None:
        if self._skipped:
            self._start_skipped(tag, given)
            return
        if self._faults.leaf is not None:
            self._open_leaf(self._faults.leaf)
        if not self._stack:
            self._start_resource(None, tag, given)
            return
        frame = self._stack[-1]
        slot = frame.table.get(tag)
        if slot is None:
            if frame.slot is not None and frame.slot.form is Form.RESOURCE:
                self._start_resource(frame, tag, given)
            else:
                self._faults.unknown(tag, frame)
                self._skipped = 1
            return
        if frame.last is not None and slot.order <= frame.last.order:
            self._check_order(frame.last, slot)
        frame.last = slot
        if slot.primitive:
            self._start_primitive(frame, slot, given)
        else:
            self._start_object(frame, slot, given)

    def _start_skipped(self, tag: str, given: list[str]) -> None:
        """Count what stands below an unknown element; nothing of it is looked at."""
        self._skipped += 1
        self._below += 1
        self._names.meet([tag, *given[::2]])
        if self._below > MAX_SKIPPED:
            self._faults.refuse()

    def _start_resource(self, holder: Frame | None, tag: str, given: list[str]) -> None:
        """Open the root, or the one resource that an element holds."""
        type_ = resource_tags().get(tag)
        if type_ is None:
            self._skip("xml-resource", f"Expected a resource of R4 in the namespace {FHIR}.")
            return
        if holder is not None and holder.value:
            self._skip("xml-repeated", "One element holds one resource: repeat the element around it.")
            return
        value: dict[str, Any] = {"resourceType": type_}
        if holder is None:
            self._root = value
            given = [each for pair in _pairs(given) if pair[0] != _SCHEMA_HINT for each in pair]
        else:
            holder.value = value
        self._stack.append(Frame(None, tags(type_), value, type_))
        for name, _ in _pairs(given):
            hint = " The id of a resource is an element." if name == "id" else ""
            self._faults.attribute(type_, name, hint)

    def _start_object(self, frame: Frame, slot: Slot, given: list[str]) -> None:
        """Open an element that is no primitive, and give its value a place in what holds it."""
        form = slot.form
        if len(self._stack) >= MAX_DEPTH:
            raise self._faults.too_deep(MAX_DEPTH)
        value: dict[str, Any] = {}
        opened = Frame(slot, tags(slot.path) if form is Form.OBJECT else {}, value)
        if form is Form.OBJECT:
            _add(frame.value, slot, value)
        elif form is Form.DIV:
            self._start_div()
            self._stack.append(opened)
            return
        self._stack.append(opened)
        if given:
            known = attributes(slot.path) if form is Form.OBJECT else ()
            for name, text in _pairs(given):
                if name in known:
                    value[name] = text
                else:
                    self._faults.attribute(slot.child.element.path, name)

    def _start_primitive(self, frame: Frame, slot: Slot, given: list[str]) -> None:
        """Take the value of a primitive; a frame is only made for one that has more than that."""
        value = None
        self._faults.leaf = slot
        for place in range(0, len(given), 2):
            name = given[place]
            if name == "value":
                value = given[place + 1] if slot.form is Form.STRING else self._value(slot, given[place + 1])
            elif name == "id":
                self._open_leaf(slot).value["id"] = given[place + 1]
            else:
                self._faults.attribute(slot.child.element.path, name)
        if slot.many:
            frame.value.setdefault(slot.name, []).append(value)
        elif value is not None:
            frame.value[slot.name] = value
        if value is None and self._faults.leaf is not None:
            self._open_leaf(slot)

    def _open_leaf(self, slot: Slot) -> Frame:
        self._faults.leaf = None
        frame = Frame(slot, _BESIDE, {})
        self._stack.append(frame)
        return frame

    def _value(self, slot: Slot, text: str) -> Any:
        try:
            return read_value(slot.form, text)
        except ValueError:
            self._faults.add("shape-value", f"Expected {EXPECTED[slot.form]}.", code="value")
            return 0

    def _end(self, _tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if self._faults.leaf is not None:
            self._faults.leaf = None
            return
        frame = self._stack[-1]
        slot = frame.slot
        if slot is not None and slot.primitive:
            self._end_primitive(frame, slot)
        elif slot is not None and slot.form is Form.RESOURCE:
            self._end_holder(frame, slot)
        elif frame.values or not frame.value:
            self._end_object(frame)
        self._stack.pop()

    def _end_object(self, frame: Frame) -> None:
        """Close an element or a resource: the arrays beside its primitives are filled up to the same length."""
        if not frame.value:
            self._faults.empty()
        for slot in frame.values or ():
            items, beside = frame.value[slot.name], frame.value[slot.beside]
            beside += [None] * (len(items) - len(beside))
            if not any(item is not None for item in items):
                del frame.value[slot.name]

    def _end_primitive(self, frame: Frame, slot: Slot) -> None:
        """Close a primitive: what it holds beside its value goes into the property beside it."""
        above = self._stack[-2]
        beside = frame.value
        if not beside:
            if (above.value[slot.name][-1] if slot.many else above.value.get(slot.name)) is None:
                self._faults.empty()
        elif slot.many:
            items = above.value.setdefault(slot.beside, [])
            items += [None] * (len(above.value[slot.name]) - 1 - len(items))
            items.append(beside)
            above.values = above.values or []
            if slot not in above.values:
                above.values.append(slot)
        else:
            above.value[slot.beside] = beside

    def _end_holder(self, frame: Frame, slot: Slot) -> None:
        """Close an element that holds a resource; one in a Bundle is kept as bytes from here on."""
        if not frame.value:
            self._faults.empty()
            return
        whole = slot.child.element.path == _ENTRY
        _add(self._stack[-2].value, slot, Raw(json.encode(frame.value)) if whole else frame.value)

    def _check_order(self, last: Slot, slot: Slot) -> None:
        """Report an element that comes too late or too often; two types of a choice are reported by validation."""
        if slot is last:
            if not slot.many:
                self._faults.add("shape-cardinality", f"{slot.child.element.path} may stand here once.", slot)
        elif slot.order < last.order:
            text = f"{slot.child.element.path} stands before {last.child.element.name}: XML keeps the order of R4."
            self._faults.add("xml-order", text, slot)

    # ---- narrative

    def _start_div(self) -> None:
        self._div, self._div_from = 1, self._parser.CurrentByteIndex
        self._parser.StartElementHandler = self._div_start
        self._parser.EndElementHandler = self._div_end

    def _div_start(self, tag: str, given: list[str]) -> None:
        self._div += 1
        self._names.meet((tag, *given[::2]) if given else (tag,))
        if self._div > MAX_DIV_DEPTH:
            raise self._faults.too_deep(MAX_DIV_DEPTH)

    def _div_end(self, _tag: str) -> None:
        self._div -= 1
        if self._div:
            return
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        end = self._data.index(b">", self._parser.CurrentByteIndex) + 1
        outer = {prefix: uris[-1] for prefix, uris in self._outer.items() if uris}
        text = narrative.alone(self._data[self._div_from : end], outer)
        self._stack.pop()
        self._stack[-1].value["div"] = text

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        if self._div or self._skipped:
            self._names.meet((f"xmlns:{prefix}",))
            return
        self._outer.setdefault(prefix, []).append(uri or "")
        if len(self._outer) > MAX_PREFIXES:
            text = f"A resource may declare {MAX_PREFIXES} namespaces at most"
            raise BadRequest(text, "xml-namespaces", self._faults.place(), code="too-costly")

    def _namespace_end(self, prefix: str | None) -> None:
        if not self._div and not self._skipped and self._outer.get(prefix):
            self._outer[prefix].pop()

    # ---- what is wrong

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise _not_utf_8()

    def _doctype(self, *_: object) -> NoReturn:
        raise BadRequest("A DOCTYPE has no place in a FHIR resource.", "xml-doctype", code="structure")

    def _text(self, text: str) -> None:
        if self._skipped or self._div or not text.strip(_BLANK):
            return
        self._faults.add("xml-text", "There is text between the elements; values stand in the attribute 'value'.")

    def _skip(self, id_: str, text: str) -> None:
        """Report an element and leave out what is in it."""
        self._faults.add(id_, text)
        self._skipped = 1


def _not_utf_8() -> BadRequest:
    return BadRequest("XML is read as UTF-8; this says that it is in another encoding.", "xml-encoding")


def _add(value: dict[str, Any], slot: Slot, item: Any) -> None:
    if slot.many:
        value.setdefault(slot.name, []).append(item)
    else:
        value[slot.name] = item


def _pairs(given: list[str]) -> Iterator[tuple[str, str]]:
    return zip(given[::2], given[1::2], strict=True)
