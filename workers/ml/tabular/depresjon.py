"""Depresjon (Garcia-Ceja et al. 2018): 23 people with depression and 32 controls, a minute count each, as tables.

The 34 features of a person: mean and SD over days of 16 daily ones, and IS and IV of hourly means over all days. Minutes are
local wall time: the hour that Oslo's clock skipped is missing in some recordings, and stays so.
"""

from __future__ import annotations

import csv
import gzip
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from workers.ml.evaluate.rows import Rows
from workers.twin.arrays import DAY_MINUTES, Floats

DAILY: Final = (
    "count-mean", "count-sd", "zero-share", "log-mean", "log-sd", "night-zero-share", "night-mean", "log-difference",
    "log-lag-1", "amplitude", "relative-amplitude-cosinor", "acrophase-cos", "acrophase-sin", "l5", "m10", "ra",
)  # fmt: skip
NAMES: Final = (*(f"{name} {part}" for part in ("mean", "sd") for name in DAILY), "is", "iv")
_NIGHT: Final = 6 * 60


def people(folder: Path) -> list[tuple[str, Floats]]:
    """Return name and whole days (d, 1440) of everybody, `days` of scores.csv at most; a minute that is missing is NaN."""
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        wanted = {row["number"]: int(row["days"]) for row in csv.DictReader(file)}
    return [(name, _days(next(folder.glob(f"*/{name}.csv.gz")), most)) for name, most in sorted(wanted.items())]


def groups(folder: Path) -> dict[str, tuple[str, str]]:
    """Return by name of a person sex and age band, of scores.csv (1 is a woman, 2 a man; bands of five years)."""
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["number"]: ({"1": "women", "2": "men"}.get(row["gender"], "unknown"), _band(row["age"])) for row in rows
    }


def _band(age: str) -> str:
    """Return the wider band that one of five years, such as `35-39`, lies in."""
    start = int(age[:2]) if age[:2].isdigit() else -1
    return "unknown" if start < 0 else "under 40" if start < 40 else "40 to 59" if start < 60 else "60 and more"


def _days(path: Path, most: int) -> Floats:
    days: dict[date, Floats] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            when = datetime.fromisoformat(row["timestamp"])
            minutes = days.setdefault(when.date(), np.full(DAY_MINUTES, np.nan))
            minutes[when.hour * 60 + when.minute] = float(row["activity"])
    whole = [day for _, day in sorted(days.items()) if np.isnan(day).sum() <= 60]
    return np.array(whole[:most])


def daily(day: Floats) -> Floats:
    """Return the 16 features of a day (1440 counts)."""
    known = day[~np.isnan(day)]
    logs = np.log1p(known)
    clock = np.flatnonzero(~np.isnan(day)) * (2 * np.pi / DAY_MINUTES)
    design = np.column_stack((np.ones(len(clock)), np.cos(clock), np.sin(clock)))
    mesor, cosine, sine = np.linalg.lstsq(design, logs, rcond=None)[0]
    amplitude = float(np.hypot(cosine, sine))
    night = day[:_NIGHT][~np.isnan(day[:_NIGHT])]
    centred = logs - logs.mean()
    spread = float((centred**2).sum())
    l5, m10 = _part(day, 300, most=False), _part(day, 600, most=True)
    return np.array(
        [
            known.mean(), known.std(), (known == 0).mean(), logs.mean(), logs.std(), (night == 0).mean(), night.mean(),
            np.abs(np.diff(logs)).mean(), (centred[1:] * centred[:-1]).sum() / spread if spread else 0.0,
            amplitude, amplitude / mesor if mesor else 0.0,
            cosine / amplitude if amplitude else 0.0, sine / amplitude if amplitude else 0.0,
            l5, m10, (m10 - l5) / (m10 + l5) if m10 + l5 else 0.0,
        ]
    )  # fmt: skip


def _part(day: Floats, minutes: int, *, most: bool) -> float:
    """Return the mean of the most, or least, active stretch of the day, around midnight too."""
    filled = np.where(np.isnan(day), np.nanmean(day), day)
    total = np.cumsum(np.concatenate(([0.0], filled, filled[: minutes - 1])))
    means = (total[minutes:] - total[:-minutes]) / minutes
    return float(means.max() if most else means.min())


def stability(days: Floats) -> tuple[float, float]:
    """Return IS and IV of hourly means over all days (the definition, population variances)."""
    minutes = days.reshape(-1, 60)
    known = (~np.isnan(minutes)).sum(axis=1)
    hours = np.where(known, np.nansum(minutes, axis=1) / np.maximum(known, 1), np.nanmean(days))
    centre, n = hours.mean(), len(hours)
    total = float(((hours - centre) ** 2).sum())
    profile = hours.reshape(-1, 24).mean(axis=0)
    return (
        n * float(((profile - centre) ** 2).sum()) / (24 * total),
        n * float((np.diff(hours) ** 2).sum()) / ((n - 1) * total),
    )


def by_person(found: list[tuple[str, Floats]]) -> Rows:
    """Return one row a person: the 34 features, y = 1 with depression."""
    features = []
    for _, days in found:
        each = np.array([daily(day) for day in days])
        features.append(np.concatenate((each.mean(axis=0), each.std(axis=0), stability(days))))
    y = np.array([float(name.startswith("condition")) for name, _ in found])
    return Rows(np.array(features), y, np.arange(len(y)), np.zeros(len(y), np.int64), NAMES)


def by_day(found: list[tuple[str, Floats]]) -> Rows:
    """Return one row a day: the 16 features, with the person that it is of."""
    x = np.array([daily(day) for _, days in found for day in days])
    who = np.repeat(np.arange(len(found)), [len(days) for _, days in found])
    y = np.array([float(found[w][0].startswith("condition")) for w in who.tolist()])
    return Rows(x, y, who.astype(np.int64), np.zeros(len(y), np.int64), DAILY)
