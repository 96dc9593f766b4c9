"""Dates and times of any precision: parsing, comparison and arithmetic (FHIRPath N1 §5.5, §6.1, §6.2, §6.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal

Kind = Literal["date", "dateTime", "time"]

_DATE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?"
    r"(?:(T)(?:(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d+))?)?)?(Z|[+-]\d{2}:\d{2})?)?)?",
    re.ASCII,
)
_TIME = re.compile(r"(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d+))?)?)?", re.ASCII)
_LIMITS = ((1, 9999), (1, 12), (1, 31), (0, 23), (0, 59), (0, 60))
_MAX_LENGTH = 40
_UNKNOWN_ZONE = timedelta(hours=26)  # offsets lie between -12:00 and +14:00


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Date, DateTime or Time: the parts that are known, coarsest first, then the fraction's digits and the zone as written."""

    kind: Kind
    parts: tuple[int, ...]
    fraction: str = ""
    zone: str = ""

    def __str__(self) -> str:
        """Return the ISO 8601 text."""
        if self.kind == "time":
            return self._clock(self.parts)
        day = "-".join(f"{part:0{4 if index == 0 else 2}d}" for index, part in enumerate(self.parts[:3]))
        return f"{day}T{self._clock(self.parts[3:])}{self.zone}" if len(self.parts) > 3 else day

    def _clock(self, parts: tuple[int, ...]) -> str:
        text = ":".join(f"{part:02d}" for part in parts)
        return f"{text}.{self.fraction}" if self.fraction else text

    @property
    def digits(self) -> int:
        """The precision as `precision()` counts it: 4 for a year ... 17 for milliseconds."""
        width = 2 * len(self.parts) + (0 if self.kind == "time" else 2)
        return width + 3 if self.fraction else width

    @property
    def offset(self) -> timedelta:
        """The distance from UTC; none when no zone was given."""
        if self.zone in ("", "Z"):
            return timedelta(0)
        span = timedelta(hours=int(self.zone[1:3]), minutes=int(self.zone[4:6]))
        return -span if self.zone[0] == "-" else span

    def moment(self) -> datetime:
        """The first instant it can mean, in UTC (naive); a time is put on the first day of the calendar."""
        parts = (1, 1, 1, *self.parts) if self.kind == "time" else self.parts
        year, month, day, hour, minute, second = (*parts, *(1, 1, 1, 0, 0, 0)[len(parts) :])
        micros = int(self.fraction[:6].ljust(6, "0")) if self.fraction else 0
        naive = datetime(year, month, day, hour, minute, min(second, 59), micros)  # noqa: DTZ001 - UTC by contract
        return naive + timedelta(seconds=max(second - 59, 0)) - self.offset

    def in_utc(self) -> Temporal:
        """Return the same instant with zone Z, at the same precision."""
        if self.zone in ("", "Z") or len(self.parts) < 4:
            return self
        try:
            moment = self.moment()
        except OverflowError:
            return self
        return replace(self, parts=_fields(moment)[: len(self.parts)], zone="Z")


def _fields(moment: datetime) -> tuple[int, ...]:
    return (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)


def parse_temporal(text: str, kind: str) -> Temporal | None:
    """Return the value of an ISO 8601 text, or None when it is none; `kind` is date, dateTime, instant or time."""
    return _parse(text, kind) if len(text) <= _MAX_LENGTH else None


@lru_cache(maxsize=8192)
def _parse(text: str, kind: str) -> Temporal | None:
    if kind == "time":
        match = _TIME.fullmatch(text)
        return _checked("time", match.group(1, 2, 3), match.group(4), None) if match else None
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    is_date = match.group(4) is None and kind == "date"
    return _checked("date" if is_date else "dateTime", match.group(1, 2, 3, 5, 6, 7), match.group(8), match.group(9))


def _checked(kind: Kind, groups: tuple[str | None, ...], fraction: str | None, zone: str | None) -> Temporal | None:
    """Return the value when all its parts lie in their ranges."""
    parts = tuple(int(group) for group in groups if group is not None)
    limits = _LIMITS[3:] if kind == "time" else _LIMITS
    if any(not low <= part <= high for part, (low, high) in zip(parts, limits, strict=False)):
        return None
    if kind != "time" and len(parts) >= 3:
        try:
            date(*parts[:3])
        except ValueError:
            return None
    return Temporal(kind, parts, fraction or "", zone or "")


def compare(left: Temporal, right: Temporal) -> int | None:
    """Return -1, 0 or 1, or None when the precisions leave it open (N1 §6.2); both are times or neither is."""
    if left.zone and right.zone:
        left, right = left.in_utc(), right.in_utc()
    elif (left.zone or right.zone) and len(left.parts) > 3 and len(right.parts) > 3:
        return _compare_unzoned(left, right)
    for mine, other in zip(left.parts, right.parts, strict=False):
        if mine != other:
            return -1 if mine < other else 1
    if len(left.parts) != len(right.parts):
        return None
    width = max(len(left.fraction), len(right.fraction))
    ours, theirs = left.fraction.ljust(width, "0"), right.fraction.ljust(width, "0")
    return (ours > theirs) - (ours < theirs)


def _compare_unzoned(left: Temporal, right: Temporal) -> int | None:
    """Compare when one has no zone: decided only if no zone could change the answer."""
    try:
        distance = left.moment() - right.moment()
    except OverflowError:
        return None
    if abs(distance) <= _UNKNOWN_ZONE:
        return None
    return -1 if distance < timedelta(0) else 1


# A calendar unit -> (index of the part it moves, how many of that part).
_PART = {"year": (0, 1), "month": (1, 1), "week": (2, 7), "day": (2, 1), "hour": (3, 1), "minute": (4, 1)}
_SECONDS = {"second": Decimal(1), "millisecond": Decimal("0.001")}
_COARSER = (12, 30, 24, 60, 60)  # how many of part i+1 make one of part i, by N1 §6.6.7


def add(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """Return the value moved by `amount` of a calendar unit (N1 §6.6.7), or None when it leaves the calendar."""
    if unit in _SECONDS:
        return _move(value, 5, amount * _SECONDS[unit])
    part, factor = _PART[unit]
    return _move(value, part, Decimal(int(amount)) * factor)


def _move(value: Temporal, part: int, amount: Decimal) -> Temporal | None:
    """Move one part; an amount finer than the value's precision is first converted to that precision, truncated."""
    shift = 3 if value.kind == "time" else 0
    finest = len(value.parts) - 1 + shift
    if part < shift:
        return None
    if part == 2 and finest == 0:
        amount, part = Decimal(int(amount / 365)), 0
    while part > finest:
        amount, part = Decimal(int(amount / _COARSER[part - 1])), part - 1
    try:
        return _in_months(value, int(amount) * (12 if part == 0 else 1)) if part < 2 else _in_time(value, part, amount)
    except (OverflowError, ValueError):
        return None


def _in_months(value: Temporal, months: int) -> Temporal:
    """Move by months; a day that the month lacks becomes its last."""
    if len(value.parts) == 1:
        return replace(value, parts=(date(value.parts[0] + months // 12, 1, 1).year,))
    total = value.parts[0] * 12 + value.parts[1] - 1 + months
    year, month = total // 12, total % 12 + 1
    first = date(year, month, 1)
    rest = value.parts[2:]
    if rest:
        last = (
            (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day if year < 9999 or month < 12 else 31
        )
        rest = (min(rest[0], last), *rest[1:])
    return replace(value, parts=(first.year, month, *rest))


def _in_time(value: Temporal, part: int, amount: Decimal) -> Temporal:
    """Move by days or less; times of day wrap at midnight."""
    scale = (86_400, 3_600, 60, 1)[part - 2]
    micros = int(amount * scale * 1_000_000)
    local = replace(value, zone="")
    moment = local.moment()
    if value.kind == "time":
        moment = moment.replace(year=2000) + timedelta(microseconds=micros % 86_400_000_000)
        fields = _fields(moment)[3:]
    else:
        moment += timedelta(microseconds=micros)
        fields = _fields(moment)
    fraction = value.fraction
    if fraction or moment.microsecond:
        digits = f"{moment.microsecond:06d}"
        fraction = digits[: max(len(fraction), 3)] if digits[3:] == "000" or len(fraction) <= 3 else digits
    return replace(value, parts=fields[: len(value.parts)], fraction=fraction)
