"""Sealed cursors: where a page begins and which way it goes, encrypted and bound to tenant, grant and search.

A cursor holds the whole search, so that no parameter (they are about patients) need stand in the link, and nothing that the
server would trust: what the caller may see is asked anew for every page. What follows a cursor may only repeat the search.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fhir_server.context import RequestContext
from fhir_server.errors import BadSearch
from fhir_server.kit import base64url, clock, json
from fhir_server.search.query import IGNORED
from fhir_server.search.select import START, Position
from fhir_server.storage.keystore import InvalidSeal

PARAMETER = "_cursor"
LIFETIME = 3600
"""Seconds; every page hands out a fresh one."""

_AAD = b"search cursor"
_MOST = 1 << 20
_TAGS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("d", datetime.isoformat),
    Decimal: ("n", str),
    str: ("s", str),
    int: ("i", int),
}
_READ: dict[str, Callable[[Any], Any]] = {"d": datetime.fromisoformat, "n": Decimal, "s": str, "i": int}

Params = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Place:
    """A search and where it goes on; `total` as the first page found it."""

    params: Params
    position: Position = START
    total: int | None = None


def _packed(value: Any) -> Any:
    if value is None:
        return None
    tag, write = _TAGS[type(value)]
    return [tag, write(value)]


def _unpacked(value: Any) -> Any:
    return None if value is None else _READ[value[0]](value[1])


def seal(ctx: RequestContext, type_: str | None, place: Place) -> str:
    """Return the cursor for a place."""
    values = [_packed(value) for value in place.position.values]
    state = [
        int(clock.seconds()) + LIFETIME, ctx.principal.agent, type_, place.params, place.position.phase, values, place.total,
        place.position.backwards,
    ]  # fmt: skip
    sealed = ctx.tenant.keystore.seal(zlib.compress(json.encode(state)), _AAD)
    return base64url.encode(sealed)


def _refused() -> BadSearch:
    return BadSearch("This page link is not valid here; start the search again.", "search-cursor", PARAMETER)


def unseal(ctx: RequestContext, type_: str | None, cursor: str) -> Place:
    """Return the place of a cursor; BadSearch when it is another tenant's, grant's or search's, was changed or has expired."""
    try:
        sealed = base64url.decode(cursor)
        data = zlib.decompressobj().decompress(ctx.tenant.keystore.open(sealed, _AAD), _MOST)
    except (InvalidSeal, ValueError, zlib.error):
        raise _refused() from None
    expires, agent, of_type, params, phase, values, total, *backwards = json.decode_trusted(data)
    if agent != ctx.principal.agent or of_type != type_:
        raise _refused()
    if expires < clock.seconds():
        raise BadSearch("This page link has expired; start the search again.", "search-cursor-expired", PARAMETER)
    position = Position(phase, tuple(_unpacked(value) for value in values), backwards == [True])
    return Place([(name, text) for name, text in params], position, total)


def restore(ctx: RequestContext, type_: str | None, params: Params) -> Place:
    """Return the place that a request asks for: its own parameters from the start, or where its cursor goes on."""
    cursors = [text for name, text in params if name == PARAMETER]
    if not cursors:
        return Place(params)
    place = unseal(ctx, type_, cursors[0])
    given = [pair for pair in params if pair[0] not in (PARAMETER, *IGNORED)]
    if len(cursors) > 1 or (given and given != place.params):
        raise _refused()
    return place


def neighbours(
    start: Position, shown: Sequence[Position], goes_on: Position | None
) -> tuple[Position | None, Position | None, Position | None]:
    """Return where the next, the previous and the first page begin; None where there is none."""
    if start == START:
        return goes_on, None, None
    goes_on = goes_on and _facing(goes_on, backwards=start.backwards)
    if start.backwards:  # what it came from comes next
        return (_facing(shown[-1]) if shown else START), goes_on, START
    return goes_on, (_facing(shown[0], backwards=True) if shown else None), START


def _facing(position: Position, *, backwards: bool = False) -> Position:
    return Position(position.phase, position.values, backwards)
