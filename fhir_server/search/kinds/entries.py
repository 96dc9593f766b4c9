"""Where the kinds put what they find in a resource: the raw form of storage's IndexRows, with sets where values may repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fhir_server.storage.commands import CodingRow, IndexRows, NumberRow

Pairs = list[tuple[str, Any]]
"""(FHIR type, raw JSON value), as `model/fhirpath` finds them."""

KeyFunction = Callable[..., int]
"""`tenant.key`: the keyed hash of (parameter, parts)."""

Known = Mapping[tuple[int, str | None, str | None], int]
"""(param, system, code) of codings that stand in the dictionary, with their keys."""

DateRow = tuple[int, datetime, datetime]


class Entries:
    """The entries of one resource while they are collected."""

    __slots__ = (
        "base",
        "blind",
        "codings",
        "counted",
        "dates",
        "facets",
        "key",
        "keys",
        "known",
        "numbers",
        "references",
        "strings",
    )

    def __init__(self, key: KeyFunction, base: str, known: Known, *, blind: bool) -> None:
        self.key = key
        self.known = known
        self.codings: dict[int, CodingRow] = {}
        self.counted: set[int] = set()
        self.base = base
        self.blind = blind
        self.keys: set[int] = set()
        self.facets: set[int] = set()
        """Keys too, of which the index has only the set."""
        self.references: list[tuple[int, str, str]] = []
        self.dates: list[DateRow] = []
        self.numbers: list[NumberRow] = []
        self.strings: list[tuple[int, str]] = []

    def rows(self) -> IndexRows:
        """Return them as storage takes them; `patients` and `series` are the caller's to fill."""
        rows = IndexRows([*self.keys, *(self.facets - self.keys)], self.references)
        rows.dates, rows.numbers, rows.strings, rows.facets = self.dates, self.numbers, self.strings, list(self.facets)
        rows.codings, rows.counted = list(self.codings.values()), list(self.counted)
        return rows
