"""The comparators of ordered values (R4 search.html#prefix)."""

from __future__ import annotations

from typing import Final, Literal

Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]

PREFIXES: Final[tuple[Prefix, ...]] = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def split_prefix(text: str) -> tuple[Prefix, str]:
    """Return the comparator and the rest; `eq` when none is written. `ValueError` for letters that are none."""
    head = text[:2]
    if head in PREFIXES:
        return head, text[2:]
    if head[:1].isalpha():
        raise ValueError(f"begins with no comparator; use one of {' '.join(PREFIXES)}, or none for eq")
    return "eq", text
