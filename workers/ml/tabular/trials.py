"""Trials of antipsychotics: response at week 8 from the first two weeks, inside the trials and across studies.

Five risperidone trials (R package Surrogate: change of the PANSS total at weeks 1, 2, 4, 6, 8 and whether it fell by 20 % or
more), and the NIMH schizophrenia collaborative study (IMPS item 79 at weeks 0, 1, 3, 6). Completers only: who left says nothing
here, and leaving is no accident.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from workers.ml.evaluate.rows import Rows
from workers.twin.arrays import Floats

NAMES: Final = ("change-week-1", "change-week-2")
ARM: Final = "arm"
EARLY: Final = "early-change-sd"
BAND: Final = 3.5
"""IMPS item 79 (severity, 1 to 7) at or below which the NIMH study's patients count as better."""


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float:
    return float(text) if text not in ("", "NA") else float("nan")


def risperidone(folder: Path, weeks: int = 8) -> Rows:
    """Return one row a completer: arm (1 risperidone), change of PANSS at weeks 1 and 2, y = response; who: the investigator."""
    found = []
    for row in _table(folder / "Surrogate_Schizo_PANSS.csv"):
        numbers = [_number(row[key]) for key in ("Treat", "Week1", "Week2", f"Week{weeks}_bin")]
        if not np.isnan(numbers).any():
            found.append((*numbers, int(float(row["InvestId"]))))
    data = np.array(found)
    return Rows(data[:, :3], data[:, 3], data[:, 4].astype(np.int64), np.zeros(len(data), np.int64), (ARM, *NAMES))


OUTCOME: Final = ("imps-79-baseline", "drug", "imps-79-change-week-1")


def outcome(folder: Path) -> Rows:
    """Return one row a completer of the NIMH study: IMPS item 79 at baseline, drug (1) or placebo, change of the first week;
    y = at most BAND at week 6."""
    people: dict[str, dict[int, float]] = {}
    drug: dict[str, float] = {}
    for row in _table(folder / "Rdatasets_schizophrenia.csv"):
        people.setdefault(row["id"], {})[round(float(row["Week"]))] = _number(row["imps79"])
        drug[row["id"]] = _number(row["TxDrug"])
    kept = [(name, weeks) for name, weeks in people.items() if {0, 1, 6} <= weeks.keys()]
    x = np.array([[weeks[0], drug[name], weeks[1] - weeks[0]] for name, weeks in kept])
    y = np.array([float(weeks[6] <= BAND) for _, weeks in kept])
    return Rows(x, y, np.arange(len(kept)), np.zeros(len(kept), np.int64), OUTCOME)


def nimh(folder: Path) -> tuple[Floats, Floats, Floats]:
    """Return the change of the first week, drug or placebo, and y, for who was learned elsewhere."""
    rows = outcome(folder)
    return rows.x[:, 2], rows.x[:, 1], rows.y


def in_spreads(change: Floats, reference: Floats) -> Floats:
    """Return changes in units of the reference's standard deviation, so that two scales can be compared."""
    return np.asarray(change / reference.std(), np.float64)
