"""What a request carries: data points, samples or records in the format that it names or shows, item by item with its place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workers.ingest import health_connect, healthkit, neutral, omh
from workers.ingest.sample import Item, Unusable

LISTS: Final = {"open-mhealth": "points", "healthkit": "samples", "health-connect": "records", "clarity": "samples"}
"""Format: the member that holds its items."""


class Payload(NamedTuple):
    """What is to be read, of whom, and from which source; `where` is its place in the request."""

    patient: str | None
    where: str
    format: str
    items: list[Any]
    source: str
    zone: tzinfo | None
    alone: bool = False
    """The body is one item itself."""


class Found(NamedTuple):
    """One item of a payload and its place."""

    where: str
    item: Item


def payloads(body: Any, source: str, zone: tzinfo | None = None, format_: str | None = None) -> Iterator[Payload]:
    """Yield the payloads of a request: one, or one for each of `patients`. Unusable when its shape is none that is known."""
    if isinstance(body, dict) and "patients" in body:
        several = body["patients"]
        if not isinstance(several, list):
            raise Unusable("payload", "patients is a list of payloads, each with its patient.", "patients")
        for i, each in enumerate(several):
            where = f"patients[{i}]"
            if not isinstance(each, dict):
                raise Unusable("payload", "A payload is an object.", where)
            yield _one(each, where, body.get("source") or source, zone, body.get("format") or format_)
        return
    yield _one(body, "", source, zone, format_)


def _one(body: Any, where: str, source: str, zone: tzinfo | None, format_: str | None) -> Payload:
    if isinstance(body, list):
        if body and all(isinstance(each, dict) and each.get("format") in LISTS for each in body):
            raise Unusable(
                "payload", "Several payloads are sent as the list patients of an object.", where or "patients"
            )
        return Payload(None, where, _known(format_ or _shape(body), where), body, source, zone)
    if not isinstance(body, dict):
        raise Unusable("payload", "A payload is an object, or a list of data points.", where or None)
    if "header" in body:
        return Payload(None, where, "open-mhealth", [body], source, zone, alone=True)
    kind = _known(body.get("format") or format_ or ("clarity" if "samples" in body else None), where)
    name = LISTS[kind]
    items = body.get(name)
    if not isinstance(items, list):
        raise Unusable("payload", f"{kind} has its items in the list {name}.", _at(where, name))
    named = neutral.text(body, "patient").removeprefix("Patient/") if "patient" in body else None
    if body.get("zone") is not None:
        zone = zone_named(body["zone"], _at(where, "zone"))
    return Payload(named, _at(where, name), kind, items, neutral.text(body, "source") or source, zone)


def _shape(body: list[Any]) -> str | None:
    return "open-mhealth" if body and all(isinstance(each, dict) and "header" in each for each in body) else None


def _known(kind: Any, where: str) -> str:
    if not isinstance(kind, str) or kind not in LISTS:
        raise Unusable("format", f"Say by format what this is: {', '.join(LISTS)}.", _at(where, "format"))
    return kind


def zone_named(name: Any, where: str | None = None) -> ZoneInfo:
    """Return the time zone of an IANA name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise Unusable("zone", "A zone is an IANA name such as Europe/Berlin.", where) from error


def read(payload: Payload) -> Iterator[Found]:
    """Yield what each item of a payload says."""
    for i, item in enumerate(payload.items):
        where = "" if payload.alone else f"{payload.where}[{i}]"
        for found in _read(payload, item):
            yield Found(where, found.within(where) if where and isinstance(found, Unusable) else found)


def _read(payload: Payload, item: Any) -> Iterator[Item]:
    if payload.format == "open-mhealth":
        yield from omh.read(item, payload.source)
    elif payload.format == "health-connect":
        yield from health_connect.read(item, payload.source)
    elif payload.format == "healthkit":
        yield healthkit.read(item, payload.source)
    else:
        yield neutral.read(item, payload.source, payload.zone)


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
