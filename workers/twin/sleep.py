"""Sleep and wake from activity counts of one-minute epochs: Cole-Kripke, Sadeh, Scripps, and Webster's rescoring.

Each was fitted to the counts of one kind of device; the scale says what a count must be multiplied by, and results on
other devices are estimates. 1 is asleep, 0 awake, NaN unknown: every minute of the window must have been measured.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from workers.twin.arrays import Bools, Floats, runs

ACTIWATCH = 1 / 30
"""Cole-Kripke weighs the mean count of the 2 s epochs of a minute; an Actiwatch sums 30 of them."""

COLE_KRIPKE = 0.001 * np.array([106, 54, 58, 76, 230, 74, 67, 0, 0])
SCRIPPS_PAST = (0.0064, 0.0074, 0.0112, 0.0112, 0.0118, 0.0118, 0.0128, 0.0188, 0.0280, 0.0664)
SCRIPPS = 0.204 * np.array([*SCRIPPS_PAST, 0.0300, 0.0112, 0.0100, 0, 0, 0, 0, 0, 0, 0, 0])
"""Weights around the minute that is scored, padded to be symmetric: a window is complete on both sides or not at all."""

AFTER_WAKE = ((4, 1), (10, 3), (15, 4))
BETWEEN_WAKE = ((10, 6), (20, 10))
"""Webster: after so many minutes awake, so many minutes asleep; between two such stretches awake, so short a sleep."""


def cole_kripke(counts: Floats, scale: float = ACTIWATCH, *, rescored: bool = True) -> Floats:
    """Return sleep by D = 0.001 (106 a_-4 + 54 a_-3 + 58 a_-2 + 76 a_-1 + 230 a_0 + 74 a_1 + 67 a_2) < 1.

    Cole, Kripke et al. 1992, Sleep 15:461; fitted to zero-crossing counts of a wrist actillume, weights for the mean of
    2 s epochs. Rescoring takes unknown minutes for wake, as pyActigraphy does: it never adds sleep.
    """
    scored = _below_one(counts * scale, COLE_KRIPKE)
    return np.where(np.isnan(scored), np.nan, webster(scored == 1)) if rescored else scored


def scripps(counts: Floats) -> Floats:
    """Return sleep by the Scripps Clinic weights over t-10..t+2, Kripke et al. 2010, J Sleep Res 19:612; Actiwatch counts."""
    return _below_one(counts, SCRIPPS)


def sadeh(counts: Floats) -> Floats:
    """Return sleep by PS = 7.601 - 0.065 mean_11 - 1.08 NAT - 0.056 SD_6 - 0.703 ln(1 + a_+1) > 0.

    Sadeh, Sharkey and Carskadon 1994, Sleep 17:201; AMA-32 counts. mean over t-5..t+5, NAT the minutes there with
    50 < a < 100, SD (n - 1) over t-5..t; the logarithm is of the next minute, as in the reference values.
    """
    out = np.full(len(counts), np.nan)
    if len(counts) < 11:
        return out
    window = sliding_window_view(counts, 11)
    near = ((window > 50) & (window < 100)).sum(axis=1)
    deviation = window[:, :6].std(axis=1, ddof=1)
    score = 7.601 - 0.065 * window.mean(axis=1) - 1.08 * near - 0.056 * deviation - 0.703 * np.log1p(window[:, 6])
    out[5:-5] = np.where(np.isnan(score), np.nan, score > 0)
    return out


def _below_one(counts: Floats, weights: Floats) -> Floats:
    """Return 1 where the weighted sum around the minute is below 1, NaN where the window is not complete."""
    out = np.full(len(counts), np.nan)
    half = len(weights) // 2
    if len(counts) < len(weights):
        return out
    index = np.convolve(counts, weights[::-1], "valid")
    out[half:-half] = np.where(np.isnan(index), np.nan, index < 1)
    return out


def webster(asleep: Bools) -> Bools:
    """Return the scoring after Webster et al. 1982, Sleep 5:389: the first minutes after long wake, and short islands, wake.

    All five rules look at the scoring as it was. Rules 1 to 3 need as many minutes asleep as they rescore.
    """
    out = asleep.copy()
    slept, woke = runs(asleep)
    wake_start, wake_end = runs(~asleep)
    before = np.zeros(len(asleep) + 1, np.int64)
    before[wake_end] = wake_end - wake_start
    for wake, sleep in AFTER_WAKE:
        for start in slept[(before[slept] >= wake) & (woke - slept >= sleep)]:
            out[start : start + sleep] = False
    for wake, sleep in BETWEEN_WAKE:
        long = wake_end - wake_start >= wake
        ends, starts = wake_end[long][:-1], wake_start[long][1:]
        for end, start in zip(ends, starts, strict=True):
            if start - end <= sleep:
                out[end:start] = False
    return out


def not_worn(counts: Floats, longest: int = 180) -> list[tuple[int, int]]:
    """Return the stretches of at least `longest` minutes of nothing but zeros: longer than sleepers lie that still."""
    start, end = runs(counts == 0)
    long = end - start >= longest
    return list(zip(start[long].tolist(), end[long].tolist(), strict=True))
