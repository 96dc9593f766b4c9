"""A circuit breaker for each endpoint: after some failures in a row nobody waits for it for a while, then one call tries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fhir_server.kit import clock
from workers.gateway.errors import Busy

FAILURES: Final = 5
"""So many in a row open it."""
FIRST_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 600.0


@dataclass(slots=True)
class Breaker:
    """The state of one endpoint in this process; seconds of the monotonic clock."""

    failures: int = 0
    pause: float = FIRST_SECONDS
    open_until: float = 0.0
    trying: bool = False

    def enter(self) -> None:
        """Raise Busy while it is open; when its time is over, let one call through to try."""
        if self.failures < FAILURES:
            return
        left = self.open_until - clock.monotonic()
        if left > 0 or self.trying:
            raise Busy("The language model failed repeatedly and is left alone for a while.", max(left, 1.0), "paused")
        self.trying = True

    def succeeded(self) -> None:
        """Close it."""
        self.failures, self.pause, self.trying = 0, FIRST_SECONDS, False

    def failed(self) -> None:
        """Count a failure; the pause doubles while trials fail."""
        if self.trying:
            self.pause = min(self.pause * 2, LONGEST_SECONDS)
        self.failures, self.trying = self.failures + 1, False
        if self.failures >= FAILURES:
            self.open_until = clock.monotonic() + self.pause

    def left(self) -> None:
        """Forget a trial that ended without telling anything about the endpoint (cancelled, refused)."""
        self.trying = False


_breakers: dict[str, Breaker] = {}


def breaker_of(base_url: str) -> Breaker:
    """Return the breaker of an endpoint."""
    return _breakers.setdefault(base_url, Breaker())
