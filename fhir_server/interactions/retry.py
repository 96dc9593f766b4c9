"""How often, and how soon, a write that was overtaken is tried again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

from fhir_server.errors import Conflict

TRIES = 40
"""Twenty writers of one resource each come through within twenty rounds; twice that leaves room for bad luck."""


async def tries() -> AsyncIterator[int]:
    """Yield the number of each attempt, after a short random wait from the third on."""
    for attempt in range(TRIES):
        if attempt > 1:
            await asyncio.sleep(min(0.001 * attempt, 0.02) * (0.5 + secrets.randbelow(1000) / 1000))
        yield attempt


def overtaken() -> Conflict:
    """Return the error for a write that lost every race."""
    text = "Others keep changing this resource; try again."
    return Conflict(text, "overtaken", headers={"Retry-After": "1"})
