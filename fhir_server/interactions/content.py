"""When is new content the same as what is stored, and which elements belong to the server whatever the client writes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fhir_server.interactions.call import Json

SERVER_OWNED: Mapping[str, Mapping[str, Mapping[str, str]]] = {"Subscription": {"status": {"active": "requested"}}}
"""Type -> element -> what a client writes -> what it becomes: a Subscription is active only when the server says so."""

_STAMPED = ("versionId", "lastUpdated")


def own(resource: Json) -> None:
    """Replace what a client may not decide; id and meta.versionId, meta.lastUpdated are stamped by the commit."""
    for element, values in SERVER_OWNED.get(resource["resourceType"], {}).items():
        if element in resource:
            resource[element] = _settled(values, resource[element])


def same_content(new: Json, stored: Json) -> bool:
    """Tell whether `new` says what `stored` says, apart from what the server stamps and owns; 1.0 is not 1.00."""
    owned = SERVER_OWNED.get(stored["resourceType"], {})
    if new.keys() - {"meta"} != stored.keys() - {"meta"} or _meta(new) != _meta(stored):
        return False
    return all(
        _same(value, stored[name])
        or (name in owned and _settled(owned[name], value) == _settled(owned[name], stored[name]))
        for name, value in new.items()
        if name != "meta"
    )


def _settled(values: Mapping[str, str], value: Any) -> Any:
    return values.get(value, value)


def _meta(resource: Json) -> Json:
    return {name: value for name, value in resource.get("meta", {}).items() if name not in _STAMPED}


def _same(one: Any, other: Any) -> bool:
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if kind is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if kind is Decimal:
        return bool(one == other and one.as_tuple().exponent == other.as_tuple().exponent)
    return bool(one == other)
