"""Stable small numbers of types and parameters: a rebuild keeps those that the table has and appends the rest."""

from __future__ import annotations

from collections.abc import Iterable


def append(known: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """Return `known` with the next free numbers (from 1) for the names that it lacks; nothing is ever taken away."""
    table = dict(known)
    following = max(table.values(), default=0) + 1
    for name in names:
        if name not in table:
            table[name] = following
            following += 1
    return table
