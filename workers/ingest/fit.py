"""FIT files of Garmin and others, read by `fitdecode`: heart rates of an activity, the activity itself, stages of sleep.

Times are UTC; the offset of the wearer's clock is that of the activity message, where there is one. A damaged file gives what
stands before the damage, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import IO, Any, Final

import fitdecode

from workers.ingest.sample import Item, Left, Origin, Sample, Unusable, Value
from workers.ingest.times import Moment, of

MARK: Final = b".FIT"
STAGES: Final = {"awake": "awake", "light": "light", "deep": "deep", "rem": "rem"}
_KEPT: Final = frozenset({"record", "session", "sleep_level"})
_SILENT: Final = frozenset({"file_id", "file_creator", "activity", "event", "device_info", "lap"})
_DAMAGE: Final = (fitdecode.FitError, ValueError, OverflowError)
_HALF_DAY: Final = timedelta(hours=14)


def is_fit(head: bytes) -> bool:
    """Tell whether the first bytes are those of a FIT file."""
    return head[8:12] == MARK


def read(stream: IO[bytes], source: str) -> Iterator[Item]:
    """Yield what the messages say. The file is gone through twice: the clock's offset stands at its end."""
    origin: Origin = Origin(source)
    zone: tzinfo | None = None
    try:
        for origin, zone in _heads(stream, source):  # noqa: B007  the last one holds
            pass
    except _DAMAGE:
        pass  # the second reading comes to the same place, after what can be used
    stream.seek(0)
    try:
        yield from _messages(stream, origin, zone)
    except _DAMAGE as error:
        yield Unusable(
            "fit", f"The file is damaged ({type(error).__name__}); what stands before that is taken.", "file"
        )


def _heads(stream: IO[bytes], source: str) -> Iterator[tuple[Origin, tzinfo | None]]:
    """Yield the device and the offset of its clock, as far as they are known by then."""
    origin, zone = Origin(source), None
    for name, fields in _frames(stream):
        if name == "file_id":
            said = {
                "manufacturer": _word(fields, "manufacturer"),
                "model": _word(fields, "garmin_product", "product_name", "product"),
                "serial": _word(fields, "serial_number"),
            }
            origin = Origin(source, **said)
        elif name == "activity":
            zone = _zone(fields) or zone
        yield origin, zone


def _zone(fields: Mapping[str, Any]) -> tzinfo | None:
    at, local = fields.get("timestamp"), fields.get("local_timestamp")
    if not isinstance(at, datetime) or not isinstance(local, datetime):
        return None
    shift = local.replace(tzinfo=UTC) - at.astimezone(UTC)
    minutes = round(shift / timedelta(minutes=15)) * 15
    return timezone(timedelta(minutes=minutes)) if abs(shift) <= _HALF_DAY else None


def _frames(stream: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    with fitdecode.FitReader(stream, check_crc=fitdecode.CrcCheck.RAISE) as reader:
        for frame in reader:
            if isinstance(frame, fitdecode.FitDataMessage):
                yield frame.name, {field.name: field.value for field in frame.fields if field.value is not None}


def _messages(stream: IO[bytes], origin: Origin, zone: tzinfo | None) -> Iterator[Item]:
    stage: tuple[Moment, str | None] | None = None
    for name, fields in _frames(stream):
        when = fields.get("timestamp")
        if name not in _KEPT or not isinstance(when, datetime):
            if name not in _SILENT:
                yield Left("message-not-kept", name if name.isidentifier() else "unknown")
            continue
        if name == "record" and "heart_rate" in fields:
            yield Sample("heart-rate", origin, _at(when, zone), value=Value(fields["heart_rate"], "/min"))
        elif name == "session":
            yield _session(fields, origin, zone)
        elif name == "sleep_level":
            begun = _at(when, zone)
            if stage is not None and stage[1] is not None:
                yield Sample("sleep-stage", origin, stage[0], begun, code=stage[1])
            stage = begun, STAGES.get(str(fields.get("sleep_level")))


def _session(fields: Mapping[str, Any], origin: Origin, zone: tzinfo | None) -> Item:
    start, seconds = fields.get("start_time"), fields.get("total_elapsed_time")
    if not isinstance(start, datetime) or seconds is None:
        return Unusable("session", "A session has a start and a length.", "session")
    parts = [("activity-duration", Value(_decimal(seconds), "s"))]
    if "total_distance" in fields:
        parts.append(("distance", Value(_decimal(fields["total_distance"]), "m")))
    if "total_calories" in fields:
        parts.append(("energy-burned", Value(_decimal(fields["total_calories"]), "kcal")))
    end = start + timedelta(seconds=float(seconds))
    name = str(fields.get("sport", "activity"))
    return Sample("physical-activity", origin, _at(start, zone), _at(end, zone), text=name, parts=tuple(parts))


def _at(when: datetime, zone: tzinfo | None) -> Moment:
    return of(when.astimezone(zone or UTC), unknown=zone is None)


def _decimal(number: Any) -> Decimal:
    return Decimal(str(number))


def _word(fields: Mapping[str, Any], *names: str) -> str:
    return next((str(fields[name])[:200] for name in names if name in fields), "")
