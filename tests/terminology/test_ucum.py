"""Units in clinical use against conversion factors of the UCUM specification and of common tables."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminology.ucum import canonical, convert, is_code

# value, unit, the same in another unit
SAME = [
    ("1", "kg", "1000", "g"),
    ("1", "[lb_av]", "453.59237", "g"),
    ("1", "[in_i]", "2.54", "cm"),
    ("1", "[ft_i]", "0.3048", "m"),
    ("120", "mm[Hg]", "15.99864", "kPa"),
    ("10", "cm[H2O]", "0.980665", "kPa"),
    ("37", "Cel", "98.6", "[degF]"),
    ("37", "Cel", "310.15", "K"),
    ("-40", "[degF]", "-40", "Cel"),
    ("5", "mmol/L", "0.005", "mol/L"),
    ("100", "mg/dL", "1", "g/L"),
    ("1", "ng/mL", "1", "ug/L"),
    ("500", "ug", "0.5", "mg"),
    ("4", "10*3/uL", "4", "10*9/L"),
    ("7", "%", "0.07", "1"),
    ("30", "mg/g", "0.03", "1"),
    ("60", "{beats}/min", "1", "/s"),
    ("60", "/min", "1", "Hz"),
    ("8000", "{steps}", "8000", "1"),
    ("1", "mL/min/{1.73_m2}", "60", "mL/h"),
    ("24.5", "kg/m2", "2.45", "g/cm2"),
    ("1", "d", "24", "h"),
    ("1", "wk", "7", "d"),
    ("12", "mo", "1", "a"),
    ("1", "a", "365.25", "d"),
    ("1", "U/L", "1", "mU/mL"),
    ("1", "[IU]/L", "1000", "m[IU]/L"),
    ("1", "kcal", "4.184", "kJ"),
    ("100", "mL/(8.h)", "12.5", "mL/h"),
    ("1", "dyn.s/cm5", "1", "dyn.s.cm-5"),
    ("1", "l", "1", "L"),
    ("1", "[foz_us]", "29.5735295625", "mL"),
    ("2", "mg{creat}", "2", "mg"),
    ("1", "10*-3", "0.001", "1"),
]


@pytest.mark.parametrize(("value", "code", "other", "wanted"), SAME)
def test_the_same_quantity_in_two_units(value: str, code: str, other: str, wanted: str) -> None:
    assert convert(Decimal(value), code, wanted) == pytest.approx(Decimal(other), rel=Decimal("1e-12"))
    assert convert(Decimal(other), wanted, code) == pytest.approx(Decimal(value), rel=Decimal("1e-12"))
    assert canonical(Decimal(value), code)[1] == canonical(Decimal(other), wanted)[1]


def test_canonical_values_are_in_base_units() -> None:
    assert canonical(Decimal("72.5"), "kg") == (Decimal(72500), "g")
    assert canonical(Decimal(37), "Cel") == (Decimal("310.15"), "K")
    assert canonical(Decimal(1), "m/s2") == (Decimal(1), "m.s-2")
    assert canonical(Decimal(5), "{score}") == (Decimal(5), "1")


@pytest.mark.parametrize(
    ("code", "wanted"), [("mg", "mmol"), ("kg", "m"), ("mol", "1"), ("[iU]", "mg"), ("Cel", "m"), ("Hz", "Bq/s")]
)
def test_what_measures_different_things_is_not_converted(code: str, wanted: str) -> None:
    assert convert(Decimal(1), code, wanted) is None


@pytest.mark.parametrize(
    "code",
    ["", " ", "mmHg", "lbs", "kg m", "mg//dL", "(mg", "mg)", "m-", "{", "}", "mg{", "kk", "kkg", "h/", "Kg", "°C"],
)
def test_what_is_no_unit(code: str) -> None:
    assert not is_code(code)
    assert canonical(Decimal(1), code) is None
    assert convert(Decimal(1), code, "g") is None


def test_a_unit_that_is_made_to_be_large_is_no_unit() -> None:
    for code in ("(" * 500, "m" * 500, "10*99" + ".10*99" * 40, "m99999999", "/" * 60):
        assert canonical(Decimal(1), code) is None


@given(st.text("mgkLdh/.()-{}[]%1025*^ '", max_size=20))
def test_any_text_is_a_unit_or_not(code: str) -> None:
    found = canonical(Decimal(3), code)
    if found is not None:
        assert canonical(found[0], found[1])[1] == found[1]


@given(st.decimals(Decimal("0.001"), Decimal("100000"), places=3), st.sampled_from([row[1::2] for row in SAME]))
def test_there_and_back_again(value: Decimal, units: tuple[str, str]) -> None:
    code, wanted = units
    there = convert(value, code, wanted)
    assert there is not None
    back = convert(there, wanted, code)
    assert back is not None
    assert abs(back - value) < Decimal("1e-18")
