"""Dates, units and narratives: properties against Python's own calendar and arithmetic."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.model.fhirpath import datetimes
from fhir_server.model.fhirpath.datetimes import Temporal, parse_temporal
from fhir_server.model.fhirpath.narrative import is_harmless, is_narrative
from fhir_server.model.fhirpath.ucum import analyse, canonical
from fhir_server.model.fhirpath.units import UNITS

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
ZONES = st.sampled_from(["Z", "+00:00", "+10:00", "-05:30", "+14:00", "-12:00"])
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def _parsed(text: str, kind: str = "dateTime") -> Temporal:
    value = parse_temporal(text, kind)
    assert value is not None
    return value


@given(MOMENTS, ZONES)
def test_text_survives(moment: datetime, zone: str) -> None:
    text = moment.isoformat(timespec="milliseconds") + zone
    assert str(_parsed(text)) == text
    assert _parsed(text).moment().replace(tzinfo=UTC) == datetime.fromisoformat(text).astimezone(UTC)


@given(MOMENTS, ZONES, MOMENTS, ZONES)
def test_order_is_that_of_instants(one: datetime, here: str, other: datetime, there: str) -> None:
    left, right = (m.isoformat(timespec="milliseconds") + z for m, z in ((one, here), (other, there)))
    first, second = datetime.fromisoformat(left), datetime.fromisoformat(right)
    expected = (first > second) - (first < second)
    assert datetimes.compare(_parsed(left), _parsed(right)) == expected
    assert datetimes.compare(_parsed(right), _parsed(left)) == -expected


@given(MOMENTS, st.integers(-10_000, 10_000), st.sampled_from(["week", "day", "hour", "minute", "second"]))
def test_moving_is_that_of_timedelta(moment: datetime, amount: int, unit: str) -> None:
    moment = moment.replace(microsecond=0)
    expected = moment + timedelta(**{f"{unit}s": amount})
    moved = datetimes.add(_parsed(moment.isoformat() + "Z"), Decimal(amount), unit)
    assert str(moved) == expected.isoformat() + "Z"


@given(st.dates(), st.integers(-2000, 2000))
def test_months_end_inside_the_month(day: object, months: int) -> None:
    moved = datetimes.add(_parsed(str(day), "date"), Decimal(months), "month")
    if moved is not None:
        assert parse_temporal(str(moved), "date") == moved


@pytest.mark.parametrize(
    "text",
    ["", "2020-00", "2020-02-30", "20200101", "2020-1-1", "2020-01-01T24:00", "\uff12\uff10\uff12\uff10", "2020" * 20],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_temporal(text, "dateTime") is None


@pytest.mark.parametrize(
    ("unit", "factor", "base"),
    [
        ("mg/dL", "10", "g.m-3"),
        ("mmol/L", "1", "m-3.mol"),
        ("kg/m2", "1000", "g.m-2"),
        ("10*3/uL", "1000000000000", "m-3"),
        ("[lb_av]", "453.59237", "g"),
        ("[in_i]", "0.0254", "m"),
        ("/min", "0.01666666666666666666666666666666666666667", "s-1"),
        ("{beats}/min", "0.01666666666666666666666666666666666666667", "s-1"),
        ("mL/min/{1.73_m2}", None, "m3.s-1"),
        ("%", "0.01", "1"),
        ("m[Hg]", "133322000", "g.m-1.s-2"),
        ("(mg/L)/(g/L)", "0.001", "1"),
        ("ug/kg/h", None, "s-1"),
        ("[iU]/L", "1000", "[iU].m-3"),
        ("k[IU]/L", "1000000", "[iU].m-3"),
        ("U/L", None, "m-3.mol.s-1"),
        ("meq/L", "1", "m-3.mol"),
        ("1", "1", "1"),
        ("{score}", "1", "1"),
        ("m/s2", "1", "m.s-2"),
        ("cm[H2O]", "98066.5", "g.m-1.s-2"),
        ("pg", "0.000000000001", "g"),
        ("Pa", "1000", "g.m-1.s-2"),
        ("dam", "10", "m"),
        ("cd", "1", "cd"),
        ("min", "60", "s"),
        ("a", "31557600", "s"),
    ],
)
def test_units(unit: str, factor: str | None, base: str) -> None:
    found = canonical(Decimal(1), unit)
    assert found is not None
    assert found[1] == base
    assert factor is None or found[0] == Decimal(factor)


@pytest.mark.parametrize(
    "unit", ["", " ", "foo", "mg/", "m//s", "(m", "m)", "k%", "[foo]", "m^2", "mg dL", "m2147483648", "0", "m" * 200]
)
def test_what_is_no_unit(unit: str) -> None:
    assert analyse(unit) is None


def test_every_row_of_the_unit_table_is_defined_by_others() -> None:
    for code in UNITS:
        assert analyse(code) is not None, code


@given(st.text("mgLsd[]{}()./*^0123456789-+%k ", max_size=20))
def test_any_text_as_a_unit(unit: str) -> None:
    found = canonical(Decimal("1.5"), unit)
    assert found is None or found[0] != 0


@given(
    st.decimals(min_value=-1000, max_value=1000, places=3),
    st.sampled_from(["mg/dL", "mmol/L", "[lb_av]", "min", "Cel"]),
)
def test_conversion_is_monotonic(value: Decimal, unit: str) -> None:
    low, high = canonical(value, unit), canonical(value + 1, unit)
    assert low is not None
    assert high is not None
    assert low[0] < high[0]


@pytest.mark.parametrize(
    ("content", "good"),
    [
        ("text", True),
        ("<p>a <b>b</b></p><table border='1'><tr><td colspan='2'>x</td></tr></table>", True),
        ("<img src='data: image/png;base64,AAAA' alt='x'/>", True),
        ("<a href='#x'>a</a><a href='https://x'>b</a><a href='Patient/1'>c</a>", True),
        ("", False),
        (" \n ", False),
        ("<script>alert(1)</script>", False),
        ("<p onclick='x()'>a</p>", False),
        ("<a href='javascript:x'>a</a>", False),
        ("<a href='JaVaScRiPt:x'>a</a>", False),
        ("<a href='data:text/html,x'>a</a>", False),
        ("<img src='javascript:x'/>", False),
        ("<iframe src='https://x'/>", False),
        ("<p>unclosed", False),
        ("&nbsp;", False),
        ("<object/>text", False),
        ("<x:p xmlns:x='urn:x'>a</x:p>", False),
    ],
)
def test_narratives(content: str, good: bool) -> None:
    assert is_narrative(XHTML.format(content)) is good
    assert is_harmless(XHTML.format(content)) is (good or not content.strip())


def test_formatting_that_is_out_of_date_does_no_harm() -> None:
    for content in (
        "<u>a</u>",
        "<a target='_blank' href='#a'>a</a>",
        "<font color='red'>a</font>",
        "<p data-x='1'>a</p>",
    ):
        assert is_harmless(XHTML.format(content))
        assert not is_narrative(XHTML.format(content))
    for content in (
        "<style>p {}</style>",
        "<form action='javascript:x'/>",
        "<SCRIPT/>",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
    ):
        assert not is_harmless(XHTML.format(content))


def test_narratives_bring_no_entities_and_no_other_root() -> None:
    assert not is_narrative('<!DOCTYPE div [<!ENTITY a "b">]>' + XHTML.format("&a;"))
    assert not is_narrative("<div>no namespace</div>")
    assert not is_narrative('<p xmlns="http://www.w3.org/1999/xhtml">a</p>')
    assert not is_narrative(XHTML.format("a" * 2_000_000))
