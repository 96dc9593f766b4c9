"""The one function that decides access: from a principal, a type and an interaction to a condition on index keys.

Nothing else looks at scopes (what they give: `granted.py`; whose new content is: `belonging.py`). What it returns is compiled into
every statement that touches resources, before LIMIT, sort and count. What it cannot work out it denies: no scope, no patient
context, a type outside the compartment.

A conditional interaction finds its match under the visibility of that very interaction (`create` for If-None-Exist,
`update`, `patch`, `delete`): who may only create may learn that it has created already, not read it;
`allowed(..., "read")` says whether the body may go back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from fhir_server.auth import care, filters, glass, labels, traced
from fhir_server.auth.belonging import belongs
from fhir_server.auth.consent import known as consents
from fhir_server.auth.granted import LEVELS, by_scopes, forbidden, has_care, scopes_at, scopes_for
from fhir_server.auth.reach import in_patient_compartment
from fhir_server.auth.scopes import INTERACTIONS
from fhir_server.context import RequestContext, Scope, ScopeLevel
from fhir_server.errors import Forbidden
from fhir_server.kit import clock
from fhir_server.search.seeing import Sees
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.index_keys import pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, Visibility, both, either
from profiles.registry import R4

__all__ = [
    "LIMITS",
    "admits",
    "allowed",
    "both",
    "check_write",
    "in_patient_compartment",
    "unrestricted",
    "visibilities",
    "visibility",
]

Limit = Callable[[RequestContext, str, str], Awaitable[Visibility]]

LIMITS: tuple[Limit, ...] = (labels.limit, consents.limit)
"""Security labels and Consent: each returns a Visibility that is ANDed with what the scopes grant.

A label the caller may not see is `(Grant(none_of=(key of a _security,)),)`; a Consent that permits only some classes is
one Grant for each. A limit that cannot be worked out returns NOTHING. What they say is remembered for SIGHT_SECONDS at most.
"""

SIGHT_SECONDS: Final = 0.25
"""So long an answer is taken for the next request of the same token: a fraction of the second in which another process notices
a Consent. What this process itself writes is noticed at once."""
_NEVER: Final[tuple[float, int, Visibility, bool]] = (0.0, -1, NOTHING, False)

OF_STORED: Final[frozenset[Limit]] = frozenset({consents.limit})
"""Limits on what is stored alone: a Consent says who may see the record, not who may write into it."""

APPEND_ONLY: Final = frozenset({"AuditEvent"})
"""Types of which a stored version is never changed or removed by anybody (R4 `auditevent.html`, BALP)."""


async def visibility(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what of `type_` the caller may reach by `interaction`; Forbidden when no scope allows it at all."""
    remembered: tuple[float, int, Visibility, bool] = ctx.principal.sights.get((type_, interaction), _NEVER)
    asked = clock.monotonic()
    if asked < remembered[0] and _stamp(ctx, cares=remembered[3]) == remembered[1]:
        return remembered[2]
    cares = has_care(ctx)
    stamp = _stamp(ctx, cares=cares)
    sight = await _visibility(ctx, type_, interaction)
    if _stays(ctx, type_, interaction):
        ctx.principal.sights[type_, interaction] = (asked + SIGHT_SECONDS, stamp, sight, cares)
    return sight


async def _visibility(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    granted = await by_scopes(ctx, type_, interaction)
    if not granted:
        raise forbidden(ctx, type_, interaction)
    return await _whole(ctx, type_, interaction, granted)


async def _whole(ctx: RequestContext, type_: str, interaction: str, granted: Visibility) -> Visibility:
    """Return what is left of what scopes grant, and what is opened beside."""
    if type_ in APPEND_ONLY and interaction in ("update", "patch", "delete"):
        return NOTHING
    sight = either(await _limited(ctx, type_, interaction, granted), await _opened(ctx, type_, interaction))
    return both(sight, await _told(ctx, interaction)) if type_ == traced.TYPE else sight


async def _told(ctx: RequestContext, interaction: str) -> Visibility:
    """Return the Provenances nothing of whose targets is hidden.

    A service that has no scope for a type is told of it all the same, as far as labels and Consents let it, and of what is
    not here.
    """
    service = any(scope.level == "system" for scope in scopes_for(ctx, traced.TYPE, interaction))

    async def seen(type_: str) -> Visibility:
        granted = await by_scopes(ctx, type_, "read")
        if service and not scopes_for(ctx, type_, "read"):
            granted = EVERYTHING
        return either(await _limited(ctx, type_, "read", granted), await _opened(ctx, type_, "read"))

    return await traced.sight(seen, absent=service)


def _stamp(ctx: RequestContext, *, cares: bool) -> int:
    """Return what changes when this process writes anything that decides what the caller sees: it is asked again at once."""
    count: Callable[[str, int], int] = ctx.tenant.written.get  # [] would work out an answer for what was never written
    return count("Consent", 0) + (sum([count(type_, 0) for type_ in care.RELATIONS]) if cares else 0)


def _stays(ctx: RequestContext, type_: str, interaction: str) -> bool:
    """Tell whether what was said holds for a moment: emergency access ends on time, and filters may grow with the dictionary."""
    if glass.may(ctx.principal):
        return False
    if type_ == traced.TYPE:  # what scopes say of what it is told of counts as well
        return not any(scope.filters for scope in ctx.principal.scopes)
    return all(filters.lasting(scope, type_) for scope in scopes_for(ctx, type_, interaction))


async def visibilities(
    ctx: RequestContext, interaction: str, types: Iterable[str] | None = None
) -> dict[str, Visibility]:
    """Return the visibility of each type that the caller may reach; types without a grant are left out.

    Forbidden when nothing is left, unless `types` asked for particular ones.
    """
    found: dict[str, Visibility] = {}
    for type_ in R4.types if types is None else types:
        if granted := await by_scopes(ctx, type_, interaction):
            found[type_] = await _whole(ctx, type_, interaction, granted)
    if not found and types is None:
        raise forbidden(ctx, "*", interaction)
    return found


def sees(ctx: RequestContext, interaction: str = "search-type") -> Sees:
    """Return what tells a search how much the caller may see of the types that it comes by."""

    async def seen(types: Iterable[str]) -> Mapping[str, Visibility]:
        return await visibilities(ctx, interaction, types)

    return seen


async def allowed(ctx: RequestContext, type_: str, interaction: str) -> bool:
    """Tell whether any of the type may be reached by the interaction."""
    return bool(await by_scopes(ctx, type_, interaction))


async def unrestricted(ctx: RequestContext, type_: str, interaction: str) -> bool:
    """Tell whether the scopes reach all of the type; what labels or a Consent keep from the caller is still kept."""
    return await by_scopes(ctx, type_, interaction) == EVERYTHING


async def check_write(
    ctx: RequestContext, type_: str, interaction: str, index: IndexRows, resource_id: str = ""
) -> None:
    """Raise Forbidden unless the new content lies inside what `interaction` grants; `index` is what it is found by.

    The stored version that an update or delete replaces is judged apart: it is selected under `visibility`.
    """
    if not await by_scopes(ctx, type_, interaction, index.codings):
        raise forbidden(ctx, type_, interaction)
    if type_ in APPEND_ONLY and ctx.principal.account is not None:
        raise Forbidden(f"A person does not write {type_}: the server does.", "write-outside-scope")
    labels.check_understood(ctx.tenant, index.keys)
    for level in LEVELS:
        if await _writes(ctx, level, type_, interaction, index, resource_id):
            if level == "user" and type_ in care.RELATIONS:
                care.forget(ctx.tenant, ctx.principal.user)
            return
    raise Forbidden(
        f"The {type_} as it would be stored lies outside what the token may write: it must belong to the token's"
        " patient alone (or, with user/ scopes, to patients in the user's care alone) and meet the filters of the scope.",
        "write-outside-scope",
    )


async def _writes(
    ctx: RequestContext, level: ScopeLevel, type_: str, interaction: str, index: IndexRows, resource_id: str
) -> bool:
    """Tell whether the scopes of one level allow the new content: whose it is first, then what the filters say."""
    scopes = scopes_at(ctx, level, type_, INTERACTIONS.get(interaction, ""))
    if not scopes or not await belongs(ctx, level, type_, index, resource_id):
        return False
    grants = [Grant(k) for s in scopes for k in await filters.alternatives(ctx.tenant, s, type_, index.codings)]
    sight = await _limited_content(ctx, type_, interaction)
    inside = both(sight, EVERYTHING if Grant() in grants else tuple(grants))
    return admits(inside, await _content_keys(ctx, scopes, type_, index))


def admits(visibility: Visibility, keys: frozenset[int]) -> bool:
    """Tell whether a resource with these keys is seen, as `storage.visibility.visible_sql` would."""
    return any(grant.admits(keys) for grant in visibility)


async def _limited(
    ctx: RequestContext, type_: str, interaction: str, granted: Visibility, but: frozenset[Limit] = frozenset()
) -> Visibility:
    for limit in LIMITS:
        if limit in but:
            continue
        granted = both(granted, await limit(ctx, type_, interaction))
    return granted


async def _opened(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what emergency access adds: records as the scopes' types and filters show them, to be read only."""
    if interaction not in glass.READING or type_ in APPEND_ONLY or not in_patient_compartment(type_):
        return NOTHING
    found: Visibility = NOTHING
    for rid in await glass.patients(ctx.tenant, ctx.principal):
        for scope in scopes_for(ctx, type_, interaction):
            if scope.level == "user" or (scope.level == "patient" and rid == ctx.principal.patient_rid):
                filtered = tuple([Grant(keys) for keys in await filters.alternatives(ctx.tenant, scope, type_)])
                found = either(found, both(filtered, glass.whole(ctx.tenant, rid)))
    return found


async def _limited_content(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what new content has to lie in: nobody writes what they may not see, but for a service that creates.

    A device hub or an interface engine posts what is labelled higher than it reads; it does not get it back.
    """
    if interaction == "create" and any(s.level == "system" for s in scopes_for(ctx, type_, interaction)):
        return EVERYTHING
    return await _limited(ctx, type_, interaction, EVERYTHING, OF_STORED)


async def _content_keys(ctx: RequestContext, scopes: Iterable[Scope], type_: str, index: IndexRows) -> frozenset[int]:
    """Return the keys of new content, as far as the filters of scopes can ask for them."""
    keys = set(index.keys)
    targets = await filters.targets(ctx.tenant, scopes, type_)
    keys.update(pack(param, targets[(t, i)]) for param, t, i in index.references if (t, i) in targets)
    return frozenset(keys)
