"""The formulas against values computed by others: depresjon recordings by definition and by pyActigraphy, and limits."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

from tests.shared_data import shared
from workers.twin import rhythm, sleep

NAMES = ("condition_1", "condition_5", "control_10", "control_2")
MINUTES = 14 * 1440


@pytest.fixture(scope="module", params=NAMES)
def recorded(request):
    """Counts of one recording, the same on a grid of local days, and the reference values."""
    name = request.param
    path = shared("depresjon") / name.split("_")[0] / f"{name}.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))[:MINUTES]
    counts = np.array([float(row["activity"]) for row in rows])
    clock = rows[0]["timestamp"][11:16]
    lead = int(clock[:2]) * 60 + int(clock[3:])
    padded = np.concatenate((np.full(lead, np.nan), counts, np.full(-(lead + len(counts)) % 1440, np.nan)))
    reference = json.loads((shared("actigraphy-reference") / "reference.json").read_text())[name]
    return counts, padded.reshape(-1, 1440), reference


def test_rhythm_by_definition(recorded):
    _, days, reference = recorded
    hours = rhythm.hourly(days.reshape(-1))
    profile = rhythm.average_day(days)
    l5 = rhythm.extreme_window(profile, 5, lowest=True).level
    m10 = rhythm.extreme_window(profile, 10, lowest=False).level
    wave = rhythm.cosinor(days)
    found = {
        "IS_np_var_ratio": rhythm.interdaily_stability(hours),
        "IV_np": rhythm.intradaily_variability(hours),
        "L5": l5,
        "M10": m10,
        "RA": rhythm.relative_amplitude(l5, m10),
        "mesor": wave.mesor,
        "amp": wave.amplitude,
        "acrophase_h": wave.acrophase,
    }
    for key, value in found.items():
        assert value == pytest.approx(reference[key], abs=1e-6), key


def test_sleep_scorings(recorded):
    counts, _, reference = recorded
    for key, scored in (
        ("CK_sleepfrac", sleep.cole_kripke(counts)),
        ("Sadeh_sleepfrac", sleep.sadeh(counts)),
        ("Scripps_sleepfrac", sleep.scripps(counts)),
    ):
        assert np.count_nonzero(scored == 1) / len(counts) == pytest.approx(reference[key], abs=1e-6), key
    scored = np.nan_to_num(sleep.scripps(counts)).reshape(-1, 1440)
    assert rhythm.sleep_regularity_index(scored) == pytest.approx(reference["SRI_Scripps"], abs=1e-6)


def test_pyactigraphy_is_inflated_by_its_degrees_of_freedom(recorded):
    counts, days, reference = recorded
    n = len(counts) / 60
    hours = rhythm.hourly(days.reshape(-1))
    inflated = rhythm.interdaily_stability(hours) * (24 / 23) / (n / (n - 1))
    if (
        int(np.isnan(days[0]).sum()) % 60
    ):  # it sums partial hours where a recording begins within one: another difference
        assert inflated != pytest.approx(reference["IS_60"], abs=1e-6)
        return
    assert inflated == pytest.approx(reference["IS_60"], abs=1e-6)
    assert rhythm.intradaily_variability(hours) * (n - 1) / n == pytest.approx(reference["IV_60"], abs=1e-6)


def test_limits_of_a_sine():
    wave = 100 + 50 * np.sin(2 * np.pi * np.arange(14 * 1440) / 1440)
    hours = rhythm.hourly(wave)
    assert rhythm.interdaily_stability(hours) == pytest.approx(1)
    assert rhythm.intradaily_variability(rhythm.hourly(50 * np.sin(np.arange(14400) / 14400 * 2 * np.pi))) < 0.01
    assert rhythm.sleep_regularity_index((wave > 101).astype(float).reshape(-1, 1440)) == 100
    fit = rhythm.cosinor(wave.reshape(-1, 1440))
    assert fit == pytest.approx((100, 50, 6))


def test_limits_of_noise():
    noise = np.random.default_rng(1).normal(100, 20, 60 * 24 * 400)
    hours = rhythm.hourly(noise)
    assert rhythm.intradaily_variability(hours) == pytest.approx(2, abs=0.06)
    assert rhythm.interdaily_stability(hours) == pytest.approx(1 / 400, abs=0.003)
    coin = (np.random.default_rng(2).random((60, 1440)) < 0.5).astype(float)
    assert rhythm.sleep_regularity_index(coin) == pytest.approx(0, abs=1.5)


def test_limits_of_a_square():
    square = np.tile(np.where((np.arange(1440) >= 480) & (np.arange(1440) < 1320), 200.0, 0.0), (5, 1))
    profile = rhythm.average_day(square)
    l5, m10 = (rhythm.extreme_window(profile, h, lowest=h == 5) for h in (5, 10))
    assert (l5.level, m10.level, rhythm.relative_amplitude(l5.level, m10.level)) == (0, 200, 1)
    assert (l5.onset, m10.onset) == (0, 8)


def test_missing_hours_stay_missing():
    wave = 100 + 50 * np.sin(2 * np.pi * np.arange(7 * 1440) / 1440)
    wave[1980:3000] = np.nan
    hours = rhythm.hourly(wave)
    assert np.isnan(hours).sum() > 10
    assert rhythm.interdaily_stability(hours) == pytest.approx(1, abs=0.05)
    assert rhythm.cosinor(wave.reshape(-1, 1440)) == pytest.approx((100, 50, 6))
    assert np.isnan(rhythm.interdaily_stability(np.full(48, np.nan)))
    assert np.isnan(rhythm.intradaily_variability(np.full(48, 3.0)))


def test_scoring_needs_the_whole_window():
    counts = np.zeros(60)
    counts[30] = np.nan
    scored = sleep.cole_kripke(counts, rescored=False)
    assert np.isnan(scored[[0, 3, 26, 30, 34, 56, 59]]).all()
    assert (scored[[4, 25, 35, 55]] == 1).all()
    assert sleep.cole_kripke(counts)[35] == 0  # rescoring takes what is not known for wake


def test_webster_rules():
    def scoring(*stretches):
        return np.concatenate([np.full(n, state, bool) for n, state in stretches])

    after = sleep.webster(scoring((4, False), (9, True)))
    assert after.tolist() == [False] * 5 + [True] * 8
    assert sleep.webster(scoring((10, False), (9, True))).sum() == 6
    assert sleep.webster(scoring((15, False), (9, True))).sum() == 5
    assert sleep.webster(scoring((10, False), (6, True), (10, False))).sum() == 0
    assert sleep.webster(scoring((10, False), (7, True), (10, False))).sum() == 4
    assert sleep.webster(scoring((20, False), (10, True), (20, False))).sum() == 0
    assert sleep.webster(scoring((3, False), (1, True), (3, False))).sum() == 1
