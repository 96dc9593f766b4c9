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

from fhir_server.auth import filters
from fhir_server.auth.scopes import INTERACTIONS
from fhir_server.context import RequestContext, Scope
from fhir_server.errors import Forbidden
from fhir_server.search.seeing import Sees
from fhir_server.storage.commands import CodingRow, IndexRows
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, Visibility
from profiles.registry import R4

Limit = Callable[[RequestContext, str, str], Awaitable[Visibility]]

LIMITS: tuple[Limit, ...] = ()
"""Where security labels and Consent join: each returns a Visibility that is ANDed with what the scopes grant.

A label the caller may not see is `(Grant(none_of=(key of a _security,)),)`; a Consent that permits only some classes is
one Grant for each. A limit that cannot be worked out returns NOTHING. Limits are asked every time and never remembered.
"""

APPEND_ONLY: Final = frozenset({"AuditEvent"})
"""Types of which a stored version is never changed or removed by anybody (R4 `auditevent.html`, BALP)."""


async def visibility(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what of `type_` the caller may reach by `interaction`; Forbidden when no scope allows it at all."""
    granted = await _granted(ctx, type_, interaction)
    if not granted:
        raise _forbidden(ctx, type_, interaction)
    if type_ in APPEND_ONLY and interaction in ("update", "patch", "delete"):
        granted = NOTHING
    return await _limited(ctx, type_, interaction, granted)


async def visibilities(
    ctx: RequestContext, interaction: str, types: Iterable[str] | None = None
) -> dict[str, Visibility]:
    """Return the visibility of each type that the caller may reach; types without a grant are left out.

    Forbidden when nothing is left, unless `types` asked for particular ones.
    """
    found: dict[str, Visibility] = {}
    for type_ in R4.types if types is None else types:
        if granted := await _granted(ctx, type_, interaction):
            found[type_] = await _limited(ctx, type_, interaction, granted)
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
    """Tell whether the caller reaches all of the type: only such a caller may create by PUT or take global claims.

    For anybody else the answer to either would tell what exists.
    """
    granted = await _granted(ctx, type_, interaction)
    return await _limited(ctx, type_, interaction, granted) == EVERYTHING


async def check_write(
    ctx: RequestContext, type_: str, interaction: str, index: IndexRows, resource_id: str | None = None
) -> None:
    """Raise Forbidden unless the new content lies inside what `interaction` grants; `index` is what it is found by.

    The stored version that an update or delete replaces is judged apart: it is selected under `visibility`.
    """
    granted = await _granted(ctx, type_, interaction, index.codings)
    if not granted:
        raise _forbidden(ctx, type_, interaction)
    inside = await _limited(ctx, type_, interaction, granted)
    if inside != EVERYTHING and not admits(inside, await _content_keys(ctx, type_, interaction, index, resource_id)):
        raise Forbidden(
            f"The {type_} as it would be stored lies outside what the token may write: it must belong to the token's"
            " patient alone and meet the filters of the scope.",
            "write-outside-scope",
        )


def admits(visibility: Visibility, keys: frozenset[int]) -> bool:
    """Tell whether a resource with these keys is seen, as `storage.visibility.visible_sql` would."""
    return any(keys.issuperset(grant.all_of) and keys.isdisjoint(grant.none_of) for grant in visibility)


def both(left: Visibility, right: Visibility) -> Visibility:
    """Return what both see: the product of two ORs of ANDs."""
    if EVERYTHING in (left, right):
        return right if left == EVERYTHING else left
    pairs = ((one, other) for one in left for other in right)
    return tuple(dict.fromkeys(Grant(_union(a.all_of, b.all_of), _union(a.none_of, b.none_of)) for a, b in pairs))


def _union(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({*left, *right}))


async def _limited(ctx: RequestContext, type_: str, interaction: str, granted: Visibility) -> Visibility:
    for limit in LIMITS:
        granted = both(granted, await limit(ctx, type_, interaction))
    return granted


async def _granted(ctx: RequestContext, type_: str, interaction: str, new: Sequence[CodingRow] = ()) -> Visibility:
    """Return what the scopes alone give, worked out once for each principal unless it can grow with the dictionary of codings."""
    letter = INTERACTIONS.get(interaction)
    if letter is None:
        return NOTHING
    memo = ctx.principal.granted
    granted: Visibility | None = memo.get((type_, letter))
    if granted is None:
        scopes = [s for s in ctx.principal.scopes if letter in s.letters and s.type in ("*", type_)]
        granted = await _compile(ctx, scopes, type_, new)
        if all(filters.lasting(scope, type_) for scope in scopes):
            memo[(type_, letter)] = granted
    return granted


async def _compile(ctx: RequestContext, scopes: Iterable[Scope], type_: str, new: Sequence[CodingRow]) -> Visibility:
    grants: dict[Grant, None] = {}
    for scope in scopes:
        grants.update(dict.fromkeys(await _grants(ctx, scope, type_, new)))
    return EVERYTHING if Grant() in grants else tuple(grants)


async def _grants(ctx: RequestContext, scope: Scope, type_: str, new: Sequence[CodingRow]) -> list[Grant]:
    base = _base(ctx, scope, type_)
    if base is None:
        return []
    return [Grant(_union(base, keys)) for keys in await filters.alternatives(ctx.tenant, scope, type_, new)]


def _base(ctx: RequestContext, scope: Scope, type_: str) -> tuple[int, ...] | None:
    """Return the keys that the level of a scope demands, or None when it gives nothing of this type.

    `patient/` is the compartment of the launch patient and nothing beside it: Practitioner, Organization, Location and
    other types that CompartmentDefinition leaves out are not in it. `user/` waits for care relationships (see docs).
    """
    if scope.level == "system":
        return ()
    if scope.level == "patient" and ctx.principal.patient_rid is not None and in_patient_compartment(type_):
        return (pack(COMPARTMENT, ctx.principal.patient_rid),)
    return None


def in_patient_compartment(type_: str) -> bool:
    """Tell whether resources of the type can belong to a patient."""
    return type_ == "Patient" or bool(R4.compartment("Patient", type_))


async def _content_keys(
    ctx: RequestContext, type_: str, interaction: str, index: IndexRows, resource_id: str | None
) -> frozenset[int]:
    """Return the keys of new content, as far as grants can ask for them.

    The compartment's key is there only when the launch patient is the only one: a `patient/` token writes into no other
    patient's record, not even together with its own.
    """
    principal = ctx.principal
    keys = set(index.keys)
    patients = set(index.patients)
    if type_ == "Patient":
        patients.add(resource_id or "")
    if principal.patient_rid is not None and patients == {principal.patient}:
        keys.add(pack(COMPARTMENT, principal.patient_rid))
    letter = INTERACTIONS[interaction]
    scopes = [s for s in principal.scopes if letter in s.letters and s.type in ("*", type_)]
    targets = await filters.targets(ctx.tenant, scopes, type_)
    keys.update(pack(param, targets[(t, i)]) for param, t, i in index.references if (t, i) in targets)
    return frozenset(keys)


def _forbidden(ctx: RequestContext, type_: str, interaction: str) -> Forbidden:
    level = "patient" if ctx.principal.patient else "system"
    needed = f"{level}/{type_}.{INTERACTIONS.get(interaction, 'cruds')}"
    return Forbidden(
        f"The token does not allow {interaction} on {'any type' if type_ == '*' else type_};"
        f" it would need a scope such as {needed}.",
        "insufficient-scope",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
    )
