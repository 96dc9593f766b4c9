"""Loops go on whatever happens, and no ring is lost."""

from __future__ import annotations

import asyncio

from workers.loop import Bell, ended, pause_after, repeat


async def test_what_fails_is_tried_again_and_a_stop_is_heard_at_once() -> None:
    calls, stop, bell = [], asyncio.Event(), Bell()

    async def work() -> bool:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("away")
        if len(calls) == 5:
            stop.set()
            bell.ring()
        return True

    await asyncio.wait_for(repeat("test", work, bell, stop, 60), 5)
    assert len(calls) == 5


async def test_a_ring_during_work_makes_it_look_again() -> None:
    calls, stop, bell = [], asyncio.Event(), Bell()

    async def work() -> bool:
        calls.append(1)
        if len(calls) == 1:
            bell.ring()
        if len(calls) == 2:
            stop.set()
            bell.ring()
        return False

    await asyncio.wait_for(repeat("test", work, bell, stop, 60), 5)
    assert len(calls) == 2


def test_pauses_grow_to_a_limit() -> None:
    assert 0.1 <= pause_after(1) < 0.13
    assert 0.8 <= pause_after(4) < 1.01
    assert 5.0 <= pause_after(10_000) < 6.3


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    async def stubborn() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(ended(task), 5)
    assert task.done()
