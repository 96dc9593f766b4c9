"""Which expressions are conditions: those that carry an unknown on, of numbers that can be compared."""

from __future__ import annotations

import pytest

from workers.rules.expression import NotAllowed, compiled, quantity

UNITS = {"a": None, "b": None, "sleep": "min", "steps": "{steps}", "pulse": "/min"}


@pytest.mark.parametrize(
    "text",
    [
        "%a", "%a and %b", "(%a or %b).not()", "%a implies %b", "%a xor %b", "%sleep < 300 'min'", "%sleep <= 5 'h'",
        "%steps > 100", "%sleep * 2 < 10 'h'", "-%steps < 1", "%sleep / %steps > 0", "%sleep + 5 'min' > 1 'h'", "true and %a",
        "%a or %steps != 3",
    ],
)  # fmt: skip
def test_a_condition(text: str) -> None:
    compiled(text, UNITS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%a.empty()", "other functions"), ("%a.exists() and %b", "other functions"), ("%sleep", "compare"), ("%a = %b", "numbers"),
        ("iif(%a, true, false)", "other functions"), ("%sleep and %a", "true or false"), ("%a > 3", "numbers"),
        ("%c", "no criterion"), ("%sleep < 300 'kg'", "different things"), ("%sleep < 300", "different things"),
        ("%sleep < 3 hours", "UCUM"), ("%sleep < 3 'spoon'", "UCUM"), ("%a & %b", "missing"), ("%sleep ~ 3 'min'", "missing"),
        ("%resource", "no criterion"), ("a.b", "other functions"), ("{} or %a", "other functions"), ("%a | %b", "other functions"),
        ("%a and", "FHIRPath"), ("%a is Boolean", "other functions"), ("%sleep * %pulse + 1 > 2", "multiplied"),
        ("'x' = 'x'", "stand in a condition"), ("today() > @2026-01-01", "other functions"), ("%a" + " and %a" * 200, "characters"),
    ],
)  # fmt: skip
def test_what_is_none(text: str, says: str) -> None:
    with pytest.raises(NotAllowed, match=says):
        compiled(text, UNITS)


def test_three_values() -> None:
    both = compiled("%a and %b", UNITS)
    assert both.holds({"a": True, "b": True}) is True
    assert both.holds({"a": True, "b": None}) is None
    assert both.holds({"a": None, "b": False}) is False
    less = compiled("%sleep < 5 'h'", UNITS)
    assert less.holds({"sleep": quantity(299.5, "min")}) is True
    assert less.holds({"sleep": None}) is None
