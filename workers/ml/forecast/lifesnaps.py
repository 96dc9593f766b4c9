"""LifeSnaps (Yfantidou et al. 2022): daily summaries of 71 people's watches with daily answers, as consecutive days."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from workers.ml.forecast.windows import columns
from workers.twin.arrays import Floats

SIGNALS: Final[Mapping[str, tuple[str, float]]] = {
    "resting-heart-rate-reported": ("resting_hr", 0.0),
    "steps": ("steps", 500.0),
    "sleep-duration": ("minutesAsleep", 0.0),
    "hrv-rmssd": ("rmssd", 0.0),
}
"""The twin's name of each signal: its column, and what a day must exceed (few steps: the watch lay on the table)."""

ANSWERS: Final[Mapping[str, tuple[str, float]]] = {"tired": ("TIRED", -1.0), "tense": ("TENSE/ANXIOUS", -1.0)}
LEAST: Final = 14
"""Days that a person needs."""


def people(folder: Path, wanted: Mapping[str, tuple[str, float]]) -> list[tuple[date, Floats]]:
    """Return first day and days (d, s) of everybody with any of the wanted columns."""
    known: dict[str, dict[date, list[float]]] = {}
    with gzip.open(folder / "daily.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = [_value(row[column], least) for column, least in wanted.values()]
            if any(value == value for value in values):  # NaN is not itself
                known.setdefault(row["id"], {})[date.fromisoformat(row["date"])] = values
    found = [columns(days, len(wanted)) for _, days in sorted(known.items()) if len(days) >= LEAST]
    return [each for each in found if each is not None]


def _value(text: str, least: float) -> float:
    return float(text) if text and float(text) > least else float("nan")
