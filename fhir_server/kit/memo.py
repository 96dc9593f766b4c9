"""Results that are remembered by the very objects which they were made of: no hashing of long tuples on a hot path."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """At most `size` results. What each was made of is kept beside it, so that its identity stays its own."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[Hashable, tuple[tuple[Any, ...], T]] = {}

    def get(self, made_of: tuple[Any, ...], also: Hashable = None) -> T | None:
        """Return what `put` was given for these very objects and an equal `also`; None when nothing is remembered."""
        found = self._kept.get((*map(id, made_of), also))
        return None if found is None else found[1]

    def put(self, made_of: tuple[Any, ...], result: T, also: Hashable = None) -> T:
        """Remember a result and return it; the oldest is forgotten for it when there are too many."""
        if len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[(*map(id, made_of), also)] = (made_of, result)
        return result
