"""Meta as three sets: profiles by URL, tags and security labels by system and code (R4 `resource.html#Meta`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

SETS = ("profile", "security", "tag")


def _identity(item: Any) -> Any:
    """Return what an item of a set is told by; version and display are ignored."""
    return (item.get("system"), item.get("code")) if isinstance(item, dict) else item


Pair = tuple[Any, Any]
"""An item, and for a profile what stands beside it (its id and extensions)."""


def _pairs(meta: Json, name: str) -> list[Pair]:
    items = meta.get(name, [])
    beside = meta.get(f"_{name}", [])
    return list(zip(items, [*beside, *[None] * (len(items) - len(beside))], strict=True))


def _with(meta: Json, name: str, pairs: list[Pair]) -> Json:
    out = {key: value for key, value in meta.items() if key not in (name, f"_{name}")}
    if pairs:
        out[name] = [item for item, _ in pairs]
    if any(beside is not None for _, beside in pairs):
        out[f"_{name}"] = [beside for _, beside in pairs]
    return out


def add(meta: Json, given: Json) -> Json:
    """Return a Meta with the profiles, labels and tags of another that it does not have yet."""
    for name in SETS:
        there = _pairs(meta, name)
        known = {_identity(item) for item, _ in there}
        new = {_identity(item): (item, None) for item in given.get(name, []) if _identity(item) not in known}
        if new:
            meta = _with(meta, name, [*there, *new.values()])
    return meta


def remove(meta: Json, given: Json) -> Json:
    """Return a Meta without the profiles, labels and tags of another."""
    for name in SETS:
        gone = {_identity(item) for item in given.get(name, [])}
        there = _pairs(meta, name)
        left = [pair for pair in there if _identity(pair[0]) not in gone]
        if len(left) < len(there):
            meta = _with(meta, name, left)
    return meta


def summary(metas: Iterable[Json]) -> Json:
    """Return the profiles, labels and tags of all, each once, in order."""
    out: Json = {}
    for meta in metas:
        out = add(out, meta)
    return {name: sorted(out[name], key=_order) for name in SETS if name in out}


def _order(item: Any) -> tuple[str, ...]:
    return tuple(map(str, _identity(item))) if isinstance(item, dict) else (item,)
