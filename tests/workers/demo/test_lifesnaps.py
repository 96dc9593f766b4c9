"""LifeSnaps through the twin: the page says what the file says, and counts no number where the file has none."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter

import pytest

from fhir_server.cli.twin import CONSUMERS
from tests.shared_data import shared
from workers.demo import lifesnaps

COLUMNS = ("steps", "resting_hr", "rmssd", "minutesAsleep")


def rows_of(some: int) -> list[dict[str, str]]:
    """Return the rows of the first people of the file."""
    rows = list(
        csv.DictReader(io.StringIO(gzip.decompress((shared("lifesnaps") / "daily.csv.gz").read_bytes()).decode()))
    )
    names = list(dict.fromkeys(row["id"] for row in rows))[:some]
    return [row for row in rows if row["id"] in names]


def test_as_many_days_as_the_file_has_numbers() -> None:
    rows, found = rows_of(3), lifesnaps.evaluate(shared("lifesnaps"), 3)
    told = Counter(column for row in rows for column in COLUMNS if row[column])
    features = ("steps", "resting-heart-rate-reported", "hrv-rmssd", "sleep-duration")
    assert [found.features[code].days.total() for code in features] == list(map(told.__getitem__, COLUMNS))
    assert found.people == len({row["id"] for row in rows}) == 3
    for code in ("interdaily-stability", "hrv-sdnn", "wear-time", "sleep-midpoint", "phq-9"):
        assert not found.features[code].days, (
            "there are no minutes, no times of sleep and no questionnaires in the file"
        )
        assert found.features[code].reasons.total() == found.days
    for each in found.features.values():
        assert each.days.total() + each.reasons.total() == found.days, "a number or a reason, on every day"
    assert all(f"| `{code}` | " in lifesnaps.page(found) for code in features)


@pytest.mark.slow
def test_the_page_is_what_everybody_comes_to() -> None:
    assert lifesnaps.page(lifesnaps.evaluate(shared("lifesnaps"))) == CONSUMERS.read_text()
