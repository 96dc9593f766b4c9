"""Faults that change nothing that anybody could see, each with the reason; named as `python -m tests.mutation` prints them."""

from __future__ import annotations

from typing import Final

EQUIVALENT: Final[dict[str, str]] = {}
