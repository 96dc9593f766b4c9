"""Signal blocks: one content, one form of bytes, whatever the order of arrival."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.twin.observations import counts, heart_rate
from workers.twin.block import EMPTY, Contribution, compact, contributions, gather, merge, remove, settle
from workers.twin.codec import decode, encode
from workers.twin.signals import NOTHING, Samples, read

DAY = date(2026, 5, 1)


def contribution(rid, version, rows, device="Device/d", issued=0, rank=2):
    start, duration, value = (np.array(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    samples = Samples("heart-rate", device, 120, np.array(start, int), np.array(duration, int), np.array(value, float))
    return Contribution(rid, version, issued, rank, samples if rows else None)


ROWS = st.lists(st.tuples(st.integers(0, 50), st.sampled_from([0, 60_000]), st.integers(40, 45)), max_size=4)
ARRIVAL = st.builds(
    contribution,
    st.integers(1, 6),
    st.integers(1, 4),
    ROWS,
    st.sampled_from(["", "Device/a", "Device/b"]),
    st.integers(0, 2),
    st.integers(1, 4),
)


def versions_agree(arrivals):
    """One version of one Observation has one content: later copies are repetitions."""
    known = {}
    return [known.setdefault((a.rid, a.version), a) for a in arrivals]


@settings(max_examples=60, deadline=None)
@given(st.lists(ARRIVAL, max_size=12).map(versions_agree), st.randoms(use_true_random=False))
def test_any_order_and_repetition_ends_in_the_same_bytes(arrivals, random):
    expected = encode(merge(None, arrivals))
    shuffled = arrivals + random.choices(arrivals, k=3) if arrivals else []
    random.shuffle(shuffled)
    block = None
    for arrival in shuffled:
        block = decode(encode(merge(block, [arrival])))
    assert encode(EMPTY if block is None else block) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(ARRIVAL, max_size=8).map(versions_agree))
def test_a_block_comes_back_from_its_bytes(arrivals):
    block = merge(None, arrivals)
    again = decode(encode(block))
    assert again.devices == block.devices
    assert again.sources.tolist() == block.sources.tolist()
    assert again.rows.tolist() == block.rows.tolist()


def values(block):
    return settle([(DAY, block)])[1].value.tolist()


def test_a_newer_version_replaces_and_an_older_one_stays_out():
    block = merge(None, [contribution(1, 2, [(0, 0, 60)])])
    assert values(merge(block, [contribution(1, 3, [(0, 0, 70)])])) == [70]
    assert values(merge(block, [contribution(1, 1, [(0, 0, 50)])])) == [60]


def test_conflicts_are_decided_by_content_not_by_arrival():
    one, two = contribution(7, 1, [(0, 0, 60)], issued=5), contribution(3, 1, [(0, 0, 70)], issued=4)
    for order in ((one, two), (two, one)):
        assert values(merge(None, order)) == [60]
    better = contribution(9, 1, [(0, 0, 55)], issued=5, rank=4)
    assert values(merge(None, (one, two, better))) == [55]
    larger = contribution(2, 1, [(0, 0, 61)], issued=5)
    assert values(merge(None, (one, larger))) == [61]


def test_what_lost_comes_back_when_the_winner_goes():
    block = merge(None, [contribution(1, 1, [(0, 0, 60)]), contribution(2, 1, [(0, 0, 70)])])
    assert values(block) == [70]
    gone = remove(block, 2, 2)
    assert values(gone) == [60]
    assert values(merge(gone, [contribution(2, 1, [(0, 0, 70)])])) == [60]
    assert encode(compact(gone)) == encode(merge(None, [contribution(1, 1, [(0, 0, 60)])]))


def test_87_copies_of_one_night_are_one():
    block = merge(None, [contribution(rid, 1, [(0, 60_000, 60), (60_000, 60_000, 61)]) for rid in range(87)])
    assert values(block) == [60, 61]


def test_a_version_that_moves_or_says_nothing_leaves_where_it_was():
    first = contributions(1, 1, read(heart_rate("2026-05-01T10:00:00Z")))
    moved = contributions(1, 2, read(heart_rate("2026-05-02T10:00:00Z")))
    assert not first.keys() & moved.keys()
    assert contributions(1, 3, NOTHING) == {}
    (part,) = first.values()
    assert values(merge(merge(None, [part]), [Contribution(1, 2)])) == []
    assert values(merge(merge(None, [Contribution(1, 2)]), [part])) == []


def test_devices_do_not_compete():
    block = merge(None, [contribution(1, 1, [(0, 0, 60)], "Device/a"), contribution(2, 1, [(0, 0, 70)], "Device/b")])
    assert values(block) == [60, 70]


def test_rows_belong_to_the_utc_day_in_which_they_start():
    reading = read(counts("2026-05-01T23:58:00+00:00", "1 2 3 4"))
    found = contributions(5, 1, reading)
    assert [day.isoformat() for _, day in found] == ["2026-05-01", "2026-05-02"]
    blocks = gather([(5, 1, reading), (6, 1, read(heart_rate("2026-05-02T00:00:00Z")))])
    _, settled = settle([(date(2026, 5, 2), blocks["activity-counts", date(2026, 5, 2)])])
    assert settled.value.tolist() == [3, 4]
    assert settled.start.tolist() == [1777680000000, 1777680060000]


def test_a_day_of_minutes_is_small():
    text = " ".join(map(str, np.random.default_rng(3).integers(50, 120, 1440)))
    blocks = gather([(1, 1, read(counts("2026-05-01T00:00:00+00:00", text)))])
    (block,) = blocks.values()
    assert len(encode(block)) < 2500


def test_another_format_is_refused():
    data = encode(EMPTY)
    import zstandard

    plain = bytearray(zstandard.decompress(data))
    plain[5] = 9
    with pytest.raises(ValueError, match="format 9"):
        decode(zstandard.compress(bytes(plain)))
