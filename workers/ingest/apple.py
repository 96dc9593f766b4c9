"""Apple Health export.zip: export.xml read as a stream, a record at a time, whatever its size.

A record is attributes of `Record`, its metadata are `MetadataEntry` inside; a `Workout` is a bout of activity. What apps and
phones do wrong is put right before the parser sees it: control characters become spaces, an ampersand of no character stands for
itself (so that no entity is ever expanded), and the document type, malformed on some versions of iOS, is cut out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import IO, Any, Final

from lxml import etree  # type: ignore[import-untyped]

from workers.ingest import healthkit
from workers.ingest.sample import Item, Left, Sample, Unusable, Value
from workers.ingest.times import moment

_KINDS = ("Record", "Workout")
_ACTIVITY = "HKWorkoutActivityType"
_UNITS = {"min": "min", "s": "s", "hr": "h"}


_CONTROL: Final = bytes.maketrans(bytes({*range(32)} - {9, 10, 13}), b" " * 29)
_TYPE: Final = re.compile(rb"<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL)
_AMPERSAND: Final = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")
_LONGEST: Final = 12
_HEAD: Final = 256 * 1024
"""Bytes in which a document type stands; Apple's has about 10 kB."""


class _Mended(io.RawIOBase):
    """The bytes of an export without its document type, control characters and entities."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = _TYPE.sub(b"", stream.read(_HEAD), count=1)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as many as there are in about `size`; none at the end."""
        part = self._left + self._stream.read(size)
        self._left = b""
        cut = part.rfind(b"&", -_LONGEST)
        if cut > 0 and b";" not in part[cut:]:  # it may go on in the next bytes
            part, self._left = part[:cut], part[cut:]
        return _AMPERSAND.sub(b"&amp;", part.translate(_CONTROL))


def named(archive: zipfile.ZipFile) -> str | None:
    """Return the name of the export's XML: it is translated on some phones, the clinical document beside it is `_cda`."""
    names = [info for info in archive.infolist() if info.filename.lower().endswith(".xml")]
    names = [info for info in names if "_cda" not in info.filename and "clinical" not in info.filename.lower()]
    exact = [info for info in names if info.filename.endswith("export.xml")]
    best = max(exact or names, key=lambda info: info.file_size, default=None)
    return best.filename if best else None


def read(stream: IO[bytes], source: str) -> Iterator[Item]:
    """Yield what the records of an export.xml say; Unusable at the place where it is no XML any more."""
    elements = etree.iterparse(
        _Mended(stream),
        events=("end",),
        tag=_KINDS,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=True,
    )
    number = 0
    try:
        for _, element in elements:
            if element.getparent() is not None and element.getparent().getparent() is None:
                number += 1
                yield from _one(element, source, f"{element.tag}[{number}]")
            _forget(element)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        yield Unusable("xml", f"The export is no XML from line {line} on; make the export again.", f"line {line}")


def _forget(element: Any) -> None:
    """Free what was read: the element and those before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _one(element: Any, source: str, where: str) -> Iterator[Item]:
    attributes: dict[str, Any] = dict(element.attrib)
    attributes["metadata"] = {entry.get("key"): entry.get("value") for entry in element.iterchildren("MetadataEntry")}
    try:
        if element.tag == "Workout":
            yield _workout(attributes, source)
        else:
            attributes.pop("creationDate", None)  # when it came into the phone: no later word about the measurement
            yield healthkit.record(attributes, source)
    except Unusable as error:
        yield error.within(where)


def _workout(attributes: dict[str, Any], source: str) -> Sample | Left:
    start, end = (
        moment(attributes.get("startDate"), where="startDate"),
        moment(attributes.get("endDate"), where="endDate"),
    )
    parts = []
    if unit := _UNITS.get(attributes.get("durationUnit", "")):
        try:
            parts.append(("activity-duration", Value(Decimal(attributes["duration"]), unit)))
        except (InvalidOperation, KeyError) as error:
            raise Unusable("number", "It is a number.", "duration") from error
    name = attributes.get("workoutActivityType", "").removeprefix(_ACTIVITY) or "workout"
    origin = healthkit.origin_of(attributes, source)
    return Sample(measure="physical-activity", origin=origin, start=start, end=end, text=name, parts=tuple(parts))
