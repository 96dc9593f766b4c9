"""Places in a text that are replaced, and how those that overlap become one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end`: a `kind` of identifier; equal `identity` means the same person, place or number."""

    start: int
    end: int
    kind: str
    identity: str = ""
    rank: int = 1
    """3: known from the record; 2: a pattern that is sure; 1: a pattern, a context; 0: a guess."""
    day: date | None = None


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans that do not overlap and cover all that was covered; the surest, then longest, says what the whole is."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.start, -each.end)):
        if found and span.start < found[-1].end:
            found[-1] = _both(found[-1], span)
        else:
            found.append(span)
    return found


def _both(first: Span, second: Span) -> Span:
    best = max(first, second, key=lambda each: (each.end - each.start, each.rank))
    start, end = min(first.start, second.start), max(first.end, second.end)
    if (start, end) == (best.start, best.end):
        return best
    return Span(start, end, best.kind, "", best.rank)
