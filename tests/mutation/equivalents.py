"""Faults that change nothing that anybody could see, each with the reason; named as `python -m tests.mutation` prints them."""

from __future__ import annotations

from typing import Final

EQUIVALENT: Final[dict[str, str]] = {
    "visibility._group_sql: `_SINGLE if one else FEW` → `_SINGLE`": "the same rows by another way: a table instead of the index",
    "visibility._group_sql: `max(group) < pack(COMPARTMENT + 1, 0)` → `max(group) <= pack(COMPARTMENT + 1, 0)`": "no row has rid 0",
}
