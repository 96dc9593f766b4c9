"""CSV by a mapping file (TOML): which column is when, which are which measure, whose rows are whose.

source = "LifeSnaps"
zone = "Europe/Athens"          # of times without an offset
patient = "id"                  # column that names the patient, when the file holds several
decimal = ","                   # when numbers are written as 62,5; then delimiter = ";"
gap = "not-told"                # a row without any of the values is a gap, for this reason
device = { manufacturer = "Fitbit" }

[time]
start = "date"                  # column; a bare date is a day
end = "until"                   # column, or
seconds = 60                    # the length of what each row stands for
format = "%d.%m.%Y %H:%M"       # when it is not ISO 8601

[[value]]
column = "rmssd"
type = "hrv-rmssd"              # a row of profiles/psych/measures.py
unit = "ms"                     # UCUM; the usual one of the measure by default
factor = 1000                   # multiplies
statistic = "average"
parts = { sleep-efficiency = "sleep_efficiency" }
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import IO, Any, Final, NamedTuple

from profiles.psych.codes import GAPS
from profiles.psych.measures import BY_NAME, PARTS
from workers.ingest.payload import zone_named
from workers.ingest.sample import EMPTY, LARGEST, Item, Number, Origin, Sample, Unusable, Value
from workers.ingest.times import Moment, later, moment

_DAY: Final = 86_400_000
_TOP: Final = frozenset({"source", "zone", "patient", "gap", "device", "time", "value", "delimiter", "decimal"})
_TIME: Final = frozenset({"start", "end", "seconds", "format"})
_VALUE: Final = frozenset({"column", "type", "unit", "factor", "statistic", "parts"})


class Column(NamedTuple):
    """One column that is a measure."""

    column: str
    measure: str
    unit: str
    factor: Decimal
    statistic: str | None
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping that was read and makes sense."""

    origin: Origin
    zone: tzinfo | None
    patient: str | None
    gap: str | None
    start: str
    end: str | None
    seconds: Decimal | None
    format: str | None
    delimiter: str
    decimal: str
    columns: tuple[Column, ...]


class Row(NamedTuple):
    """What one row says, and of whom where the file tells."""

    patient: str | None
    item: Item


def mapping(content: bytes, zone: tzinfo | None = None) -> Mapped:
    """Read a mapping; Unusable says what is wrong with it and where."""
    try:
        given = tomllib.loads(content.decode("utf-8"), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unusable("mapping", f"The mapping is no TOML: {error}", "mapping") from error
    _known(given, _TOP, "mapping")
    time, device = _table(given, "time"), _table(given, "device") if "device" in given else {}
    _known(time, _TIME, "time")
    if not isinstance(time.get("start"), str):
        raise Unusable("mapping", "[time] names the column start.", "time.start")
    if given.get("gap") is not None and given["gap"] not in GAPS:
        raise Unusable("mapping", f"gap is one of {', '.join(GAPS)}.", "gap")
    values = given.get("value")
    if not isinstance(values, list) or not values:
        raise Unusable("mapping", "A mapping has at least one [[value]].", "value")
    return Mapped(
        origin=Origin(
            str(given.get("source", "csv")), **{name: str(said) for name, said in device.items() if name in _ORIGIN}
        ),
        zone=zone_named(given["zone"], "zone") if "zone" in given else zone,
        patient=_words(given, "patient"),
        gap=given.get("gap"),
        start=time["start"],
        end=_words(time, "end"),
        seconds=_positive(time["seconds"], "time.seconds") if "seconds" in time else None,
        format=_words(time, "format"),
        delimiter=_mark(given, "delimiter", ",", ",;|\t "),
        decimal=_mark(given, "decimal", ".", ".,"),
        columns=tuple(_column(each, f"value[{i}]") for i, each in enumerate(values)),
    )


_ORIGIN: Final = ("name", "manufacturer", "model", "serial", "version")


def _table(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name)
    if not isinstance(found, dict):
        raise Unusable("mapping", f"[{name}] is a table.", name)
    return found


def _known(given: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    if strange := sorted(given.keys() - names):
        raise Unusable("mapping", f"There is no {strange[0]} here; there are: {', '.join(sorted(names))}.", where)


def _column(given: Any, where: str) -> Column:
    if not isinstance(given, dict) or not isinstance(given.get("column"), str):
        raise Unusable("mapping", "A [[value]] names its column.", where)
    _known(given, _VALUE, where)
    measure = BY_NAME.get(given.get("type", ""))
    if measure is None:
        raise Unusable("mapping", f"type is one of {', '.join(BY_NAME)}.", f"{where}.type")
    unit = given.get("unit", (measure.units or ("",))[0])
    if unit not in measure.units:
        raise Unusable("mapping", f"{measure.name} is measured in {', '.join(measure.units)}.", f"{where}.unit")
    parts = given.get("parts", {})
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise Unusable("mapping", "parts are names of columns by part.", f"{where}.parts")
    if strange := sorted(set(parts) - set(PARTS)):
        raise Unusable("mapping", f"There is no part {strange[0]}; there are: {', '.join(sorted(PARTS))}.", where)
    factor = _positive(given.get("factor", 1), f"{where}.factor")
    return Column(given["column"], measure.name, unit, factor, _words(given, "statistic"), tuple(parts.items()))


def _positive(value: Any, where: str) -> Decimal:
    """Return a number above 0; TOML has 0.5, never 0,5."""
    number = not isinstance(value, bool) and isinstance(value, int | Decimal) and Decimal(value).is_finite()
    if not number or not 0 < value < LARGEST:
        raise Unusable("mapping", "It is a number above 0, such as 0.5, without quotes.", where)
    return Decimal(value)


def _words(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise Unusable("mapping", f"{name} is a text.", name)
    return value


def _mark(given: Mapping[str, Any], name: str, usual: str, known: str) -> str:
    value = given.get(name, usual)
    if not isinstance(value, str) or len(value) != 1 or value not in known:
        raise Unusable("mapping", f"{name} is one of {' '.join(map(repr, known))}.", name)
    return value


def read(stream: IO[str], by: Mapped) -> Iterator[Row]:
    """Yield what the rows say, each number with its line."""
    rows = csv.DictReader(stream, delimiter=by.delimiter)
    wanted = [by.start, by.end, by.patient, *(column.column for column in by.columns)]
    missing = [name for name in wanted if name and name not in (rows.fieldnames or ())]
    if missing:
        yield Row(None, Unusable("column-missing", f"The file has no column {', '.join(missing)}.", "line 1"))
        return
    for row in rows:
        where = f"line {rows.line_num}"
        patient = (row.get(by.patient) or "").strip() if by.patient else None
        try:
            start, end = _when(row, by)
        except Unusable as error:
            yield Row(patient, error.within(where))
            continue
        items = [item for column in by.columns for item in _items(row, column, by, start, end, where)]
        if not items and by.gap:
            last = end or (later(start, _DAY) if not start.whole_day else None)
            items = [Sample("coverage-gap", by.origin, start, last, code=by.gap)]
        yield from (Row(patient, item) for item in items)


def _when(row: Mapping[str, Any], by: Mapped) -> tuple[Moment, Moment | None]:
    start = _time(row.get(by.start), by, by.start)
    if by.end:
        return start, _time(row.get(by.end), by, by.end)
    return start, later(start, int(by.seconds * 1000)) if by.seconds is not None else None


def _time(text: Any, by: Mapped, where: str) -> Moment:
    if by.format is None or not isinstance(text, str):
        return moment(text, by.zone, where)
    try:
        read = datetime.strptime(text.strip(), by.format)  # noqa: DTZ007  the zone is put to it below
    except ValueError as error:
        raise Unusable("time-malformed", "It is not of the format that the mapping states.", where) from error
    dateless = not any(mark in by.format for mark in ("%H", "%I", "%M", "%c", "%X"))
    return moment(read.date().isoformat() if dateless else read.isoformat(), by.zone, where)


def _items(
    row: Mapping[str, Any], column: Column, by: Mapped, start: Moment, end: Moment | None, where: str
) -> Iterator[Item]:
    try:
        number = _number(row.get(column.column), column.column, by.decimal)
        if number is None:
            return
        parts = []
        for part, name in column.parts:
            if (found := _number(row.get(name), name, by.decimal)) is not None:
                parts.append((part, Value(found, PARTS[part][1][0])))
        value = Value(_times(number, column.factor), column.unit)
        yield Sample(column.measure, by.origin, start, end, value, parts=tuple(parts), statistic=column.statistic)
    except Unusable as error:
        yield error.within(where)


def _number(text: Any, where: str, mark: str) -> Number | None:
    """Return a number with the mapping's decimal mark; one with another mark, or with marks of thousands, is none."""
    if not isinstance(text, str) or text.strip().lower() in EMPTY:
        return None
    said = text.strip()
    try:
        if "_" in said or (mark != "." and "." in said):
            raise InvalidOperation
        found = Decimal(said.replace(mark, "."))
    except InvalidOperation as error:
        wrong = f"It is a number with {mark!r} before its decimals (the mapping's `decimal`) and without marks of thousands."
        raise Unusable("number", wrong, where) from error
    if not found.is_finite():
        raise Unusable("number", "It is a number.", where)
    return int(found) if found == found.to_integral_value() and abs(found) < 10**15 else found


def _times(number: Number, factor: Decimal) -> Number:
    if factor == 1:
        return number
    made = (Decimal(number) * factor).normalize()
    return int(made) if made == made.to_integral_value() else made
