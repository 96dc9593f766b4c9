"""Demo cohorts as rows: what the twin says of each day, and whether an episode that was put in lies in the days ahead.

A minute of computing for thirty patients, so rows are kept in a folder under what made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from workers.demo.generate import DAYS, PATIENTS, generate, truth
from workers.ml.evaluate.rows import Rows
from workers.ml.tabular import risk
from workers.twin.arrays import Floats, Ints
from workers.twin.block import gather
from workers.twin.codes import ALGORITHM_VERSION
from workers.twin.daybook import pages, touched
from workers.twin.digest import Digest, digest, read
from workers.twin.recording import Recording
from workers.twin.signals import Reading
from workers.twin.signals import read as read_signals
from workers.twin.state import booked_states
from workers.twin.zone import zone_of

END: Final = date(2026, 11, 21)
SETTLED: Final = 28
"""Days of data before a day counts: as many as a baseline looks back."""


class Days(NamedTuple):
    """Of each patient and day: features, patient, days to the onset and to the end of the episode (far away: none)."""

    x: Floats
    who: Ints
    day: Ints
    onset: Ints
    end: Ints


FAR: Final = 10_000


def cohort(seeds: Iterable[int], work: Path, patients: int = PATIENTS, days: int = DAYS) -> Days:
    """Return the days of the cohorts of some seeds; a person of another seed is another person."""
    parts = [_kept(seed, work, patients, days) for seed in seeds]
    return Days(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def ahead(found: Days, horizon: int, *, onsets: bool = False) -> Rows:
    """Return rows with y = an episode on any of the next `horizon` days.

    With `onsets` those who are in an episode are left out, and y = one begins. Days after an episode's end stay out: the demo has
    one episode a patient, and that it cannot come again is nothing to be learned.
    """
    begins = (found.onset >= 1) & (found.onset <= horizon)
    within = (found.onset <= horizon) & (found.end >= 1)
    kept = (found.onset >= 1) if onsets else (found.end >= 1)
    label = begins if onsets else within
    return Rows(found.x, label.astype(np.float64), found.who, found.day, risk.NAMES).where(kept)


def _kept(seed: int, work: Path, patients: int, days: int) -> Days:
    path = work / f"demo-{ALGORITHM_VERSION}-{seed}-{patients}-{days}-{END}.npz"
    if not path.exists():
        found = _made(seed, patients, days)
        work.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, *found)
    with np.load(path, allow_pickle=False) as stored:
        return Days(*(stored[name] for name in stored.files))


def _made(seed: int, patients: int, days: int) -> Days:
    told = {each["patient"]: each for each in truth(seed, patients, days, end=END)}
    rows: list[tuple[Floats, int, int, int, int]] = []
    for number, (patient, digests) in enumerate(_digests(seed, patients, days)):
        episode = told.get(patient)
        first = min(digests) + timedelta(days=SETTLED)
        for day in sorted(each for each in digests if each >= first):
            onset, end = _away(episode, day)
            rows.append((risk.features(digests, day), seed * 10_000 + number, day.toordinal(), onset, end))
    x, who, when, onsets, ends = zip(*rows, strict=True)
    return Days(np.array(x), *(np.array(each, np.int64) for each in (who, when, onsets, ends)))


def _away(episode: Mapping[str, str] | None, day: date) -> tuple[int, int]:
    if episode is None:
        return FAR, FAR
    onset, end = (date.fromisoformat(episode[key]) for key in ("onset", "end"))
    return (onset - day).days, (end - day).days


def _digests(seed: int, patients: int, days: int) -> Iterator[tuple[str, dict[date, Digest]]]:
    """Yield each patient's states as the daybook would keep them."""
    zones, readings = {}, dict[str, list[tuple[int, int, Reading]]]()
    resources = (entry["resource"] for bundle in generate(seed, patients, days, end=END) for entry in bundle["entry"])
    for rid, resource in enumerate(resources):
        if resource["resourceType"] == "Patient":
            zones[resource["id"]] = zone_of(resource)
        elif resource["resourceType"] in ("Observation", "QuestionnaireResponse"):
            patient = resource["subject"]["reference"].removeprefix("Patient/")
            readings.setdefault(patient, []).append((rid, 1, read_signals(resource)))
    for patient, own in readings.items():
        zone = zones[patient]
        assert zone is not None
        recording = Recording.of(gather(own), zone)
        states = booked_states(pages(recording, touched(recording)), recording.days_with_data())
        yield patient, {state.day: read(digest(state)) for state in states}
