"""The features of an episode's risk: what the twin says of a day and the week before it, by the twin's own names.

Deviations from the person's own baseline (robust z) of the day and their mean over seven days, and the level of symptoms between
questionnaires. Everything is known at the end of the day; a deviation that the twin does not tell is missing, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np

from workers.twin.arrays import Floats
from workers.twin.digest import Digest

CODES: Final = (
    "sleep-duration", "sleep-midpoint", "sleep-efficiency", "steps", "activity-mean", "resting-heart-rate",
    "relative-amplitude", "sleep-regularity-index",
)  # fmt: skip
SYMPTOMS: Final = ("phq-9", "gad-7")
WEEK: Final = 7
LEAST: Final = 3
"""Days with a deviation that a mean over the week needs."""

CLIP: Final = 12.0
NAMES: Final = (
    *(f"{code}-deviation" for code in CODES),
    *(f"{code}-deviation-week" for code in CODES),
    *(f"{name}-trend" for name in SYMPTOMS),
)


def features(told: Mapping[date, Digest], day: date) -> Floats:
    """Return the features (NAMES) of a day from what the daybook keeps of the twin's states."""
    week = [_deviations(told.get(day - timedelta(days=back))) for back in range(WEEK)]
    of_day = [week[0].get(code, np.nan) for code in CODES]
    of_week = [_mean([each[code] for each in week if code in each]) for code in CODES]
    levels = {each.name: each.value for each in told[day].symptoms} if day in told else {}
    return np.array([*of_day, *of_week, *(levels.get(name, np.nan) for name in SYMPTOMS)], np.float64)


def _deviations(found: Digest | None) -> dict[str, float]:
    if found is None:
        return {}
    return {each[0]: float(np.clip(each[5], -CLIP, CLIP)) for each in found.against}


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if len(values) >= LEAST else float("nan")
