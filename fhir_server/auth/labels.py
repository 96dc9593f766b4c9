"""Security labels: what of `meta.security` keeps a resource from a caller (R4 security-labels.html, DS4P, 42 CFR Part 2).

| label | who sees it |
|---|---|
| confidentiality U L M N R V, in this order | whose clearance is that high or higher; unlabelled counts as N |
| a sensitivity of a class of SENSITIVE | who is cleared for the class; a code under another belongs to its class |
| PSYTHPN, psychotherapy notes (45 CFR 164.501) | who has the right to them and whose app asked for `__see/PSYTHPN`; nobody else |

Labels are index keys (`_security`), so what is hidden is a list of keys that a row must not hold, on every path. A label that is
written under another system than its own would be no key of ours: such content is refused, not stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final
from weakref import WeakKeyDictionary

from fhir_server.context import Clearance, RequestContext
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.search.kinds.token import folded
from fhir_server.search.parameters import table
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Fixed, Grant, Visibility

CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_OTHER_NAMES: Final = {
    CONFIDENTIALITY: ("", "http://hl7.org/fhir/v3/Confidentiality", "urn:oid:2.16.840.1.113883.5.25"),
    ACT_CODE: ("", "http://hl7.org/fhir/v3/ActCode", "urn:oid:2.16.840.1.113883.5.4"),
}
"""What the two systems are called elsewhere, or left out; a label under such a name would be overlooked."""

LEVELS: Final = "ULMNRV"
NOTES: Final = "PSYTHPN"
SENSITIVE: Final[dict[str, tuple[str, ...]]] = {
    "mental": ("MH", "BH", "PSY", "EMOTDIS", "COGN", "DVD"),
    "SUD": ("SUD", "ETH", "ETHUD", "OPIOIDUD", "42CFRPart2"),
    "HIV": ("HIV",),
    "sexual": ("STD", "SEX"),
    "violence": ("SDV", "VIO"),
    "genetic": ("GDIS", "SICKLE"),
    NOTES: (NOTES,),
}
"""Classes of sensitivity that clearance is given for, with their codes of v3-ActCode; what is in none hides nothing."""

WORD: Final = "__see/"
DECLASSIFY: Final = "__declassify"
BREAK_GLASS: Final = "__break-glass"
ALL: Final = "all"
WORDS: Final = frozenset(
    {DECLASSIFY, BREAK_GLASS, f"{WORD}V", f"{WORD}{ALL}", *(f"{WORD}{name}" for name in SENSITIVE if name != "mental")}
)
"""Scopes of ours by which a client without a person is cleared, or an app asks for notes; `__see/all` is the custodian's own."""

ORDINARY: Final = Clearance("R", frozenset({"mental"}))
"""What a client without a person sees, unless its scopes say more."""
NONE: Final = Clearance("N")


def of_client(special: Iterable[str]) -> Clearance:
    """Return the clearance of a client that no person is behind."""
    words = {word.removeprefix(WORD) for word in special if word.startswith(WORD)}
    custodian = ALL in words
    if custodian:
        words = {"V", *SENSITIVE}
    classes, level = ORDINARY.classes | (words & SENSITIVE.keys()), "V" if "V" in words else ORDINARY.level
    return Clearance(level, classes, DECLASSIFY in special, BREAK_GLASS in special, custodian)


def of_person(named: Iterable[str], fhir_user: str | None, special: Iterable[str]) -> Clearance:
    """Return the clearance of a person by the named rights of their roles, whatever app they use; notes have to be asked for too.

    A patient sees their own record whole but for psychotherapy notes (45 CFR 164.524(a)(1)(i)); a RelatedPerson does not.
    """
    rights = {word.removeprefix(WORD) for word in named if word.startswith(WORD)}
    if fhir_user is not None and fhir_user.startswith("Patient/"):
        rights |= {"V", *SENSITIVE.keys() - {NOTES}}
    if WORD + NOTES not in special:
        rights.discard(NOTES)
    level = next((level for level in "VR" if level in rights), NONE.level)
    return Clearance(level, frozenset(rights & SENSITIVE.keys()), DECLASSIFY in named, BREAK_GLASS in named)


def _param(name: str) -> int:
    [source] = table("Resource").sources[name]
    return source.id


def label_key(tenant: Tenant, system: str, code: str) -> int:
    """Return the index key of a label."""
    return tenant.key(_param("_security"), "sc", system, folded(system, code))


def tag_key(tenant: Tenant, system: str, code: str) -> int:
    """Return the index key of a tag."""
    return tenant.key(_param("_tag"), "sc", system, folded(system, code))


def levels_above(tenant: Tenant, level: str) -> tuple[int, ...]:
    """Return the keys of all confidentiality above a level."""
    return tuple(label_key(tenant, CONFIDENTIALITY, code) for code in LEVELS[LEVELS.index(level) + 1 :])


_hidden: WeakKeyDictionary[Tenant, dict[Clearance, Visibility]] = WeakKeyDictionary()
_aliases: WeakKeyDictionary[Tenant, frozenset[int]] = WeakKeyDictionary()
_classes: WeakKeyDictionary[Tenant, dict[str, frozenset[int]]] = WeakKeyDictionary()


def visible(tenant: Tenant, clearance: Clearance) -> Visibility:
    """Return what a clearance shows."""
    known = _hidden.setdefault(tenant, {})
    if clearance not in known:
        kept = [key for name, held in classes(tenant).items() if name not in clearance.classes for key in held]
        known[clearance] = (Grant(none_of=Fixed(sorted({*kept, *levels_above(tenant, clearance.level)}))),)
    return known[clearance]


def classes(tenant: Tenant) -> dict[str, frozenset[int]]:
    """Return the keys of each class of sensitivity."""
    if tenant not in _classes:
        _classes[tenant] = {
            name: frozenset(label_key(tenant, ACT_CODE, code) for code in codes) for name, codes in SENSITIVE.items()
        }
    return _classes[tenant]


async def limit(ctx: RequestContext, type_: str, interaction: str) -> Visibility:  # noqa: ARG001  the shape of all limits
    """Return what the caller is cleared for."""
    return visible(ctx.tenant, ctx.principal.clearance)


@cache
def _codes() -> dict[str, tuple[str, ...]]:
    return {CONFIDENTIALITY: tuple(LEVELS), ACT_CODE: tuple(code for codes in SENSITIVE.values() for code in codes)}


def _misnamed(tenant: Tenant) -> frozenset[int]:
    if tenant not in _aliases:
        _aliases[tenant] = frozenset(
            label_key(tenant, other, code)
            for system, others in _OTHER_NAMES.items()
            for other in others
            for code in _codes()[system]
        )
    return _aliases[tenant]


def check_understood(tenant: Tenant, keys: Iterable[int]) -> None:
    """Raise Unprocessable when content carries a label that means something here under a name by which it would be overlooked."""
    if not _misnamed(tenant).isdisjoint(keys):
        text = (
            f"A security label is written without its system, or under an old name of it: use {CONFIDENTIALITY} for"
            f" {' '.join(LEVELS)}, {ACT_CODE} for sensitivity."
        )
        raise Unprocessable(text, "label-system", "Resource.meta.security")


def check_kept(ctx: RequestContext, before: Iterable[int], after: Iterable[int]) -> None:
    """Raise Forbidden when new content lacks protection that the version before had, unless the caller may declassify.

    Confidentiality may rise, not fall; a class of sensitivity that was named stays named, by the same code or another of it.
    """
    if ctx.principal.clearance.declassify:
        return
    had, has = frozenset(before), frozenset(after)
    if not _weaker(ctx.tenant, had, has):
        return
    text = (
        "The security labels that protect this resource would be taken away or lowered: send them along (meta.security),"
        f" or use a token with the right to declassify ({DECLASSIFY})."
    )
    raise Forbidden(text, "label-removed", "Resource.meta.security")


def _weaker(tenant: Tenant, had: frozenset[int], has: frozenset[int]) -> bool:
    if any(held & had and not held & has for held in classes(tenant).values()):
        return True
    return _level(tenant, has) < _level(tenant, had)


def _level(tenant: Tenant, keys: frozenset[int]) -> int:
    """Return the place of the highest confidentiality among the keys; without any it is that of N."""
    held = [at for at, code in enumerate(LEVELS) if label_key(tenant, CONFIDENTIALITY, code) in keys]
    return max(held, default=LEVELS.index("N"))
