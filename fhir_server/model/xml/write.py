"""JSON to XML: one pass over the decoded resource; a Bundle is written entry by entry, so that others get their turn.

What comes here is what this server keeps or made itself: valid, with its narratives well-formed XHTML that stands in XML as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fhir_server.errors import NotAcceptable
from fhir_server.kit import json
from fhir_server.model.xml.tables import FHIR, Form, Slot, aside, attributes, slots
from fhir_server.model.xml.values import write_value
from profiles.registry import R4

Json = dict[str, Any]
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>'
_SPLIT: Final = 64 * 1024


def to_xml(data: bytes, *, pretty: bool = False) -> bytes:
    """Return the XML of a resource that is JSON."""
    return b"".join(pieces(data, pretty=pretty))


def pieces(data: bytes, *, pretty: bool = False) -> Iterator[bytes]:
    """Yield the XML of a resource in pieces: of a large Bundle one for each entry, of anything else one."""
    indent = "\n" if pretty else ""
    yield _DECLARATION
    if len(data) > _SPLIT and data.startswith(b'{"resourceType":"Bundle"'):
        members = json.members(data)
        entries = json.items(bytes(members.pop("entry", b"[]")))
        yield from _large_bundle(members, entries, indent)
    else:
        yield _whole(json.decode_text(data), indent)


def _whole(resource: Json, indent: str) -> bytes:
    out: list[str] = []
    _resource(out, resource, indent, f' xmlns="{FHIR}"')
    return "".join(out).encode()


def _large_bundle(members: dict[str, Any], entries: list[Any], indent: str) -> Iterator[bytes]:
    """Write a Bundle whose entries are still bytes: what may follow them (a signature) is written after them."""
    shell = json.decode_text(json.encode(members))
    after = slots("Bundle")["entry"].order
    known = slots("Bundle")
    head = {name: value for name, value in shell.items() if name == "resourceType" or known[name].order < after}
    tail = {name: value for name, value in shell.items() if name not in head}
    deeper = indent + "  " if indent else ""
    out = [f'{indent}<Bundle xmlns="{FHIR}">']
    _properties(out, head, "Bundle", deeper)
    yield "".join(out).encode()
    for raw in entries:
        out = []
        _element(out, "entry", json.decode_text(raw), "Bundle.entry", deeper)
        yield "".join(out).encode()
    out = []
    _properties(out, tail, "Bundle", deeper)
    yield "".join([*out, f"{indent}</Bundle>"]).encode()


def _resource(out: list[str], value: Json, pad: str, namespace: str = "") -> None:
    type_ = value.get("resourceType")
    if not R4.is_type(type_):
        raise _unwritable()
    out.append(f"{pad}<{type_}{namespace}>")
    _properties(out, value, type_, pad + "  " if pad else "")
    out.append(f"{pad}</{type_}>")


def _properties(out: list[str], value: Json, path: str, pad: str) -> None:
    """Write the properties of an object in R4's order, whatever order they come in."""
    known, skipped = slots(path), aside(path)
    try:
        present = {known[name] for name in value if name not in skipped}
    except KeyError:
        raise _unwritable() from None
    for slot in sorted(present, key=_order):
        _write(out, slot, value, pad)


def _order(slot: Slot) -> int:
    return slot.order


def _write(out: list[str], slot: Slot, value: Json, pad: str) -> None:
    item: Any = value.get(slot.name)
    if slot.primitive:
        beside: Any = value.get(slot.beside)
        if slot.many:
            _primitives(out, slot.name, item or [], beside or [], pad)
        else:
            _primitive(out, slot.name, item, beside, pad)
    elif slot.form is Form.DIV:
        out.append(f"{pad}{item}")
    else:
        for each in item if slot.many else (item,):
            if slot.form is Form.OBJECT:
                _element(out, slot.name, each, slot.path, pad)
            else:
                _holder(out, slot.name, each, pad)


def _holder(out: list[str], name: str, resource: Json, pad: str) -> None:
    out.append(f"{pad}<{name}>")
    _resource(out, resource, pad + "  " if pad else "")
    out.append(f"{pad}</{name}>")


def _element(out: list[str], name: str, value: Json, path: str, pad: str) -> None:
    given = "".join(
        f' {each}="{write_value(value[each])}"' for each in ("id", "url") if each in attributes(path) and each in value
    )
    _body(out, name, given, value, path, pad)


def _body(out: list[str], name: str, given: str, value: Json, path: str, pad: str) -> None:
    """Write an element with its attributes and what is in it."""
    mark = len(out)
    out.append(f"{pad}<{name}{given}>")
    _properties(out, value, path, pad + "  " if pad else "")
    if len(out) == mark + 1:
        out[mark] = f"{pad}<{name}{given}/>"
    else:
        out.append(f"{pad}</{name}>")


def _primitives(out: list[str], name: str, values: list[Any], beside: list[Any], pad: str) -> None:
    for place in range(max(len(values), len(beside))):
        value = values[place] if place < len(values) else None
        _primitive(out, name, value, beside[place] if place < len(beside) else None, pad)


def _primitive(out: list[str], name: str, value: Any, beside: Json | None, pad: str) -> None:
    given = "" if value is None else f' value="{write_value(value)}"'
    if not beside:
        out.append(f"{pad}<{name}{given}/>")
        return
    if "id" in beside:
        given = f' id="{write_value(beside["id"])}"{given}'
    _body(out, name, given, beside, "Element", pad)


def _unwritable() -> NotAcceptable:
    return NotAcceptable("This resource holds something that XML has no element for; ask for JSON.", "xml-unwritable")
