"""The one function that decides access: from a principal, a type and an interaction to a condition on index keys.

Nothing else looks at scopes. What it returns is compiled into every statement that touches resources, before LIMIT,
sort and count. What it cannot work out it denies: no scope, no patient context, a type outside the compartment.

A conditional interaction finds its match under the visibility of that very interaction (`create` for If-None-Exist,
`update`, `patch`, `delete`): who may only create may learn that it has created already, not read it;
`allowed(..., "read")` says whether the body may go back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from fhir_server.auth import care, filters, glass, labels, traced
from fhir_server.auth.care import Care
from fhir_server.auth.consent import known as consents
from fhir_server.auth.reach import SUBSCRIBER, about_patients, held_back, in_patient_compartment, owned, reached, shared
from fhir_server.auth.scopes import INTERACTIONS
from fhir_server.context import RequestContext, Scope, ScopeLevel
from fhir_server.errors import Forbidden
from fhir_server.kit import clock
from fhir_server.search.parameters import table
from fhir_server.search.seeing import Sees
from fhir_server.storage.commands import CodingRow, IndexRows
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
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

LEVELS: Final[tuple[ScopeLevel, ...]] = ("system", "patient", "user")

UNREACHABLE: Final = Grant(any_of=((),))
"""A scope that is there and reaches nothing: one of no keys is held by no row."""

APPEND_ONLY: Final = frozenset({"AuditEvent"})
"""Types of which a stored version is never changed or removed by anybody (R4 `auditevent.html`, BALP)."""


async def visibility(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what of `type_` the caller may reach by `interaction`; Forbidden when no scope allows it at all."""
    remembered: tuple[float, int, Visibility, bool] = ctx.principal.sights.get((type_, interaction), _NEVER)
    asked = clock.monotonic()
    if asked < remembered[0] and _stamp(ctx, cares=remembered[3]) == remembered[1]:
        return remembered[2]
    cares = _has_care(ctx)
    stamp = _stamp(ctx, cares=cares)
    sight = await _visibility(ctx, type_, interaction)
    if _stays(ctx, type_, interaction):
        ctx.principal.sights[type_, interaction] = (asked + SIGHT_SECONDS, stamp, sight, cares)
    return sight


async def _visibility(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    granted = await _granted(ctx, type_, interaction)
    if not granted:
        raise _forbidden(ctx, type_, interaction)
    if type_ in APPEND_ONLY and interaction in ("update", "patch", "delete"):
        granted = NOTHING
    return await _whole(ctx, type_, interaction, granted)


async def _whole(ctx: RequestContext, type_: str, interaction: str, granted: Visibility) -> Visibility:
    """Return what is left of what scopes grant, and what is opened beside."""
    sight = either(await _limited(ctx, type_, interaction, granted), await _opened(ctx, type_, interaction))
    return both(sight, await _told(ctx, interaction)) if type_ == traced.TYPE else sight


async def _told(ctx: RequestContext, interaction: str) -> Visibility:
    """Return the Provenances nothing of whose targets is hidden.

    A service that has no scope for a type is told of it all the same, as far as labels and Consents let it, and of what is
    not here.
    """
    service = any(scope.level == "system" for scope in _scopes_for(ctx, traced.TYPE, interaction))

    async def seen(type_: str) -> Visibility:
        granted = await _granted(ctx, type_, "read")
        if service and not _scopes_for(ctx, type_, "read"):
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
    return all(filters.lasting(scope, type_) for scope in _scopes_for(ctx, type_, interaction))


async def visibilities(
    ctx: RequestContext, interaction: str, types: Iterable[str] | None = None
) -> dict[str, Visibility]:
    """Return the visibility of each type that the caller may reach; types without a grant are left out.

    Forbidden when nothing is left, unless `types` asked for particular ones.
    """
    found: dict[str, Visibility] = {}
    for type_ in R4.types if types is None else types:
        if granted := await _granted(ctx, type_, interaction):
            found[type_] = await _whole(ctx, type_, interaction, granted)
    if not found and types is None:
        raise _forbidden(ctx, "*", interaction)
    return found


def sees(ctx: RequestContext, interaction: str = "search-type") -> Sees:
    """Return what tells a search how much the caller may see of the types that it comes by."""

    async def seen(types: Iterable[str]) -> Mapping[str, Visibility]:
        return await visibilities(ctx, interaction, types)

    return seen


async def allowed(ctx: RequestContext, type_: str, interaction: str) -> bool:
    """Tell whether any of the type may be reached by the interaction."""
    return bool(await _granted(ctx, type_, interaction))


async def unrestricted(ctx: RequestContext, type_: str, interaction: str) -> bool:
    """Tell whether the scopes reach all of the type; what labels or a Consent keep from the caller is still kept."""
    return await _granted(ctx, type_, interaction) == EVERYTHING


async def check_write(
    ctx: RequestContext, type_: str, interaction: str, index: IndexRows, resource_id: str | None = None
) -> None:
    """Raise Forbidden unless the new content lies inside what `interaction` grants; `index` is what it is found by.

    The stored version that an update or delete replaces is judged apart: it is selected under `visibility`.
    """
    granted = await _granted(ctx, type_, interaction, index.codings)
    if not granted:
        raise _forbidden(ctx, type_, interaction)
    if type_ in APPEND_ONLY and ctx.principal.account is not None:
        raise Forbidden(f"A person does not write {type_}: the server does.", "write-outside-scope")
    labels.check_understood(ctx.tenant, index.keys)
    if granted == EVERYTHING:
        sight = await _limited_content(ctx, type_, interaction)
        if sight == EVERYTHING or admits(sight, frozenset(index.keys)):
            return
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
    ctx: RequestContext, level: ScopeLevel, type_: str, interaction: str, index: IndexRows, resource_id: str | None
) -> bool:
    """Tell whether the scopes of one level allow the new content: whose it is first, then what the filters say."""
    scopes = _scopes(ctx, level, type_, INTERACTIONS.get(interaction, ""))
    if not scopes or not await _belongs(ctx, level, type_, index, resource_id):
        return False
    grants = [Grant(k) for s in scopes for k in await filters.alternatives(ctx.tenant, s, type_, index.codings)]
    sight = await _limited_content(ctx, type_, interaction)
    inside = both(sight, EVERYTHING if Grant() in grants else tuple(grants))
    return inside == EVERYTHING or admits(inside, await _content_keys(ctx, scopes, type_, index))


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
        for scope in _scopes_for(ctx, type_, interaction):
            if scope.level == "user" or (scope.level == "patient" and rid == ctx.principal.patient_rid):
                filtered = tuple([Grant(keys) for keys in await filters.alternatives(ctx.tenant, scope, type_)])
                found = either(found, both(filtered, glass.whole(ctx.tenant, rid)))
    return found


async def _limited_content(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what new content has to lie in: nobody writes what they may not see, but for a service that creates.

    A device hub or an interface engine posts what is labelled higher than it reads; it does not get it back.
    """
    if interaction == "create" and any(s.level == "system" for s in _scopes_for(ctx, type_, interaction)):
        return EVERYTHING
    return await _limited(ctx, type_, interaction, EVERYTHING, OF_STORED)


async def _granted(ctx: RequestContext, type_: str, interaction: str, new: Sequence[CodingRow] = ()) -> Visibility:
    """Return what the scopes alone give: the OR of their levels; `new` are codings that are about to be written."""
    letter = INTERACTIONS.get(interaction)
    if letter is None:
        return NOTHING
    sights = [sight for level in LEVELS if (sight := await _of_level(ctx, level, type_, letter, new))]
    if letter == "r" and "fhirUser" in ctx.principal.special:
        sights.append(await _oneself(ctx, type_))
    return sights[0] if len(sights) == 1 else either(*sights)


async def _oneself(ctx: RequestContext, type_: str) -> Visibility:
    """Return the resource that stands for the person who signed in: `fhirUser` lets an app read it, and no other."""
    own, _, id_ = (ctx.principal.user or "").partition("/")
    rid = await known_rid(ctx.tenant, type_, id_) if own == type_ else None
    return NOTHING if rid is None else (Grant(rids=(rid,)),)


async def _of_level(
    ctx: RequestContext, level: ScopeLevel, type_: str, letter: str, new: Sequence[CodingRow]
) -> Visibility:
    """Return what the scopes of one level give, worked out once for each principal; anew whenever it can have become more.

    That is for `user/` when whom the person cares for was asked anew, and for filters that grow with the dictionary of codings.
    """
    scopes = _scopes(ctx, level, type_, letter)
    if not scopes:
        return NOTHING
    cared = await care.of(ctx.tenant, ctx.principal.user) if level != "system" and _has_care(ctx) else care.NOBODY
    memo = ctx.principal.granted
    granted: Visibility
    serial, granted = memo.get((type_, letter, level), (-1, NOTHING))
    if serial != cared.serial:
        base = _base(ctx, level, type_, cared)
        granted = () if base is None else either(tuple([
            grant
            for scope in scopes
            for keys in await filters.alternatives(ctx.tenant, scope, type_, new)
            for grant in both(reached(ctx.tenant, base, level, type_, letter), (Grant(keys),))
        ]))  # fmt: skip
        if all(filters.lasting(scope, type_) for scope in scopes):
            memo[(type_, letter, level)] = (cared.serial, granted)
    return granted


def _scopes_for(ctx: RequestContext, type_: str, interaction: str) -> list[Scope]:
    return [s for level in LEVELS for s in _scopes(ctx, level, type_, INTERACTIONS.get(interaction, ""))]


def _has_care(ctx: RequestContext) -> bool:
    return ctx.principal.account is not None or any(scope.level == "user" for scope in ctx.principal.scopes)


def _scopes(ctx: RequestContext, level: ScopeLevel, type_: str, letter: str) -> list[Scope]:
    if not letter:
        return []
    scopes = ctx.principal.scopes
    return [s for s in scopes if s.level == level and letter in s.letters and s.type in ("*", type_)]


def _base(ctx: RequestContext, level: ScopeLevel, type_: str, cared: Care) -> Grant | None:
    """Return what the level of a scope demands, or None when it gives nothing of this type.

    `patient/` is the compartment of the launch patient and nothing beside it: Practitioner, Organization, Location and
    other types that CompartmentDefinition leaves out are not in it. Where a person signed in, that person must still have to
    do with the patient. `user/` is what the person may see: whom they care for, and what is about nobody.
    """
    principal = ctx.principal
    if level == "system":
        return Grant()
    if level == "patient":
        if principal.patient_rid is None or not in_patient_compartment(type_):
            return None
        mine = principal.account is None or cared.sees(principal.patient_rid)
        return Grant((pack(COMPARTMENT, principal.patient_rid),)) if mine else UNREACHABLE
    return _base_of_user(ctx, type_, cared)


def _base_of_user(ctx: RequestContext, type_: str, cared: Care) -> Grant | None:
    principal = ctx.principal
    if type_ in principal.unlimited:
        return Grant()
    if owned(type_) and principal.user is not None:
        return Grant((labels.tag_key(ctx.tenant, SUBSCRIBER, principal.user),))
    if held_back(type_) or (principal.user is None and not shared(type_)):
        return None
    if shared(type_) or cared.everybody:
        return Grant()
    if in_patient_compartment(type_):
        return Grant(any_of=(cared.compartments,))
    return Grant(any_of=(tuple(sorted(pack(p, rid) for p in about_patients(type_) for rid in cared.patients)),))


async def _belongs(
    ctx: RequestContext, level: ScopeLevel, type_: str, index: IndexRows, resource_id: str | None
) -> bool:
    """Tell whether new content is the token's to write: `patient/` writes into no record but that of its patient, `user/`
    into none but those of people in the user's care, not even together with one that is.
    """
    principal = ctx.principal
    if level == "system":
        return True
    if index.unseen:
        return False
    cared = await care.of(ctx.tenant, principal.user) if _has_care(ctx) else care.NOBODY
    base = _base(ctx, level, type_, cared)
    if base is None:
        return False
    patients = set(index.patients)
    if type_ == "Patient":
        patients.add(resource_id or "")
    if level == "patient":
        return base != UNREACHABLE and patients == {principal.patient}
    if base == Grant():
        return True
    if owned(type_):
        return base.admits(frozenset(index.keys))
    if not in_patient_compartment(type_):
        about = about_patients(type_)
        patients = {id_ for param, to, id_ in index.references if to == "Patient" and param in about}
    rids = {id_: await known_rid(ctx.tenant, "Patient", id_) for id_ in patients}
    strangers = {id_ for id_, rid in rids.items() if rid is None or not cared.sees(rid)}
    if type_ == "Patient" and strangers == {resource_id or ""}:
        # A patient who is new, or not in anybody's care, is taken into care by naming the user: nobody else can be meant.
        return any(name in cared.names for name in _practitioners(index))
    return bool(patients) and not strangers


def _practitioners(index: IndexRows) -> set[tuple[str, str]]:
    params = {source.id for source in table("Patient").sources["general-practitioner"]}
    return {(to, id_) for param, to, id_ in index.references if param in params}


async def _content_keys(ctx: RequestContext, scopes: Iterable[Scope], type_: str, index: IndexRows) -> frozenset[int]:
    """Return the keys of new content, as far as the filters of scopes can ask for them."""
    keys = set(index.keys)
    targets = await filters.targets(ctx.tenant, scopes, type_)
    keys.update(pack(param, targets[(t, i)]) for param, t, i in index.references if (t, i) in targets)
    return frozenset(keys)


def _forbidden(ctx: RequestContext, type_: str, interaction: str) -> Forbidden:
    level = "patient" if ctx.principal.patient else "user" if ctx.principal.account else "system"
    needed = f"{level}/{type_}.{INTERACTIONS.get(interaction, 'cruds')}"
    return Forbidden(
        f"The token does not allow {interaction} on {'any type' if type_ == '*' else type_};"
        f" it would need a scope such as {needed}.",
        "insufficient-scope",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
    )
