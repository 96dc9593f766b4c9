"""Samples in our own JSON: what phones, hubs and our readers of files send when they need no format of a vendor.

    {"type": "heart-rate", "start": "2026-01-05T08:00:00+01:00", "value": 62, "unit": "/min",
     "device": {"name": "Watch", "serial": "A1"}, "status": "final", "issued": "...", "method": "..."}

`end` makes it an interval; `values` with `period` (seconds) a series, null where nothing was measured (one of counts or stages ends
where its values do); `code` is a stage of sleep or the reason of a coverage-gap; `parts` are components by name; `details` are
further words of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any, Final

from profiles.psych.codes import GAPS
from profiles.psych.measures import BY_NAME, PARTS
from workers.ingest.sample import Item, Left, Number, Origin, Sample, Series, Unusable, Value
from workers.ingest.times import Moment, later, moment

MEMBERS: Final = frozenset(
    {"type", "start", "end", "value", "unit", "code", "text", "values", "period", "parts", "statistic", "status", "issued",
     "method", "details", "device", "source"}
)  # fmt: skip
DELETION: Final = (
    "A deletion names a record whose id is not kept. Send the sample itself as type, start and end, in the format clarity, with "
    "status entered-in-error and when that was as issued."
)
_LONGEST: Final = 366 * 86_400_000
_DEVICE: Final = ("name", "manufacturer", "model", "serial", "version")


def read(item: Any, source: str, zone: tzinfo | None = None) -> Item:
    """Return the sample of one JSON object, or what is wrong with it."""
    try:
        return _read(item, source, zone)
    except Unusable as error:
        return error


def _read(item: Any, source: str, zone: tzinfo | None) -> Sample | Left:
    if not isinstance(item, dict):
        raise Unusable("sample", "A sample is an object.")
    if strange := sorted(item.keys() - MEMBERS):
        raise Unusable(
            "sample", f"A sample has no such member; it may have: {', '.join(sorted(MEMBERS))}.", shown(strange[0])
        )
    name = text(item, "type")
    if name not in BY_NAME:
        return Left("type-not-kept", shown(name or "type"))
    start = moment(item.get("start"), zone, "start")
    end = moment(item["end"], zone, "end") if item.get("end") is not None else None
    unit = text(item, "unit") or (BY_NAME[name].units or ("",))[0]
    series = _series(item, unit)
    if series is not None and end is None and BY_NAME[name].kind in ("count", "stage") and not start.whole_day:
        end = _end(start, series)
    value = Value(number(item["value"], "value"), unit) if item.get("value") is not None else None
    code = text(item, "code")
    if name == "coverage-gap" and code not in GAPS:
        raise Unusable("gap-reason", f"A gap has one of these codes: {', '.join(GAPS)}.", "code")
    if value is None and series is None and code is None and not item.get("text") and not item.get("parts"):
        raise Unusable("value-missing", "A sample has a value, values, a code, a text or parts.", "value")
    return Sample(
        measure=name,
        origin=origin(item.get("device"), text(item, "source") or source),
        start=start,
        end=end,
        value=value,
        code=code or None,
        text=text(item, "text") or None,
        series=series,
        parts=_parts(item.get("parts")),
        statistic=text(item, "statistic") or None,
        status=text(item, "status") or "preliminary",
        issued=issued(item.get("issued"), zone),
        method=text(item, "method") or None,
        details=_details(item.get("details")),
    )


def issued(given: Any, zone: tzinfo | None = None) -> str | None:
    """Return when a source made or changed a sample, as an instant."""
    if given is None:
        return None
    found = moment(given, zone, "issued")
    return f"{found.text}T00:00:00Z" if found.whole_day else found.text


def origin(device: Any, source: str) -> Origin:
    """Return who measured, from an object that describes a device."""
    if device is None:
        return Origin(source)
    if not isinstance(device, dict):
        raise Unusable("device", "A device is an object.", "device")
    said = {name: text(device, name, "device.") for name in _DEVICE}
    return Origin(source, **said)


def text(item: Mapping[str, Any], name: str, prefix: str = "") -> str:
    """Return a member that is a text of reasonable length, "" when there is none."""
    found = item.get(name)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > 500:
        raise Unusable("text", "It is a text of 500 characters at most.", f"{prefix}{name}")
    return found.strip()


def number(found: Any, where: str) -> Number:
    """Return a member that is a number."""
    if isinstance(found, bool) or not isinstance(found, int | Decimal):
        raise Unusable("number", "It is a number.", where)
    return found


def _series(item: Mapping[str, Any], unit: str) -> Series | None:
    values = item.get("values")
    if values is None:
        return None
    if not isinstance(values, list):
        raise Unusable("series", "values are a list of numbers and null.", "values")
    numbers = [None if each is None else number(each, f"values[{i}]") for i, each in enumerate(values)]
    return Series(numbers, unit, number(item.get("period"), "period") * 1000)


def _end(start: Moment, series: Series) -> Moment | None:
    """Return when the last value of a series ends; None for a period that makes no series."""
    length = len(series.numbers) * series.period
    if length > _LONGEST:
        raise Unusable("series", "A series lasts a year at most.", "period")
    return later(start, int(length)) if length > 0 else None


def _parts(given: Any) -> tuple[tuple[str, Value], ...]:
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise Unusable("parts", "parts are objects of value and unit, by name.", "parts")
    found = []
    for name, each in given.items():
        where = f"parts.{shown(name)}"
        if name not in PARTS:
            raise Unusable("parts", f"There is no such part; there are: {', '.join(sorted(PARTS))}.", where)
        if not isinstance(each, dict):
            raise Unusable("parts", "A part has a value and a unit.", where)
        found.append(
            (name, Value(number(each.get("value"), f"{where}.value"), text(each, "unit") or PARTS[name][1][0]))
        )
    return tuple(found)


def _details(given: Any) -> Mapping[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
        raise Unusable("details", "details are texts by name.", "details")
    return {name[:100]: each[:2000] for name, each in given.items() if each.strip()}


def shown(name: str) -> str:
    """Return a name from outside for a message, only when it looks like one."""
    return (
        name
        if name.isascii() and name.replace("-", "").replace("_", "").isalnum() and len(name) <= 100
        else "(unnamed)"
    )


def as_json(sample: Sample) -> dict[str, Any]:
    """Return a sample in this form, as a reader of files sends it."""
    made: dict[str, Any] = {"type": sample.measure, "source": sample.origin.source, "start": sample.start.text}
    device = {name: said for name in _DEVICE if (said := getattr(sample.origin, name))}
    optional = {
        "device": device,
        "end": _text(sample.end),
        "code": sample.code,
        "text": sample.text,
        "statistic": sample.statistic,
        "issued": sample.issued,
        "method": sample.method,
        "details": dict(sample.details),
        "parts": {name: {"value": value.number, "unit": value.unit} for name, value in sample.parts},
    }
    made |= {name: said for name, said in optional.items() if said}
    if sample.status != "preliminary":
        made["status"] = sample.status
    if sample.value is not None:
        made |= {"value": sample.value.number, "unit": sample.value.unit}
    if sample.series is not None:
        seconds = Decimal(sample.series.period) / 1000
        made |= {"values": list(sample.series.numbers), "unit": sample.series.unit, "period": seconds}
    return made


def _text(when: Moment | None) -> str | None:
    return None if when is None else when.text
