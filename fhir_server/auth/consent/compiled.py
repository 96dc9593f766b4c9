"""Rules and a caller to a condition on index keys: what of a patient's record a Consent permits (R4 consent.html#6.2.4).

A provision meets resources at least (`surely`) and at most (`perhaps`): the two differ by what is not understood. A denial counts
where it perhaps meets, a permission only where it surely does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from fhir_server.auth import labels
from fhir_server.auth.consent.callers import Asker
from fhir_server.auth.consent.rules import Coded, Provision, Rules
from fhir_server.kit import clock
from fhir_server.search.kinds.token import folded
from fhir_server.search.parameters import table
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, Visibility, both, either, outside

MOST_GRANTS: Final = 64
"""A Consent that comes to more than this, for one type, denies everything: no statement should be that long."""
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
ACTIONS: Final = "http://terminology.hl7.org/CodeSystem/consentaction"
REASONS: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_KNOWN_ACTIONS: Final = frozenset({"collect", "access", "use", "disclose", "correct"})
_CHANGING: Final = frozenset({"update", "patch", "delete"})
_CODED: Final = ("code", "type", "category", "vaccine-code")
"""Search parameters that say what a resource is about."""

UNDER: Final[dict[str, tuple[str, ...]]] = {
    "BH": ("COGN", "DVD", "EMOTDIS", "MH", "PSY", "PSYTHPN", "SUD", "ETHUD", "OPIOIDUD"),
    "PSY": ("PSYTHPN",),
    "SUD": ("ETHUD", "OPIOIDUD"),
}
"""Which codes of sensitivity stand below another in v3-ActCode."""

_Part: TypeAlias = tuple[Visibility, bool]
"""What a condition meets at most, and whether that is exact."""
NameOf: TypeAlias = Callable[[str, str], Awaitable[int | None]]


class TooLong(Exception):
    """The condition of a Consent has more alternatives than a statement should have."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the rules: by whom, of which type, by which interaction."""

    tenant: Tenant
    asker: Asker
    type: str
    interaction: str
    rid_of: NameOf

    @property
    def actions(self) -> frozenset[str]:
        """Return what the interaction is among the actions of Consents."""
        return frozenset(
            {"access", "correct", "use"} if self.interaction in _CHANGING else {"access", "use", "disclose"}
        )


@dataclass(frozen=True, slots=True)
class _Met:
    surely: Visibility
    perhaps: Visibility


async def permitted(question: Question, rules: Rules, *, otherwise: bool) -> Visibility:
    """Return what the Consent permits; `otherwise` is what holds where it says nothing."""
    if not rules.understood:
        return NOTHING
    try:
        return await _permitted(question, rules, EVERYTHING if otherwise else NOTHING)
    except TooLong:
        return NOTHING


async def _permitted(question: Question, rules: Rules, otherwise: Visibility) -> Visibility:
    root = rules.root
    if not root.start <= clock.now() < root.end:
        return otherwise
    met = await _met(question, root)
    if root.type is not None:
        beside = otherwise if rules.base is None else _all_of(rules.base)
        return _checked(_choice(met, await _inside(question, root, root.type), beside))
    if rules.base == "permit":
        if not root.nested and root.conditional:
            return _checked(outside(met.perhaps))
        inside = await _inside(question, root, "permit")
        return _checked(_choice(met, inside, EVERYTHING))
    if not root.nested:
        return NOTHING
    return _checked(both(met.surely, await _inside(question, root, "deny")))


def _all_of(decision: str) -> Visibility:
    return EVERYTHING if decision == "permit" else NOTHING


def _choice(met: _Met, inside: Visibility, beside: Visibility) -> Visibility:
    """Return `inside` where the conditions are met and `beside` where not; where nobody can say, only what both permit."""
    surely, not_at_all = both(met.surely, inside), both(outside(met.perhaps), beside)
    return either(surely, not_at_all, both(inside, beside))


async def _inside(question: Question, provision: Provision, own: str) -> Visibility:
    """Return what is permitted where a provision is met: its own word, but for the exceptions nested in it."""
    excepted: Visibility = EVERYTHING
    opened: Visibility = NOTHING
    for each in provision.nested:
        if not each.start <= clock.now() < each.end:
            continue
        met = await _met(question, each)
        inside = await _inside(question, each, each.type or "deny")
        excepted = _checked(both(excepted, either(outside(met.perhaps), inside)))
        opened = _checked(either(opened, both(met.surely, inside)))
    return excepted if own == "permit" else _checked(both(excepted, opened))


def _checked(visibility: Visibility) -> Visibility:
    if len(visibility) > MOST_GRANTS:
        raise TooLong
    return visibility


# ---- what a provision meets ----


async def _met(question: Question, provision: Provision) -> _Met:
    plain = [
        _actors(question, provision.actors),
        _action(question, provision),
        _among(provision.purposes, REASONS, None, question.asker.purposes),
        _classes(question, provision.classes),
        None if provision.unclear else True,
    ]
    if False in plain:
        return _Met(NOTHING, NOTHING)
    parts = [
        _labelled(question.tenant, provision.labels),
        _coded(question, provision),
        await _data(question, provision),
    ]
    wide: Visibility = EVERYTHING
    for part, _ in parts:
        wide = both(wide, part)
    return _Met(NOTHING if None in plain or not all(exact for _, exact in parts) else wide, wide)


def _actors(question: Question, actors: Iterable[str]) -> bool | None:
    """Tell whether one of the recipients is the caller; nobody named is everybody."""
    said = [question.asker.is_named(actor) for actor in actors]
    return _any(said)


def _action(question: Question, provision: Provision) -> bool | None:
    said = _among(provision.actions, ACTIONS, _KNOWN_ACTIONS, question.actions)
    return None if "action" in provision.unclear and not (provision.actions and said) else said


def _any(said: list[bool | None]) -> bool | None:
    if not said or True in said:
        return True
    return None if None in said else False


def _among(given: Iterable[Coded], system: str, known: frozenset[str] | None, ours: frozenset[str]) -> bool | None:
    return _any([
        None if name != system or (known is not None and code not in known) else code in ours for name, code in given
    ])  # fmt: skip


def _classes(question: Question, given: Iterable[Coded]) -> bool | None:
    return _any([code == question.type if system == RESOURCE_TYPES else None for system, code in given])


def _labelled(tenant: Tenant, given: Iterable[Coded]) -> _Part:
    """Return what carries a label: confidentiality up to the highest that is named, one of the others or what stands below it."""
    levels = [code for system, code in given if system == labels.CONFIDENTIALITY and code in tuple(labels.LEVELS)]
    found: Visibility = EVERYTHING
    if levels and (above := labels.levels_above(tenant, max(levels, key=labels.LEVELS.index))):
        found = (Grant(none_of=tuple(sorted(above))),)
    others = [(system, code) for system, code in given if system != labels.CONFIDENTIALITY or code not in levels]
    if not all(system and code for system, code in others):
        return found, False
    if others:
        below = [
            (labels.ACT_CODE, each)
            for system, code in others
            if system == labels.ACT_CODE
            for each in UNDER.get(code, ())
        ]
        keys = {labels.label_key(tenant, *each) for each in (*others, *below)}
        found = both(found, (Grant(any_of=(tuple(sorted(keys)),)),))
    return found, True


def _coded(question: Question, provision: Provision) -> _Part:
    if "code" in provision.unclear or not all(system and code for system, code in provision.codes):
        return EVERYTHING, False
    if not provision.codes:
        return EVERYTHING, True
    key = question.tenant.key
    sources = table(question.type).sources
    keys = {
        key(source.id, "sc", system, folded(system, code))
        for name in _CODED
        for source in sources.get(name, ())
        for system, code in provision.codes
    }
    return ((Grant(any_of=(tuple(sorted(keys)),)),) if keys else NOTHING), True


async def _data(question: Question, provision: Provision) -> _Part:
    if "data" in provision.unclear:
        return EVERYTHING, False
    if not provision.data:
        return EVERYTHING, True
    named = [await question.rid_of(type_, id_) for type_, id_ in provision.data if type_ == question.type]
    rids = tuple(sorted({rid for rid in named if rid is not None}))
    return ((Grant(rids=rids),) if rids else NOTHING), True
