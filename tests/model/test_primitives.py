"""Grammars of the primitives against tables and the calendar; ranges of partial dates."""

import calendar
import re
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.model.primitives import PRIMITIVES, date_range, matches
from profiles.registry import R4

GOOD = {
    "id": ["a", "A-1.b", "x" * 64],
    "code": ["final", "a b", "in-progress"],
    "uri": ["http://x.y/z", "urn:oid:1.2", "a"],
    "url": ["http://x.y/z"],
    "canonical": ["http://x.y/z|1.0"],
    "oid": ["urn:oid:1.2.840.0"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
    "base64Binary": ["AAAA", "AA==", "AAA=", "AAAA\r\nAAAA", " AA AA ", "AA = ="],
    "date": ["2020", "2020-02", "2020-02-29", "0001-01-01", "2000-02-29"],
    "dateTime": ["2020", "2020-02-29", "2020-02-29T10:00:00Z", "2016-12-31T23:59:60.5+14:00"],
    "instant": ["2020-02-29T10:00:00Z", "2020-02-29T10:00:00.123456789-05:30"],
    "time": ["10:00:00", "23:59:60.999"],
    "string": ["x", " x ", "a\tb\r\nc", "\u00a0"],
    "markdown": ["# x"],
    "xhtml": ['<div xmlns="http://www.w3.org/1999/xhtml">x\n</div>', "<div/>"],
}
BAD = {
    "id": ["", "a/b", "x" * 65, "a\n", "ä", "a_b"],
    "code": ["", " a", "a ", "a  b", "a\n", "\t"],
    "uri": ["", "a b", "a\n", "a\x01"],
    "url": ["", "a b"],
    "canonical": ["", "a b"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1"],
    "uuid": ["urn:uuid:C757873D-EC9A-4326-A141-556F43239520", "c757873d-ec9a-4326-a141-556f43239520"],
    "base64Binary": ["", " ", "A", "AA", "AAA", "AAAAA", "=", "AA=A", "AAAA!", "AAAA===="],
    "date": ["", "0000", "20", "2020-1", "2020-13", "2020-02-30", "2021-02-29", "1900-02-29", "2020-02-29T10:00:00Z"],
    "dateTime": ["2020-02T10:00:00Z", "2020-02-29T10:00Z", "2020-02-29T10:00:00", "2020-02-29 10:00:00Z", "2020\n"],
    "instant": ["2020-02-29", "2020-02-29T24:00:00Z", "2020-02-29T10:00:00+14:30", "2020-02-29T10:00:61Z"],
    "time": ["10:00", "24:00:00", "10:00:00Z", "\u0660\u0660:00:00"],
    "string": ["", "a\x01", "a\x0b", "\x1f"],
    "markdown": [""],
    "xhtml": ["", "x", "<p>x</p>", "<div>x"],
}


@pytest.mark.parametrize(("type_", "text"), [(t, x) for t, texts in GOOD.items() for x in texts])
def test_good_values(type_: str, text: str) -> None:
    assert matches(type_, text)


@pytest.mark.parametrize(("type_", "text"), [(t, x) for t, texts in BAD.items() for x in texts])
def test_bad_values(type_: str, text: str) -> None:
    assert not matches(type_, text)


def test_every_primitive_of_r4_is_known() -> None:
    assert set(PRIMITIVES) == R4.primitives
    assert all(re.compile(p.pattern) for p in PRIMITIVES.values() if p.pattern)


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31))
def test_dates_hold_to_the_calendar(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    exists = day <= calendar.monthrange(year, month)[1]
    assert matches("date", text) == exists
    assert matches("dateTime", f"{text}T00:00:00Z") == exists
    assert matches("instant", f"{text}T00:00:00Z") == exists


@pytest.mark.parametrize("type_", ["base64Binary", "code", "dateTime", "xhtml", "oid"])
def test_no_grammar_can_be_made_to_backtrack(type_: str) -> None:
    started = time.process_time()
    for piece in ("A", " ", "A ", "=", "1", ".1", "<div>", "</div", "a b"):
        matches(type_, piece * 50_000 + "!")
    assert time.process_time() - started < 2


RANGES = [
    ("2020", "2020-01-01T00:00:00", "2021-01-01T00:00:00"),
    ("2020-02", "2020-02-01T00:00:00", "2020-03-01T00:00:00"),
    ("2020-12", "2020-12-01T00:00:00", "2021-01-01T00:00:00"),
    ("2020-02-29", "2020-02-29T00:00:00", "2020-03-01T00:00:00"),
    ("2020-02-29T10:00", "2020-02-29T10:00:00", "2020-02-29T10:01:00"),
    ("2020-02-29T10:00:00", "2020-02-29T10:00:00", "2020-02-29T10:00:01"),
    ("2020-02-29T10:00:00Z", "2020-02-29T10:00:00", "2020-02-29T10:00:01"),
    ("2020-02-29T00:30:00+01:00", "2020-02-28T23:30:00", "2020-02-28T23:30:01"),
    ("2020-02-29T00:30:00-05:30", "2020-02-29T06:00:00", "2020-02-29T06:00:01"),
    ("2020-02-29T10:00:00.5Z", "2020-02-29T10:00:00.500000", "2020-02-29T10:00:00.600000"),
    ("2020-02-29T10:00:00.123Z", "2020-02-29T10:00:00.123000", "2020-02-29T10:00:00.124000"),
    ("2020-02-29T10:00:00.123456789Z", "2020-02-29T10:00:00.123456", "2020-02-29T10:00:00.123457"),
    ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59", "2017-01-01T00:00:00"),
    ("9999", "9999-01-01T00:00:00", "9999-12-31T23:59:59.999999"),
    ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"),
    ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00", "0001-01-01T00:00:01"),
]


@pytest.mark.parametrize(("text", "start", "end"), RANGES)
def test_ranges(text: str, start: str, end: str) -> None:
    expected = tuple(datetime.fromisoformat(t).replace(tzinfo=UTC) for t in (start, end))
    assert date_range(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "20", "2020-13", "2020-02-30", "2020-02-29T25:00:00Z", "2020-02-29T10:60Z", "x", "0000", "2020-1-1"),
        *("2020-02-29T10:00:00+01:99", "2020-02-29T10:00:61Z", "2020\n", "\u0662\u0660\u0662\u0660"),
    ],
)
def test_what_is_not_a_date_has_no_range(text: str) -> None:
    with pytest.raises(ValueError):
        date_range(text)


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)))
def test_days_follow_each_other(day: date) -> None:
    start, end = date_range(day.isoformat())
    assert end - start == timedelta(days=1)
    assert date_range((day + timedelta(days=1)).isoformat())[0] == end


@given(st.text("0123456789-T:.Z+", max_size=32))
def test_any_text_has_a_range_or_a_value_error(text: str) -> None:
    try:
        start, end = date_range(text)
    except ValueError:
        assert not matches("dateTime", text)
        return
    assert start <= end
    assert start.tzinfo is UTC
