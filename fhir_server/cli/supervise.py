"""Keeps child processes alive: restarts what dies, ends them on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from fhir_server.cli.child import Child
from fhir_server.kit import clock, logs

_LOG = logs.logger("clarity.supervise")
_POLL = 0.2
_LONGEST_PAUSE = 5.0
_STEADY = 30.0


@dataclass(slots=True)
class Kept:
    """A child with the way to start it again, and how often it died since it last ran for a while."""

    child: Child
    restart: Callable[[], None]
    on_death: Callable[[int], None] | None
    ours_to_end: bool
    started: float
    deaths: int = 0
    restart_at: float | None = None


class Supervisor:
    """Watches children until somebody wants all of it to end."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._kept: list[Kept] = []
        self._asked = False

    def keep(
        self,
        child: Child,
        *,
        restart: Callable[[], None] | None = None,
        on_death: Callable[[int], None] | None = None,
        ours_to_end: bool = True,
    ) -> None:
        """Watch a child that runs; `on_death` gets the number of a process that died."""
        self._kept.append(Kept(child, restart or child.start, on_death, ours_to_end, clock.monotonic()))

    def listen(self) -> None:
        """Take SIGINT and SIGTERM as the wish to end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)

    def asked_to_end(self) -> bool:
        """Tell whether somebody wants all of it to end."""
        return self._asked

    def children(self) -> list[Child]:
        """Return the children that are watched."""
        return [kept.child for kept in self._kept]

    def dead(self) -> Child | None:
        """Return a child that does not run now, if there is one."""
        return next((kept.child for kept in self._kept if not kept.child.running()), None)

    def watch(self) -> None:
        """Restart what dies until somebody wants all of it to end."""
        while not self._asked:
            self.look()
            time.sleep(_POLL)

    def look(self) -> None:
        """Restart what is dead now; what keeps dying waits longer each time."""
        for kept in self._kept:
            if kept.child.running():
                if kept.deaths and clock.monotonic() - kept.started > _STEADY:
                    kept.deaths = 0
            elif kept.restart_at is None:
                _note_death(kept)
            elif clock.monotonic() >= kept.restart_at:
                _restart(kept)

    def end(self) -> None:
        """Ask every child that is ours to end, then wait for each."""
        ours = [kept.child for kept in self._kept if kept.ours_to_end]
        for child in ours:
            child.ask_to_end()
        for child in ours:
            child.stop()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True


def _note_death(kept: Kept) -> None:
    process = kept.child.process
    pause = min(0.2 * 2**kept.deaths, _LONGEST_PAUSE) if kept.deaths else 0.0
    kept.deaths += 1
    kept.restart_at = clock.monotonic() + pause
    if process is not None:
        _LOG.warning("process ended", name=kept.child.name, code=process.returncode, attempt=kept.deaths)
        if kept.on_death:
            kept.on_death(process.pid)


def _restart(kept: Kept) -> None:
    kept.restart_at = None
    try:
        kept.restart()
    except (OSError, RuntimeError):
        _LOG.error("restart failed", name=kept.child.name, exc_info=True)
    kept.started = clock.monotonic()
