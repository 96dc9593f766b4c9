"""The state of a day: the same from any order of arrival, from the days it needs, and without what comes after."""

from __future__ import annotations

import random
import time
from datetime import date, timedelta

import pytest

from tests.workers.twin.conftest import END
from tests.workers.twin.observations import heart_rate
from workers.twin import daybook
from workers.twin.block import contributions, gather, merge
from workers.twin.codec import decode, encode
from workers.twin.recording import Recording
from workers.twin.signals import read
from workers.twin.state import booked_states, days_affected, days_needed, states
from workers.twin.table import table

NAMES = ("demo-001", "demo-002", "demo-003")


def blocks_of(found):
    return gather((rid, version, reading) for rid, version, reading, _ in found)


@pytest.fixture(scope="module", params=NAMES)
def one(request, patients):
    zone, found = patients[request.param]
    return zone, found, states(blocks_of(found), zone=zone)


def test_every_day_has_a_state(one):
    _, _, found = one
    assert len({state.day for state in found}) == len(found) >= 85
    last = found[-2]
    assert last.feature("steps").deviation is not None or last.feature("steps").reason
    assert any(feature.deviation for feature in last.features)


def test_any_order_of_arrival_ends_in_the_same_states(one):
    zone, found, expected = one
    shuffled = found + random.Random(5).choices(found, k=40)
    random.Random(6).shuffle(shuffled)
    blocks = {}
    for rid, version, reading, _ in shuffled:
        for key, contribution in contributions(rid, version, reading).items():
            blocks[key] = merge(blocks.get(key), [contribution])
    assert {key: encode(block) for key, block in blocks.items()} == {
        key: encode(block) for key, block in blocks_of(found).items()
    }
    assert states({key: decode(encode(block)) for key, block in blocks.items()}, zone=zone) == expected


def test_the_days_it_needs_are_enough(one):
    zone, found, expected = one
    blocks = blocks_of(found)
    for state in expected[50::13]:
        first, last = days_needed(state.day)
        near = {key: block for key, block in blocks.items() if first <= key[1] <= last}
        assert states(near, [state.day], zone) == [state]


def test_a_state_does_not_wait_for_the_days_after_it(one):
    zone, found, expected = one
    for state in expected[45::17]:
        past = blocks_of([entry for entry in found if entry[3] <= state.day])
        assert states(past, [state.day], zone) == [state]


def test_what_a_late_day_changes_is_within_its_reach(one):
    zone, found, expected = one
    late = END - timedelta(days=70)
    without = states(blocks_of([entry for entry in found if entry[3] != late]), [s.day for s in expected], zone)
    changed = [state.day for state, other in zip(expected, without, strict=True) if state != other]
    first, last = days_affected(late, late + timedelta(days=1))
    assert late in changed
    assert first <= min(changed)
    assert max(changed) <= last


def test_a_patient_without_data_has_no_state():
    assert states({}) == []
    (empty,) = states({}, [END])
    assert {feature.value for feature in empty.features} == {None}
    assert empty.newest is None


def test_a_clock_that_was_once_wrong_costs_no_years():
    old, new = (read(heart_rate(f"{year}-01-02T00:00:00Z")) for year in (1970, 2026))
    found = states(gather([(1, 1, old), (2, 1, new)]))
    assert [state.day.year for state in found] == [1970, 2026]


def test_a_day_outside_of_the_table_is_an_error():
    with pytest.raises(KeyError):
        table(Recording.of({}), END, END).row(date(2020, 1, 1))


def test_a_new_day_costs_one_day_and_ends_in_the_same_book(one):
    """Day after day with what is kept, only around what changed, against all of it at once: late days too."""
    zone, found, expected = one
    order = [entry for entry in found if entry[3] != END - timedelta(days=20)]
    order += [entry for entry in found if entry[3] == END - timedelta(days=20)]
    blocks, book, kept = {}, {}, {}
    for start in range(0, len(order), 45):
        days = set()
        for rid, version, reading, _ in order[start : start + 45]:
            for key, contribution in contributions(rid, version, reading).items():
                blocks[key] = merge(blocks.get(key), [contribution])
                days.add(key[1])
        changed = {day for utc in days for day in span(*daybook.pages_changed(utc))}
        first, last = daybook.blocks_needed(min(changed), max(changed))
        recording = Recording.of({key: b for key, b in blocks.items() if first <= key[1] <= last}, zone)
        fresh = daybook.pages(recording, changed.intersection(daybook.touched(recording)))
        book = {day: page for day, page in book.items() if day not in changed}
        book |= {day: daybook.decode(daybook.encode(page)) for day, page in fresh.items()}
        affected = {day for utc in days for day in span(*days_affected(utc, utc))}
        again = booked_states(book, [day for day, page in book.items() if page.inputs and day in affected])
        kept |= {state.day: state for state in again}
    assert book == daybook.pages(Recording.of(blocks, zone), daybook.touched(Recording.of(blocks, zone)))
    assert [kept[day] for day in sorted(kept)] == expected


def span(first, last):
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def test_ninety_days_of_minutes_in_a_second(patients):
    zone, found = patients["demo-001"]
    stored = {key: encode(block) for key, block in blocks_of(found).items()}
    begun = time.process_time()
    computed = states({key: decode(data) for key, data in stored.items()}, zone=zone)
    assert time.process_time() - begun < 1
    assert computed[-2].feature("interdaily-stability").value is not None
