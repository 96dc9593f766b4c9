"""How everything in a worker repeats: until there is nothing to do, then again at a bell or after a second at most."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from fhir_server.kit import logs

PAUSE = 1.0
"""Seconds after which everybody looks without being rung."""
_LONGEST_PAUSE = 5.0
_LOG = logs.logger("clarity.worker")


class Bell:
    """Rung when there may be something to do; a ring while nobody waits is not lost."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or comes to wait next."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return at a ring or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    def hush(self) -> None:
        """Forget rings of before now: what they were about is going to be looked at."""
        self._event.clear()


def pause_after(failures: int) -> float:
    """Return seconds to wait after so many failures in a row: 0.1, 0.2, ... 5, with up to a quarter more."""
    doubled = min(0.1 * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE)
    return doubled * (1 + secrets.randbelow(250) / 1000)


async def repeat(
    name: str, work: Callable[[], Awaitable[bool]], bell: Bell, stop: asyncio.Event, pause: float = PAUSE
) -> None:
    """Call `work` until `stop`: at once again while it returns True, else at the bell's next ring or after `pause`.

    What it raises is logged and tried again later: a database that restarts ends no loop.
    """
    failures = 0
    while not stop.is_set():
        bell.hush()
        try:
            busy = await work()
        except Exception:  # noqa: BLE001  whatever fails, the next round is a new chance
            failures += 1
            _LOG.error("round failed", task=name, attempt=failures, exc_info=True)
            await rest(stop, pause_after(failures))
            continue
        failures = 0
        if not busy:
            await bell.wait(pause)


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Return after so many seconds, or at `stop`."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it is over: what waits inside redis-py may swallow the first cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
    if not task.cancelled():
        task.exception()
