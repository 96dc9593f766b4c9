"""By what a daybook was made: version of the algorithm, clock, stem of canonical URLs. Another one makes it anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from workers.twin.codes import ALGORITHM_VERSION, BASE


@dataclass(frozen=True, slots=True)
class Stamp:
    """What `stamp` wrote down."""

    version: str
    zone: tzinfo
    base: str


def stamp(zone: tzinfo, base: str) -> str:
    """Return the stamp of what is made now."""
    return f"{ALGORITHM_VERSION} {zone} {base}"


def parse_stamp(text: str) -> Stamp:
    """Return what a stamp says; where nothing was made yet it is this version, in UTC."""
    if not text:
        return Stamp(ALGORITHM_VERSION, UTC, BASE)
    version, zone, base = text.split(" ", 2)
    return Stamp(version, ZoneInfo(zone), base)
