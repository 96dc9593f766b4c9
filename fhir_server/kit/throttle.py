"""Rate limits: how much of a budget somebody has used in the window of time that runs now.

Processes count together in Redis, in steps: a process takes a hundredth of a budget in one round trip and spends it by itself, so
that most requests ask Redis for nothing, and whoever has used up a budget is refused without asking at all. While Redis is away
each process counts alone, which refuses nothing that counting together would have let through.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fhir_server.errors import TooManyRequests
from fhir_server.kit import clock, metrics
from fhir_server.kit.logs import logger

DEFAULTS: Final[Mapping[str, str]] = {
    "reads": "12000/minute",
    "writes": "6000/minute",
    "bundles": "60000/minute",
    "devices": "60000/minute",
    "operator": "none",
    "anonymous": "600/minute",
    "token": "600/minute",
    "login": "120/minute",
    "register": "20/hour",
}
"""Budgets and what each holds: of a client (with the person who uses it), or for the last four of a network address."""

_OF: Final = {"anonymous": "address", "token": "client or address", "login": "address", "register": "address"}
_SHARE: Final = 100
_PATIENCE: Final = 0.25
_AWAY_SECONDS: Final = 1.0
_SAY_AGAIN_SECONDS: Final = 60.0
_MOST: Final = 50_000
_FAILURES: Final = (RedisError, OSError, TimeoutError)
_log = logger(__name__)

Budgets = Mapping[str, RateLimitItem]
Shared = Callable[[str, int, int], Awaitable[int]]
"""Adds to a counter that ends after some seconds, and returns what it holds now: (name, seconds, amount)."""


def budgets(text: str) -> dict[str, RateLimitItem]:
    """Return the budgets as `name=100/minute, other=none` changes them; ValueError says what cannot be understood."""
    found = dict(DEFAULTS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, limit = (word.strip() for word in part.partition("="))
        if name not in DEFAULTS:
            raise ValueError(f"there is no budget {name[:40]!r}: {', '.join(DEFAULTS)}")
        found[name] = limit
    return {name: _parsed(name, limit) for name, limit in found.items() if limit != "none"}


def _parsed(name: str, text: str) -> RateLimitItem:
    try:
        item = parse(text)
    except ValueError as error:
        raise ValueError(f"{name} must be as 100/minute, 20/second or none") from error
    if item.amount < 1:
        raise ValueError(f"{name} must be 1 or more; none means no limit")
    return item


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a budget, and in how many seconds it is full again; about, where several processes spend it."""

    budget: str
    item: RateLimitItem
    left: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """Return the header fields of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "RateLimit-Policy": f'"{self.budget}";q={self.item.amount};w={self.item.get_expiry()}',
            "RateLimit": f'"{self.budget}";r={self.left};t={self.seconds}',
        }


@dataclass
class Throttled(TooManyRequests):
    """A budget is used up; `first` in its window that this process refuses, so that the trail has one of many."""

    first: bool = False


@dataclass(slots=True)
class _Window:
    """What this process knows of one budget of one caller: `granted` to it, `used` by it, `beyond` it by others."""

    ends: float
    name: str
    granted: int = 0
    used: int = 0
    others: int = 0
    refused: bool = False
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Throttle:
    """The budgets of one installation; `redis` None counts in this process alone."""

    def __init__(self, items: Budgets, redis: Redis | None = None) -> None:
        self._items = items
        self._windows: dict[tuple[str, str], _Window] = {}
        self._shared = _shared(redis) if redis is not None else None
        self._away_until = self._said = float("-inf")

    def refuse_spent(self, budget: str, who: str) -> None:
        """Raise Throttled for who is known to have used up a budget; counts and asks nothing."""
        window = self._windows.get((budget, who))
        if window is not None and window.refused and clock.seconds() < window.ends:
            raise self._refusal(budget, window)

    async def charge(self, budget: str, who: str, cost: int = 1, *, begun: bool = False) -> Allowance | None:
        """Take from a budget; Throttled when there is nothing left of it. What begins inside a budget may overdraw it:
        with `begun`, what was let in already is only counted.
        """
        item = self._items.get(budget)
        if item is None:
            return None
        window = self._window(budget, who, item)
        if window.refused and not begun:
            raise self._refusal(budget, window)
        if window.used + cost > window.granted:
            async with window.asking:
                if window.used + cost > window.granted:
                    await self._take(window, item, cost)
        if window.used >= window.granted and not begun:
            raise self._refusal(budget, window)
        window.used += cost
        left = max(0, item.amount - window.others - window.used)
        return Allowance(budget, item, left, _seconds_to(window))

    def _window(self, budget: str, who: str, item: RateLimitItem) -> _Window:
        now, at = clock.seconds(), (budget, who)
        window = self._windows.get(at)
        if window is None or now >= window.ends:
            if len(self._windows) >= _MOST:
                self._forget(now)
            window = self._windows[at] = _opened(budget, who, item.get_expiry(), now)
        return window

    def _forget(self, now: float) -> None:
        """Drop the windows that have ended, or the oldest half when that is nothing."""
        ended = [at for at, window in self._windows.items() if window.ends <= now]
        for at in ended or list(self._windows)[: _MOST // 2]:
            del self._windows[at]

    async def _take(self, window: _Window, item: RateLimitItem, cost: int) -> None:
        """Have more granted: a share of the budget in one round trip, or all of it while there is nobody to count with."""
        amount = max(cost - (window.granted - window.used), item.amount // _SHARE, 1)
        total = await self._together(window.name, item.get_expiry(), amount)
        if total is None:
            window.granted = max(window.granted, item.amount)
            return
        before = total - amount
        window.others = max(0, before - window.granted)
        window.granted += max(0, min(amount, item.amount - before))

    async def _together(self, name: str, seconds: int, amount: int) -> int | None:
        """Return what the shared counter holds; None while it cannot be asked."""
        if self._shared is None or clock.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._shared(name, seconds, amount)
        except _FAILURES as error:
            self._away_until = clock.monotonic() + _AWAY_SECONDS
            metrics.COUNTED_ALONE.labels(type(error).__name__).inc()
            if clock.monotonic() - self._said > _SAY_AGAIN_SECONDS:
                self._said = clock.monotonic()
                _log.warning("redis is away, each process counts requests alone", error=type(error).__name__)
            return None

    def _refusal(self, budget: str, window: _Window) -> Throttled:
        item, wait, first = self._items[budget], _seconds_to(window), not window.refused
        window.refused = True
        metrics.THROTTLED.labels(budget).inc()
        text = (
            f"Too many requests: {item.amount} of kind {budget} are allowed in {item.get_expiry()} seconds for each"
            f" {_OF.get(budget, 'client and person')}. Try again in {wait} seconds."
        )
        headers = {"Retry-After": str(wait)} | Allowance(budget, item, 0, wait).headers()
        return Throttled(text, "throttled", headers=headers, first=first)


def _shared(redis: Redis) -> Shared:
    # The types of the library forget that an option may be a pool.
    storage = RedisStorage(
        "async+redis://of-the-pool:6379", implementation="redispy", key_prefix="clarity:rate",
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]
    )  # fmt: skip
    return storage.incr


def _opened(budget: str, who: str, seconds: int, now: float) -> _Window:
    """Return the window of now: windows of different callers begin at different moments, so that not all come back at once."""
    digest = blake2b(f"{budget}\0{who}".encode(), digest_size=12)
    offset = int.from_bytes(digest.digest()[:4], "big") % seconds
    number = int(now + offset) // seconds
    return _Window((number + 1) * seconds - offset, f"{digest.hexdigest()}:{number}")


def _seconds_to(window: _Window) -> int:
    return max(1, int(window.ends - clock.seconds()) + 1)


def place(address: str | None) -> str:
    """Return what counts as one place: an IPv4 address, or the network of 64 bits that one subscriber of IPv6 holds."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if found.version == 4:
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped or ipaddress.ip_network((found, 64), strict=False))
