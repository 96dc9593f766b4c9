"""Long CPU work gives the event loop a turn every few milliseconds, so that a large Bundle does not hold up small reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from fhir_server.kit.clock import monotonic

SLICE = 0.004
"""Seconds of work between two turns: a read beside a Bundle needs about ten turns and has 100 ms."""


class Pace:
    """Counts the time since the last turn; `await pace.step()` between units of work."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = monotonic()

    async def step(self) -> None:
        """Let others run if a slice has passed."""
        if monotonic() - self._since > SLICE:
            await asyncio.sleep(0)
            self._since = monotonic()


T = TypeVar("T")


async def several(work: Sequence[Awaitable[T]], limit: int = 6) -> list[T]:
    """Await all, `limit` at a time, and return the results in order; the first error in that order is raised at the end."""
    gate = asyncio.Semaphore(limit)

    async def one(item: Awaitable[T]) -> T:
        async with gate:
            return await item

    done = await asyncio.gather(*(one(item) for item in work), return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return [result for result in done if not isinstance(result, BaseException)]
