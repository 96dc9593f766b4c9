"""Where the kinds put what they find in a resource: the raw form of storage's IndexRows, with sets where values may repeat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fhir_server.storage.commands import IndexRows, NumberRow

Pairs = list[tuple[str, Any]]
"""(FHIR type, raw JSON value), as `model/fhirpath` finds them."""

KeyFunction = Callable[..., int]
"""`tenant.key`: the keyed hash of (parameter, parts)."""

DateRow = tuple[int, datetime, datetime]


class Entries:
    """The entries of one resource while they are collected."""

    __slots__ = ("base", "blind", "dates", "key", "keys", "numbers", "references", "strings")

    def __init__(self, key: KeyFunction, base: str, *, blind: bool) -> None:
        self.key = key
        self.base = base
        self.blind = blind
        self.keys: set[int] = set()
        self.references: list[tuple[int, str, str]] = []
        self.dates: list[DateRow] = []
        self.numbers: list[NumberRow] = []
        self.strings: list[tuple[int, str]] = []

    def rows(self) -> IndexRows:
        """Return them as storage takes them; `patients` and `series` are the caller's to fill."""
        return IndexRows(list(self.keys), self.references, [], self.dates, self.numbers, self.strings, [])
