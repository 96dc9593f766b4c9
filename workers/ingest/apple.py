"""Apple Health export.zip: export.xml read as a stream, a record at a time, whatever its size.

A record is attributes of `Record`, its metadata are `MetadataEntry` inside; a `Workout` is a bout of activity. No DTD is loaded
and no entity resolved.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from lxml import etree  # type: ignore[import-untyped]

from workers.ingest import healthkit
from workers.ingest.sample import Item, Left, Sample, Unusable, Value
from workers.ingest.times import moment

_KINDS = ("Record", "Workout")
_ACTIVITY = "HKWorkoutActivityType"
_UNITS = {"min": "min", "s": "s", "hr": "h"}


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
        stream, events=("end",), tag=_KINDS, resolve_entities=False, load_dtd=False, no_network=True, huge_tree=True
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
