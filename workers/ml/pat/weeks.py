"""Weeks of minutes with the person that each is of, and the reference by which minutes are scaled; numpy only."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.ml.pat.shape import DAYS, MINUTES
from workers.twin.arrays import DAY_MINUTES, Floats

Singles = NDArray[np.float32]

_START = "00:00:00"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A person's full local days (days, 1440), and whether the person is of the group with depression."""

    person: str
    days: Floats
    depressed: bool

    def weeks(self) -> Singles:
        """Return every seven days in a row as counts, (n, 10080), a day apart; none when there are fewer."""
        starts = range(len(self.days) - DAYS + 1)
        return np.array([self.days[i : i + DAYS].reshape(-1) for i in starts], np.float32).reshape(-1, MINUTES)


class Transform(StrEnum):
    """What is done to counts before they are scaled: nothing in the paper, the logarithm in ours."""

    NONE = "none"
    LOG1P = "log1p"

    def of(self, counts: Singles) -> Singles:
        """Return the transformed counts."""
        return np.log1p(counts.astype(np.float64)).astype(np.float32) if self is Transform.LOG1P else counts


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Mean and SD of each of the 10,080 minutes over the weeks of some people; serving one person needs them stored."""

    mean: Singles
    sd: Singles
    transform: Transform = Transform.LOG1P

    @classmethod
    def of(cls, people: Iterable[Recorded], transform: Transform = Transform.LOG1P) -> Reference:
        """Return the reference of the people's weeks; a minute at which nobody moves has SD 1, as in StandardScaler."""
        weeks = transform.of(np.concatenate([each.weeks() for each in people]))
        if not len(weeks):
            raise ValueError("nobody of these people has seven full days")
        spread = weeks.std(axis=0)
        return cls(weeks.mean(axis=0), np.where(spread > 0, spread, 1).astype(np.float32), transform)

    def scale(self, weeks: Singles) -> Singles:
        """Return weeks of counts (n, 10080) in SD from the mean of each minute."""
        return ((self.transform.of(weeks) - self.mean) / self.sd).astype(np.float32)


def depresjon(folder: Path) -> list[Recorded]:
    """Return the people of the Depresjon data set: of each the first `days` full days that scores.csv names.

    Timestamps are local wall time; a day with an hour less or more (30 March 2003) is not a full day.
    Raises FileNotFoundError when the folder is not the data set.
    """
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["number"], int(row["days"])) for row in csv.DictReader(file)]
    return [_recorded(folder, name, days) for name, days in rows]


def _recorded(folder: Path, name: str, days: int) -> Recorded:
    group = name.split("_")[0]
    text = gzip.decompress((folder / group / f"{name}.csv.gz").read_bytes()).decode()
    stamps, counts = [], []
    for row in csv.DictReader(io.StringIO(text)):
        stamps.append(row["timestamp"])
        counts.append(float(row["activity"]))
    full = _full_days(stamps, counts)
    return Recorded(name, full[:days], group == "condition")


def _full_days(stamps: Sequence[str], counts: Sequence[float]) -> Floats:
    """Return the days of exactly 1,440 minutes in a row from midnight on, until the first gap."""
    first = next(i for i, stamp in enumerate(stamps) if stamp.endswith(_START))
    out = []
    for start in range(first, len(stamps) - DAY_MINUTES + 1, DAY_MINUTES):
        if not stamps[start].endswith(_START) or stamps[start][:10] != stamps[start + DAY_MINUTES - 1][:10]:
            break
        out.append(counts[start : start + DAY_MINUTES])
    return np.array(out, np.float64).reshape(-1, DAY_MINUTES)
