"""LifeSnaps, rolling origin, people apart: the next day's resting heart rate and other signals, tired and tense as yes or no."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from workers.ml.evaluate.chance import by_person
from workers.ml.evaluate.metrics import auc, brier, calibration, coverage, pinball
from workers.ml.evaluate.rows import Fit, Fold, Rows, predicted, rolling
from workers.ml.forecast import lifesnaps
from workers.ml.forecast.conformal import adapted
from workers.ml.forecast.lstm import lstm
from workers.ml.forecast.models import ANSWERS, NUMBERS
from workers.ml.forecast.windows import MIDDLE, QUANTILES, rows_of
from workers.ml.tables.markdown import Tell, interval, made_by, number, prose, table
from workers.twin.arrays import Floats

ORIGINS: Final = tuple(
    day.toordinal()
    for day in (date(2021, 6, 14), date(2021, 7, 5), date(2021, 8, 1), date(2021, 11, 20), date(2021, 12, 15))
)
FOLDS: Final = 5
DECIMALS: Final[Mapping[str, int]] = {"steps": 0, "sleep-duration": 1}
UNITS: Final[Mapping[str, str]] = {
    "resting-heart-rate-reported": "beats a minute", "steps": "steps", "sleep-duration": "minutes", "hrv-rmssd": "ms",
}  # fmt: skip
BASELINES: Final = ("persistence", "moving mean of 7 days")


def splits(rows: Rows) -> Iterator[Fold]:
    """Yield the folds of every table here."""
    return rolling(rows, FOLDS, 0, ORIGINS)


def evaluate(sets: Path, work: Path, tell: Tell) -> str:
    """Return the page of LifeSnaps."""
    answers = dict(lifesnaps.SIGNALS) | dict(lifesnaps.ANSWERS)
    parts: list[str] = []
    for signal in lifesnaps.SIGNALS:
        parts += _of_number(signal, *backtest(sets, work, signal, tell)[1:])
    for answer in lifesnaps.ANSWERS:
        rows = rows_of(lifesnaps.people(sets / "lifesnaps", answers), list(answers), answer)
        parts += _of_answer(rows, answer, work, tell)
    return "\n".join(["# LifeSnaps: the next day", "", made_by("lifesnaps"), "", *_preface(), "", *parts])


def _preface() -> list[str]:
    return [
        prose(
            f"Daily summaries and answers of 71 people (Yfantidou et al. 2022). {FOLDS} parts of people at {len(ORIGINS)} origins "
            "in time: a model learns from other people's days before the origin and is tested on a person's days from there to "
            "the next origin. So nothing of the person and nothing of anybody's future was learned from; of the person it gets "
            "the days before. Intervals for a nominal 90 % adapt to the person (`workers/ml/forecast/conformal.py`); goal: 88 to "
            "92 % overall and at least 80 % for the 10th percentile person. A signal's LSTM is served only where its MAE is below "
            "that of persistence and of the moving mean."
        )
    ]


def backtest(sets: Path, work: Path, signal: str, tell: Tell) -> tuple[Rows, Rows, dict[str, Floats]]:
    """Return all rows of a signal, those that were tested, and the quantiles that each model gave of them."""
    signals = lifesnaps.SIGNALS
    rows = rows_of(lifesnaps.people(sets / "lifesnaps", signals), list(signals), signal)
    said, tested = {}, rows
    for name, fit in {**NUMBERS, "LSTM": lstm()}.items():
        tell(f"lifesnaps: {signal}, {name}")
        tested, said[name] = tested_rows(rows, fit, kept_at(work, signal, name))
    return rows, tested, said


def _of_number(signal: str, tested: Rows, said: Mapping[str, Floats]) -> list[str]:
    """Return the part about a number."""
    lines = [[name, *figures(tested, each, DECIMALS.get(signal, 2))] for name, each in said.items()]
    errors = {name: float(np.abs(tested.y - each[:, MIDDLE]).mean()) for name, each in said.items()}
    heads = (
        "model", "MAE", "pinball, mean of 5", "coverage", "10th percentile", "width",
        "adapted coverage", "10th percentile", "width",
    )  # fmt: skip
    best = min(errors[name] for name in BASELINES)
    skill = 1 - errors["LSTM"] / best
    verdict = "served" if skill > 0 else "not served: the better baseline is"
    return [
        f"## {signal} ({UNITS[signal]})", "", f"{len(tested.y)} days of {len(tested.people())} people.", "",
        table(heads, lines), "", f"LSTM against the better baseline: skill {number(skill)} (1 - MAE / MAE), {verdict}.", "",
    ]  # fmt: skip


def kept_at(work: Path, target: str, model: str) -> Path:
    """Return where predictions are kept; another code of what was run is another place."""
    folder = Path(lifesnaps.__file__).parent
    sources = b"".join((folder / f"{each}.py").read_bytes() for each in ("lifesnaps", "windows", "models", "lstm"))
    digest = hashlib.sha256(sources + repr((ORIGINS, FOLDS)).encode()).hexdigest()[:12]
    return work / f"lifesnaps-{target}-{model.replace(' ', '-')}-{digest}.npz"


def tested_rows(rows: Rows, fit: Fit, kept: Path) -> tuple[Rows, Floats]:
    """Return the rows that some fold tested, and what was said of them."""
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, said=predicted(rows, splits(rows), fit))
    with np.load(kept, allow_pickle=False) as stored:
        said: Floats = stored["said"]
    known = ~np.isnan(said.reshape(len(said), -1)[:, 0])
    return rows.where(known), said[known]


def figures(rows: Rows, said: Floats, decimals: int) -> list[str]:
    """Return MAE, pinball loss, coverage of the model's own 90 % band and of the adapted one."""
    low, high = said[:, 0], said[:, -1]
    own = coverage(rows.y, low, high, rows.who)
    told = coverage(rows.y, *adapted(low, high, rows.y, rows.who, rows.day), rows.who)
    losses = [pinball(rows.y, said[:, i], tau) for i, tau in enumerate(QUANTILES)]
    out = [
        number(float(np.abs(rows.y - said[:, MIDDLE]).mean()), decimals + 1),
        number(float(np.mean(losses)), decimals + 1),
    ]
    for each in (own, told):
        out += [number(each.overall), number(each.tenth), number(each.width, decimals)]
    return out


def _of_answer(rows: Rows, answer: str, work: Path, tell: Tell) -> list[str]:
    """Return the part about a yes or no."""
    lines = []
    for name, fit in {**ANSWERS, "LSTM": lstm(yes=True)}.items():
        tell(f"lifesnaps: {answer}, {name}")
        tested, said = tested_rows(rows, fit, kept_at(work, answer, name))
        area = by_person(auc, tested.y, said, tested.who, times=500)
        found = calibration(tested.y, said)
        lines.append([name, interval(area), number(brier(tested.y, said)), interval(found.slope, 2)])
    mean = float(tested.y.mean())
    return [
        f"## {lifesnaps.ANSWERS[answer][0]}, yes or no", "",
        prose(
            f"{len(tested.y)} answers of {len(tested.people())} people, {100 * mean:.1f} % yes; intervals draw whole people. "
            f"Brier of the mean: {number(mean * (1 - mean))}."
        ), "",
        table(("model", "AUC", "Brier", "calibration slope"), lines), "",
    ]  # fmt: skip
