"""A week as an Observation: when it has numbers, what they are, and why it has none."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.validation.validate import validate
from tests.workers.twin.observations import counts
from workers.ml.registry import shelf
from workers.ml.registry.card import Card
from workers.ml.serve import embedding
from workers.ml.serve.embedding import Week
from workers.ml.serve.pat import PatService
from workers.twin.block import gather
from workers.twin.recording import Recording
from workers.twin.signals import read
from workers.twin.weeks import mondays

MONDAY = date(2026, 6, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, PatService]:
    settings = Settings(environment="test", data=tmp_path_factory.mktemp("data"))  # type: ignore[call-arg]
    found = shelf.serving("embedding", settings)
    assert found is not None
    return found.card, PatService(found.read("serving", settings))


def lived(seed: int = 1) -> np.ndarray:
    """Return seven days with nights in them."""
    rng = np.random.default_rng(seed)
    awake = np.repeat(np.array([0] * 7 + [1] * 16 + [0]), 60)
    return rng.gamma(0.6, 350, (7, 1440)) * awake + rng.poisson(1.5, (7, 1440)) * (rng.random((7, 1440)) < 0.15)


def test_a_week_has_96_numbers_and_the_attention_of_its_minutes(model: tuple[Card, PatService]) -> None:
    card, service = model
    week = Week(MONDAY, lived())
    found = embedding.judged(week, card, service)
    made = embedding.observation("p", week, found, card, ZoneInfo("Europe/Berlin"))
    assert not isinstance(found, str)
    vector = embedding.vector(json.decode(json.encode(made)))
    assert vector is not None
    assert vector.shape == (96,)
    assert np.abs(vector - found.vector).max() < 1e-4
    sampled = made["component"][0]["valueSampledData"]
    shares = np.array(sampled["data"].split(), float) * float(sampled["factor"])
    assert len(shares) * sampled["period"] == 7 * 86_400_000
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    assert made["effectivePeriod"] == {
        "start": "2026-06-01T00:00:00.000+02:00",
        "end": "2026-06-07T23:59:59.999+02:00",
    }
    assert "not a diagnosis" in made["note"][0]["text"]
    assert made["device"]["reference"] == f"Device/model-{card.name}-{card.version}"
    again = embedding.observation("p", Week(MONDAY, lived()), found, card, ZoneInfo("Europe/Berlin"))
    assert again == made
    for resource in (made, embedding.provenance(made, card)):
        assert not validate(json.decode(json.encode(resource)))


def test_too_little_coverage_gives_no_number_but_the_reason(model: tuple[Card, PatService]) -> None:
    card, service = model
    days = lived()
    days[3, 200 : 200 + round(0.21 * 1440)] = np.nan
    week = Week(MONDAY, days)
    made = embedding.observation("p", week, embedding.judged(week, card, service), card)
    assert embedding.vector(made) is None
    assert "component" not in made
    assert made["dataAbsentReason"]["coding"][0]["code"] == "too-little-coverage"
    assert not validate(json.decode(json.encode(made)))
    days[3, 200 : 200 + round(0.02 * 1440)] = 5
    assert not isinstance(embedding.judged(Week(MONDAY, days), card, service), str)


def test_counts_of_another_kind_of_device_give_the_reason(model: tuple[Card, PatService]) -> None:
    card, service = model
    assert embedding.judged(Week(MONDAY, lived() * 1000 + 20_000), card, service) == embedding.UNLIKE


def test_a_week_is_read_on_the_clock_of_the_person() -> None:
    zone = ZoneInfo("Europe/Berlin")
    days = lived().round()
    observations = [
        counts(f"{MONDAY + timedelta(days=i)}T00:00:00+02:00", " ".join(str(int(n)) for n in day))
        for i, day in enumerate(days)
    ]
    blocks = gather((i, 1, read(o)) for i, o in enumerate(observations, 1))
    first, last = embedding.blocks_of(MONDAY)
    assert all(first <= day <= last for _, day in blocks)
    week = embedding.week_of(Recording.of(blocks, zone), MONDAY)
    known = ~np.isnan(week.counts)
    assert np.array_equal(week.counts[known], days[known])
    assert known.mean() > 0.8
    assert week.recorded
    assert not embedding.week_of(Recording.of(blocks, zone), MONDAY + timedelta(days=7)).recorded
    assert mondays([MONDAY]) == [MONDAY - timedelta(days=7), MONDAY]
    assert mondays([MONDAY + timedelta(days=3)]) == [MONDAY]
    assert embedding.observation("p", week, "too-little-coverage", _card(), UTC)["subject"]["reference"] == "Patient/p"


def _card() -> Card:
    return next(model.card for model in shelf.shipped().values() if model.card.use == "embedding")
