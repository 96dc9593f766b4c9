"""What the scopes of a token give by themselves, before labels, Consents and emergency access: an OR of the levels.

`patient/` gives the compartment of one patient, `user/` what the person behind the token may see, `system/` everything; the
filters of a scope narrow it. `policy.py` is the only one that asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.auth import care, filters, labels
from fhir_server.auth.care import Care
from fhir_server.auth.reach import SUBSCRIBER, about_patients, held_back, in_patient_compartment, owned, reached, shared
from fhir_server.auth.scopes import INTERACTIONS
from fhir_server.context import RequestContext, Scope, ScopeLevel
from fhir_server.errors import Forbidden
from fhir_server.storage.commands import CodingRow
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import NOTHING, Grant, Visibility, both, either

LEVELS: Final[tuple[ScopeLevel, ...]] = ("system", "patient", "user")

UNREACHABLE: Final = Grant(any_of=((),))
"""A scope that is there and reaches nothing: one of no keys is held by no row."""


async def by_scopes(ctx: RequestContext, type_: str, interaction: str, new: Sequence[CodingRow] = ()) -> Visibility:
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
    scopes = scopes_at(ctx, level, type_, letter)
    if not scopes:
        return NOTHING
    cared = await care.of(ctx.tenant, ctx.principal.user) if level != "system" and has_care(ctx) else care.NOBODY
    memo = ctx.principal.granted
    granted: Visibility
    serial, granted = memo.get((type_, letter, level), (-1, NOTHING))
    if serial != cared.serial:
        base = base_of(ctx, level, type_, cared)
        granted = () if base is None else either(tuple([
            grant
            for scope in scopes
            for keys in await filters.alternatives(ctx.tenant, scope, type_, new)
            for grant in both(reached(ctx.tenant, base, level, type_, letter), (Grant(keys),))
        ]))  # fmt: skip
        if all(filters.lasting(scope, type_) for scope in scopes):
            memo[(type_, letter, level)] = (cared.serial, granted)
    return granted


def scopes_for(ctx: RequestContext, type_: str, interaction: str) -> list[Scope]:
    """Return the scopes of all levels that speak of a type and an interaction."""
    return [s for level in LEVELS for s in scopes_at(ctx, level, type_, INTERACTIONS.get(interaction, ""))]


def has_care(ctx: RequestContext) -> bool:
    """Tell whether what the caller sees depends on whom a person cares for."""
    return ctx.principal.account is not None or any(scope.level == "user" for scope in ctx.principal.scopes)


def scopes_at(ctx: RequestContext, level: ScopeLevel, type_: str, letter: str) -> list[Scope]:
    """Return the scopes of one level that open a letter of a type; no letter is opened by none."""
    if not letter:
        return []
    scopes = ctx.principal.scopes
    return [s for s in scopes if s.level == level and letter in s.letters and s.type in ("*", type_)]


def base_of(ctx: RequestContext, level: ScopeLevel, type_: str, cared: Care) -> Grant | None:
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


def forbidden(ctx: RequestContext, type_: str, interaction: str) -> Forbidden:
    """Return the refusal when no scope allows an interaction; it names one that would."""
    level = "patient" if ctx.principal.patient else "user" if ctx.principal.account else "system"
    needed = f"{level}/{type_}.{INTERACTIONS.get(interaction, 'cruds')}"
    return Forbidden(
        f"The token does not allow {interaction} on {'any type' if type_ == '*' else type_};"
        f" it would need a scope such as {needed}.",
        "insufficient-scope",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
    )
