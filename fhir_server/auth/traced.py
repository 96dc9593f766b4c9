"""What is told of resources is seen where they are: a Provenance by who may read each of its targets that is here.

Its patients are those of its targets (`storage/traced.py`), so compartments, Consents and keys hold for it as for any type. Beside
that nothing it tells of may be hidden from the caller, by a label, a Consent or the filter of a scope: who made what, when and
of what, is of the record as much as the thing itself. Who writes one by `patient/` or `user/` has to see what it is told of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.context import RequestContext
from fhir_server.storage import ident, reads, traced
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.visibility import EVERYTHING, Grant, Through, Visibility
from profiles.registry import R4

TYPE = traced.TYPE


async def sight(seen: Callable[[str], Awaitable[Visibility]]) -> Visibility:
    """Return what is seen of a type that is told of others, by what is seen of each type that those may be of."""
    groups: dict[Visibility, list[int]] = {}
    for type_ in R4.types:
        groups.setdefault(await seen(type_), []).append(R4.type_id(type_))
    if groups.keys() == {EVERYTHING}:
        return EVERYTHING
    shown = tuple((tuple(sorted(types)), visibility) for visibility, types in groups.items() if visibility)
    return (Grant(through=(Through(traced.PARAM, shown),)),)


def types(index: IndexRows) -> set[str]:
    """Return the types of what a resource is told of."""
    return {type_ for type_, _ in traced.targets(index)}


async def settle(
    ctx: RequestContext,
    index: IndexRows,
    seen: Mapping[str, Visibility],
    coming: Mapping[ident.Name, Command],
) -> None:
    """Note in `index` the patients of what a new resource is told of, and whether its writer does not see some of that.

    `coming` is written together with it. What is not there and what is hidden are the same here.
    """
    wanted = dict.fromkeys(traced.targets(index))
    for name in [name for name in wanted if name in coming]:
        del wanted[name]
        beside = coming[name].index or coming[name].previous  # of a deletion: what it was
        if beside is not None:
            index.patients = list(dict.fromkeys([*index.patients, *beside.patients]))
    if not wanted:
        return
    shown = await reads.owners(ctx.tenant, list(wanted), seen)
    index.unseen = len(shown) < len(wanted)
    names = await ident.names(ctx.tenant, {rid for of in shown.values() for rid in of})
    index.patients = list(dict.fromkeys([*index.patients, *(id_ for _, id_ in names.values())]))
