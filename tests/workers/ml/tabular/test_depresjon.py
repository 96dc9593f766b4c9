"""Depresjon as it is published: who is in which group."""

from __future__ import annotations

from collections import Counter

from tests.shared_data import shared
from workers.ml.tabular import depresjon


def test_groups_are_those_of_the_publication() -> None:
    groups = depresjon.groups(shared("depresjon"))
    by_sex = Counter((name.partition("_")[0], sex) for name, (sex, _) in groups.items())
    assert by_sex == {
        ("condition", "women"): 10, ("condition", "men"): 13, ("control", "women"): 20, ("control", "men"): 12,
    }  # fmt: skip
    assert {age for _, age in groups.values()} <= {"under 40", "40 to 59", "60 and more", "unknown"}
