"""Figures over many people that tell of none: one number a person, groups, and small groups suppressed.

A group of fewer than 11 is hidden. Where hidden groups could be worked out from the total and the shown ones, that is when
only one is hidden or all hidden ones together are fewer than 11, the smallest shown group is hidden too, until they cannot
(complementary suppression; CMS cell size policy). Figures are rounded to the feature's resolution, extremes are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from workers.twin.arrays import median
from workers.twin.daybook import Page
from workers.twin.features import BY_CODE, Feature

LEAST: Final = 11
LEAST_DAYS: Final = 3
"""Days with a number that a person needs in the window."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One group: how many people, or None when that is hidden; then nothing else is said either."""

    group: str
    people: int | None
    median: float | None = None
    lower: float | None = None
    upper: float | None = None


def of_person(pages: Iterable[Page], feature: Feature) -> float | None:
    """Return the median of a person's days, None when too few have a number."""
    values = [
        number[1] for page in pages for number in page.numbers if number[0] == feature.code and number[1] is not None
    ]
    if len(values) < LEAST_DAYS:
        return None
    return median(np.array(values))


def cells(feature: Feature, by_group: Mapping[str, list[float]]) -> tuple[Cell, list[Cell]]:
    """Return the cell of everybody and those of the groups, suppressed."""
    everybody = [value for values in by_group.values() for value in values]
    if len(everybody) < LEAST:
        return Cell("all", None), [Cell(group, None) for group in sorted(by_group)]
    hidden = suppressed({group: len(values) for group, values in by_group.items()})
    shown = [
        Cell(group, None) if group in hidden else _cell(feature, group, values)
        for group, values in sorted(by_group.items())
    ]
    return _cell(feature, "all", everybody), shown


def suppressed(counts: Mapping[str, int]) -> set[str]:
    """Return the groups to hide when their total is shown."""
    hidden = {group for group, count in counts.items() if count < LEAST}
    rest = sorted((count, group) for group, count in counts.items() if group not in hidden)
    while hidden and rest and (len(hidden) < 2 or sum(counts[group] for group in hidden) < LEAST):
        hidden.add(rest.pop(0)[1])
    return hidden


def _cell(feature: Feature, group: str, values: list[float]) -> Cell:
    quartiles = np.percentile(np.array(values), (25, 50, 75)) / feature.resolution
    low, middle, high = (round(float(np.round(each)) * feature.resolution, 4) for each in quartiles)
    return Cell(group, len(values), middle, low, high)


def age_group(born: date | None, on: date) -> str:
    """Return the decade of an age, `unknown` without a date of birth; from 90 on one group."""
    if born is None:
        return "unknown"
    age = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return "90+" if age >= 90 else f"{max(0, age) // 10 * 10}-{max(0, age) // 10 * 10 + 9}"


COUNTED: Final = tuple(
    code
    for code, feature in BY_CODE.items()
    if not feature.circular and feature.window < 14 and feature.domain != "wear"
)
"""Features of which figures are given; hours of the clock have no quartiles."""
