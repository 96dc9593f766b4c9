"""Late, repeated, overlapping, corrected, skewed, over a change of the clocks: in whatever order data come, the twin is the same.

What is stored is modelled by a dictionary of ids under the rule of `claim`; what the twin makes of it is computed for real.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.kit import json
from tests.shared_data import shared
from workers.ingest import neutral, table
from workers.ingest.observe import claim, observation
from workers.ingest.sample import Sample
from workers.twin.block import gather
from workers.twin.codec import encode
from workers.twin.recording import Recording
from workers.twin.signals import read as twin_reads
from workers.twin.state import states

OSLO = ZoneInfo("Europe/Oslo")
SPRING = datetime(2026, 3, 28, 18, tzinfo=UTC)
"""The clocks change in the night that follows."""


def stored(samples: list[Any]) -> dict[str, Any]:
    """Return what is stored after samples came in this order."""
    kept: dict[str, Any] = {}
    for sample in samples:
        assert isinstance(sample, Sample)
        made = json.decode_trusted(json.encode(observation("p", sample)))
        known = kept.get(made["id"])
        if known is None or claim(made) > claim(known):
            kept[made["id"]] = made
    return kept


def twin(kept: dict[str, Any]) -> tuple[dict[Any, bytes], list[Any]]:
    """Return the blocks of what is stored and the states of its days; rids follow the ids, as nothing may depend on them."""
    blocks = gather((rid, 1, twin_reads(each)) for rid, (_, each) in enumerate(sorted(kept.items()), 1))
    days = Recording.of(blocks, OSLO).days_with_data()
    return {key: encode(block) for key, block in blocks.items()}, states(blocks, days, OSLO) if days else []


def local(minutes: int, skew: int = 0) -> str:
    return (SPRING + timedelta(minutes=minutes, seconds=skew)).astimezone(OSLO).isoformat()


@st.composite
def readings(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["heart-rate", "activity-counts", "steps", "sleep-session", "sleep-stage"]))
    start = draw(st.integers(0, 1000))
    made: dict[str, Any] = {"type": kind, "start": local(start, draw(st.sampled_from([0, 0, 0, 7, -31])))}
    made["device"] = {"name": draw(st.sampled_from(["watch", "band"]))}
    if kind != "heart-rate":
        length = {"activity-counts": 1, "steps": 15, "sleep-session": 400, "sleep-stage": 30}[kind]
        made["end"] = local(start + length + draw(st.sampled_from([0, 0, 5])) * (kind == "steps"))
    if kind == "sleep-stage":
        made["code"] = draw(st.sampled_from(["awake", "light", "deep", "rem"]))
    else:
        made["value"] = draw(st.integers(40, 200))
    if draw(st.booleans()):
        made["issued"] = local(draw(st.integers(1000, 2000)))
    made["status"] = draw(st.sampled_from(["preliminary", "final", "corrected", "entered-in-error"]))
    return made


@settings(max_examples=60, deadline=None)
@given(st.lists(readings(), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_the_same_twin_in_any_order_with_repetitions(sent: list[dict[str, Any]], chance: random.Random) -> None:
    # The same interval again with another number: a correction, or another opinion.
    sent = sent + [each | {"value": each["value"] + 1} for each in sent[:3] if "value" in each]
    first = [sample for each in sent if isinstance(sample := neutral.read(each, "app"), Sample)]
    again = first + chance.sample(first, len(first))
    chance.shuffle(again)
    kept, other = stored(first), stored(again)
    assert kept == other
    assert twin(kept) == twin(other)


def test_a_night_of_87_copies_is_one() -> None:
    night = {"type": "sleep-session", "start": local(300), "end": local(780), "value": 430, "unit": "min"}
    copies = [neutral.read(night | {"issued": local(800 + i)}, "app") for i in range(87)]
    random.Random(1).shuffle(copies)
    [one] = stored(copies).values()
    assert one["issued"] == local(886)
    assert one["effectivePeriod"] == {"start": "2026-03-29T00:00:00+01:00", "end": "2026-03-29T09:00:00+02:00"}


def test_the_same_instant_at_another_offset_is_the_same_measurement() -> None:
    one = neutral.read({"type": "heart-rate", "start": "2026-03-29T03:30:00+02:00", "value": 60}, "app")
    other = neutral.read({"type": "heart-rate", "start": "2026-03-29T01:30:00Z", "value": 60}, "app")
    assert list(stored([one, other])) == list(stored([other, one]))
    assert stored([one, other]) == stored([other, one])


CROSSING = (1, 6, 7, 31, 32)
MAPPING = b"""
source = "depresjon"
zone = "Europe/Oslo"
[time]
start = "timestamp"
seconds = 60
[[value]]
column = "activity"
type = "activity-counts"
"""


def recording(number: int, days: int) -> list[Sample]:
    """Return the minutes of a control around the change of the clocks, by the CSV reader."""
    path = shared("depresjon") / "control" / f"control_{number}.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.reader(file))
    at = [row[0][:10] for row in rows[1:]]
    zone_at = [datetime.fromisoformat(day).replace(hour=12, tzinfo=OSLO).utcoffset() for day in at]
    change = next(i for i in range(1, len(at)) if zone_at[i] != zone_at[i - 1])
    chosen = rows[max(1, change - 720 * days) : change + 720 * days]
    out = io.StringIO()
    csv.writer(out).writerows([rows[0], *chosen])
    out.seek(0)
    items = [row.item for row in table.read(out, table.mapping(MAPPING))]
    assert all(isinstance(item, Sample) for item in items)
    return [item for item in items if isinstance(item, Sample)]


@pytest.mark.parametrize("number", CROSSING)
def test_a_real_recording_over_a_change_of_the_clocks(number: int) -> None:
    """Shuffled, in halves, twice: the same twin; what is stored gives back the numbers of every minute that exists once."""
    samples = recording(number, 2)
    chance = random.Random(number)
    shuffled = samples + chance.sample(samples, 300)
    chance.shuffle(shuffled)
    kept = stored(samples)
    assert kept == stored(shuffled)
    assert len({sample.start.ms for sample in samples}) == len(kept)
    blocks, found = twin(kept)
    assert (blocks, found) == twin(stored(list(reversed(samples))))
    offsets = {sample.start.text[-6:] for sample in samples}
    assert offsets == {"+01:00", "+02:00"}
    values: dict[int, list[Decimal]] = {}
    for sample in samples:
        assert sample.value is not None
        values.setdefault(sample.start.ms, []).append(Decimal(sample.value.number))
    told = [s for each in kept.values() for s in twin_reads(each).samples]
    assert {int(s.start[0]): Decimal(repr(float(s.value[0]))) for s in told} == {ms: max(v) for ms, v in values.items()}
    assert isinstance(found[0].day, date)
