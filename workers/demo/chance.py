"""Randomness that is the same for the same seed, and different for each patient and purpose."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Chance = np.random.Generator


def chance(seed: int, *purpose: str | int) -> Chance:
    """Return a generator that depends on the seed and the purpose only, not on what was drawn before."""
    return np.random.default_rng([seed, *(zlib.crc32(str(part).encode()) for part in purpose)])


def pick(rng: Chance, items: Sequence[T]) -> T:
    """Return one of the items."""
    return items[int(rng.integers(len(items)))]


def some(rng: Chance, items: Sequence[T], count: int) -> list[T]:
    """Return `count` different items."""
    return [items[int(i)] for i in rng.permutation(len(items))[:count]]


def digits(rng: Chance, count: int) -> str:
    """Return a string of digits, the first not zero."""
    return str(int(rng.integers(10 ** (count - 1), 10**count)))
