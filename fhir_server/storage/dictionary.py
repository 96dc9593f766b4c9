"""What a search remembers of the dictionaries of codings and of blends, and the condition under which that still holds.

Both only ever grow, so what stood under a key is still all that stands there when it is as much as it was. A search goes by what
this process remembers, and the statement that finds its rows counts again, in its own snapshot: it finds nothing when something
has come, and the search is made ready anew. A coding stands in the dictionary before the first resource that holds it, so whoever
sees that resource counts its coding too (decision 136). What has more than MOST is left out for good and need not be counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from fhir_server.storage import layout
from fhir_server.storage.layout import Known
from fhir_server.storage.tenants import Tenant

_REMEMBERED = 5_000
"""Codes, systems and facets of a tenant; what is asked for beside them is looked up each time, until all are forgotten."""

_Memory = dict[int, tuple[int, ...] | None]

_CODINGS = """
(SELECT count(*) FROM {{s}}.coding WHERE by_code = ANY({at}) AND by_code <> 0)
 + (SELECT count(*) FROM {{s}}.coding WHERE by_system = ANY({at}) AND by_system <> 0)
"""
_BLENDS = "(SELECT count(*) FROM {{s}}.facet WHERE key = ANY({at}))"


class Outdated(Exception):
    """More stands in a dictionary than a search went by: it has to be made ready anew."""


@dataclass(slots=True)
class _Remembered:
    codings: _Memory = field(default_factory=dict)
    blends: _Memory = field(default_factory=dict)


_known: WeakKeyDictionary[Tenant, _Remembered] = WeakKeyDictionary()


class Dictionary:
    """The dictionaries as one search sees them; with `trusting`, as this process remembers them."""

    def __init__(self, tenant: Tenant, *, trusting: bool = False) -> None:
        self._tenant = tenant
        self._trusting = trusting
        self._memory = _known.setdefault(tenant, _Remembered())
        self._codings: dict[int, int] = {}
        self._blends: dict[int, int] = {}

    async def look_up(self, codings: AbstractSet[int], facets: AbstractSet[int]) -> Known:
        """Return the keys under those of codes and systems, and the blends of facets; what has more than MOST is left out."""
        memory = self._memory
        if not self._trusting or not (codings <= memory.codings.keys() and facets <= memory.blends.keys()):
            self._remember(await layout.look_up(self._tenant, codings, facets), codings, facets)
        else:
            self._codings |= _counts(memory.codings, codings)
            self._blends |= _counts(memory.blends, facets)
        return Known(_few(memory.codings, codings), _few(memory.blends, facets))

    def _remember(self, found: Known, codings: AbstractSet[int], facets: AbstractSet[int]) -> None:
        memory = self._memory
        if len(memory.codings) + len(memory.blends) > _REMEMBERED:
            memory.codings, memory.blends = {}, {}
        memory.codings |= {at: found.codings.get(at) for at in codings}
        memory.blends |= {at: found.blends.get(at) for at in facets}

    @property
    def supposes(self) -> bool:
        """Whether anything was taken from memory that may have grown since."""
        return bool(self._codings or self._blends)

    def holds(self, args: list[Any]) -> str:
        """Return the condition that all which was taken from memory still holds, appending its values; TRUE when nothing was."""
        asked = [(_CODINGS, self._codings), (_BLENDS, self._blends)]
        return " AND ".join(_counted(text, counts, args) for text, counts in asked if counts) or "TRUE"

    async def verify(self) -> None:
        """Raise Outdated unless all which was taken from memory holds now, and so held before; nothing need be counted after."""
        if not self.supposes:
            return
        args: list[Any] = []
        text = self._tenant.sql(f"SELECT {self.holds(args)}")
        if not await self._tenant.pool.fetchval(text, *args):
            raise Outdated


def _counts(memory: _Memory, asked: AbstractSet[int]) -> dict[int, int]:
    return {at: len(keys) for at in asked if (keys := memory[at]) is not None}


def _few(memory: _Memory, asked: AbstractSet[int]) -> Mapping[int, tuple[int, ...]]:
    return {at: keys for at in asked if (keys := memory[at]) is not None}


def _counted(text: str, counts: Mapping[int, int], args: list[Any]) -> str:
    args += [list(counts), sum(counts.values())]
    counted = text.format(at=f"${len(args) - 1}::bigint[]").strip()
    return f"{counted} = ${len(args)}::bigint"
