"""A Fitbit archive as Google Takeout makes it: a zip of JSON files by kind and day, and a few CSV of daily summaries.

Heart rates and steps stand there in UTC, sleep in the wearer's local time without an offset: that needs the zone. HRV is RMSSD.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fhir_server.errors import BadRequest
from fhir_server.kit import json
from workers.ingest.sample import EMPTY, Item, Left, Number, Origin, Sample, Unusable, Value
from workers.ingest.times import Moment, later, moment, of

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one file inside that are read: a day of heart rates has one or two million."""

_NAME = re.compile(r"(?P<kind>[A-Za-z_ ]+?)\s*-\s*\d{4}-\d{2}[-\d() ]*\.(json|csv)$")
STAGES: Final = {"wake": "awake", "light": "light", "deep": "deep", "rem": "rem", "asleep": "asleep",
                 "restless": "awake", "awake": "awake"}  # fmt: skip
_DAILY: Final = {
    "Daily Heart Rate Variability Summary": ("rmssd", "hrv-rmssd", "ms"),
    "Daily Respiratory Rate Summary": ("daily_respiratory_rate", "respiratory-rate", "/min"),
    "Daily SpO2": ("average_value", "oxygen-saturation", "%"),
}


def is_archive(archive: zipfile.ZipFile) -> bool:
    """Tell whether a zip is one of these."""
    return any("fitbit" in name.lower() and _NAME.search(name) for name in archive.namelist())


def read(archive: zipfile.ZipFile, source: str, zone: tzinfo | None) -> Iterator[Item]:
    """Yield what the files of the archive say, file by file."""
    origin = Origin(source, manufacturer="Fitbit")
    for info in sorted(archive.infolist(), key=lambda each: each.filename):
        name = info.filename.rsplit("/", 1)[-1]
        found = _NAME.search(name)
        kind = found["kind"].strip() if found else ""
        if not found or (kind not in READERS and kind not in _DAILY):
            if not info.is_dir():
                yield Left("file-not-kept", kind or "file")
            continue
        if info.file_size > LARGEST:
            yield Unusable("file-too-large", f"A file inside has {LARGEST} bytes at most.", name)
            continue
        yield from _file(archive.read(info), name, kind, origin, zone)


def _file(content: bytes, name: str, kind: str, origin: Origin, zone: tzinfo | None) -> Iterator[Item]:
    if kind in _DAILY:
        yield from _daily(content, name, kind, origin)
        return
    try:
        entries = json.decode(content)
    except BadRequest as error:
        yield Unusable("json", error.text, name)
        return
    if not isinstance(entries, list):
        yield Unusable("json", "The file holds no list.", name)
        return
    for i, entry in enumerate(entries):
        try:
            yield from READERS[kind](entry, origin, zone)
        except Unusable as error:
            yield error.within(f"{name}[{i}]")
        except (KeyError, TypeError, AttributeError, ValueError, InvalidOperation):
            yield Unusable("entry", f"This is no entry of {kind}.", f"{name}[{i}]")


def _stamp(text: str) -> Moment:
    """Read the month/day/year of the export, which is UTC: it says nothing of the local clock."""
    return of(datetime.strptime(text, "%m/%d/%y %H:%M:%S").replace(tzinfo=UTC), unknown=True)


def _heart(entry: Mapping[str, Any], origin: Origin, _: tzinfo | None) -> Iterator[Item]:
    value = entry["value"]
    if value["bpm"]:  # 0: none was found
        yield Sample("heart-rate", origin, _stamp(entry["dateTime"]), value=Value(value["bpm"], "/min"))


def _steps(entry: Mapping[str, Any], origin: Origin, _: tzinfo | None) -> Iterator[Item]:
    start = _stamp(entry["dateTime"])
    yield Sample("steps", origin, start, later(start, 60_000), Value(int(entry["value"]), "{steps}"))


def _resting(entry: Mapping[str, Any], origin: Origin, _: tzinfo | None) -> Iterator[Item]:
    value = entry["value"]
    if value.get("date") and value["value"]:
        day = datetime.strptime(value["date"], "%m/%d/%y").replace(tzinfo=UTC).date().isoformat()
        yield Sample("resting-heart-rate", origin, moment(day), value=Value(_short(value["value"]), "/min"))


def _sleep(entry: Mapping[str, Any], origin: Origin, zone: tzinfo | None) -> Iterator[Item]:
    start, end = moment(entry["startTime"], zone, "startTime"), moment(entry["endTime"], zone, "endTime")
    details = {name: str(entry[name]) for name in ("logId", "type", "mainSleep", "dateOfSleep") if name in entry}
    value = Value(entry["minutesAsleep"], "min")
    yield Sample("sleep-session", origin, start, end, value, details=details)
    for each in entry.get("levels", {}).get("data", ()):
        begun = moment(each["dateTime"], zone, "levels.data.dateTime")
        stage = STAGES.get(each["level"])
        if stage is not None:
            yield Sample("sleep-stage", origin, begun, later(begun, int(each["seconds"]) * 1000), code=stage)


READERS: Final[Mapping[str, Callable[[Mapping[str, Any], Origin, tzinfo | None], Iterator[Item]]]] = {
    "heart_rate": _heart,
    "steps": _steps,
    "resting_heart_rate": _resting,
    "sleep": _sleep,
}


def _daily(content: bytes, name: str, kind: str, origin: Origin) -> Iterator[Item]:
    """Yield the days of a CSV of summaries."""
    column, measure, unit = _DAILY[kind]
    for i, row in enumerate(csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace")))):
        where = f"{name}[{i}]"
        try:
            day, text = (row.get("timestamp") or "")[:10], row.get(column) or ""
            if text.strip().lower() not in EMPTY:
                number = _short(Decimal(text))
                yield Sample(measure, origin, moment(day, where="timestamp"), value=Value(number, unit))
        except Unusable as error:
            yield error.within(where)
        except InvalidOperation:
            yield Unusable("number", "It is a number.", f"{where}.{column}")


def _short(number: Number) -> Number:
    """Return a number to three decimals: the export has as many digits as a float."""
    rounded = Decimal(number).quantize(Decimal("0.001")).normalize()
    return int(rounded) if rounded == rounded.to_integral_value() else rounded
