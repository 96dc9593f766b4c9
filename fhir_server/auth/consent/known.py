"""The active Consents of a tenant, as this process knows them, and the limit on access that they make.

They are looked for again within a second, and at once after this process has written one; what is worked out of them is kept for
seconds. When they cannot be looked for, the request fails: nothing is shown under rules that may be old.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from fhir_server.auth.consent.callers import asker
from fhir_server.auth.consent.compiled import MOST_GRANTS, Question, permitted
from fhir_server.auth.consent.rules import Provision, Rules, rules_of
from fhir_server.auth.reach import in_patient_compartment
from fhir_server.context import RequestContext
from fhir_server.kit import clock, json
from fhir_server.kit.logs import logger
from fhir_server.search.kinds.date import FIRST, LAST
from fhir_server.storage import consents
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, Unless, Visibility, both, either

LOOK_SECONDS: Final = 1.0
"""So long another process may go on by what a patient has just changed."""
_TRAIL: Final = "AuditEvent"
"""What was done is shown to whom the scopes show it: no patient takes it from an auditor (45 CFR 164.312(b))."""
KEEP_SECONDS: Final = 5.0
"""So long a period that has begun or ended may go unnoticed."""
RESEARCH: Final = frozenset({"HRESCH", "PurposeOfUse"})
"""The purpose that a Consent is asked about for research (v3-ActReason)."""
_OVERLAP: Final = timedelta(minutes=2)
"""A commit may become visible later than one that is newer: so far back each look goes."""
_MOST: Final = 20_000

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Signed:
    """Rules without the period of the whole, and that period."""

    rules: Rules
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Alike:
    """Patients by what their Consents say now: rules, and the keys of the compartments of all who have signed just these."""

    until: float
    groups: list[tuple[tuple[Rules, ...], tuple[int, ...]]]
    together: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)
    """The keys of several groups by their numbers: the same object for all callers."""

    def keys(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Return the keys of some groups."""
        if len(numbers) == 1:
            return self.groups[numbers[0]][1]
        found = self.together.get(numbers)
        if found is None:
            found = self.together[numbers] = tuple(sorted(key for at in numbers for key in self.groups[at][1]))
        return found


@dataclass(slots=True)
class Known:
    """What is known; `made` are conditions by what was asked, `version` counts the changes that were found."""

    version: int = 0
    seen: dict[int, tuple[int, int | None, Signed | None]] = field(default_factory=dict)
    """By rid of a Consent: its version, the patient it speaks for, what that one signed (None: it says nothing)."""
    by_patient: dict[int, list[Signed]] = field(default_factory=dict)
    """What they say of access to the record."""
    of_research: dict[int, list[Signed]] = field(default_factory=dict)
    """What they say of research alone."""
    texts: dict[Rules, Rules] = field(default_factory=dict)
    """The rules that there are, each once: what thousands have signed is worked out once."""
    alike: Alike = field(default_factory=lambda: Alike(0.0, []))
    newest: datetime = FIRST
    until: float = 0.0
    written: int = -1
    made: dict[tuple[object, ...], tuple[float, Visibility]] = field(default_factory=dict)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


_known: WeakKeyDictionary[Tenant, Known] = WeakKeyDictionary()
_UNSEEN: Final[tuple[int, int | None, Signed | None]] = (0, None, None)
_DENIES: Final = Rules(None, Provision(None), understood=False)


async def known(tenant: Tenant) -> Known:
    """Return the Consents, looked for again when it is time."""
    found = _known.setdefault(tenant, Known())
    if _is_fresh(tenant, found):
        return found
    async with found.looking:
        if not _is_fresh(tenant, found):
            await _look(tenant, found)
    return found


def forget(tenant: Tenant) -> None:
    """Look for all of them again at the next question."""
    _known.pop(tenant, None)


def _is_fresh(tenant: Tenant, found: Known) -> bool:
    return clock.monotonic() < found.until and found.written == tenant.written[consents.TYPE]


async def _look(tenant: Tenant, found: Known) -> None:
    asked, written = clock.monotonic(), tenant.written[consents.TYPE]
    since = FIRST if found.newest == FIRST else found.newest - _OVERLAP
    changes = await consents.changed(tenant, since, lambda rid: found.seen.get(rid, _UNSEEN)[0])
    for kept in changes:
        rules = _rules(tenant, kept)
        signed = None if rules is None else _signed(found, rules)
        found.seen[kept.rid] = (kept.version, kept.patients[0] if kept.patients else None, signed)
        found.newest = max(found.newest, kept.last_updated)
        if rules is not None and not rules.understood:
            _log.warning(
                "a Consent is not understood and denies all that it may speak of", tenant=tenant.name, rid=kept.rid
            )
    if changes:
        found.version += 1
        found.by_patient, found.of_research, found.made, found.alike = {}, {}, {}, Alike(0.0, [])
        for _, patient, each in found.seen.values():
            if patient is not None and each is not None:
                (found.of_research if each.rules.research else found.by_patient).setdefault(patient, []).append(each)
    found.until, found.written = asked + LOOK_SECONDS, written


def _signed(found: Known, rules: Rules) -> Signed:
    text = replace(rules, root=replace(rules.root, start=FIRST, end=LAST))
    return Signed(found.texts.setdefault(text, text), rules.root.start, rules.root.end)


def _rules(tenant: Tenant, kept: consents.Kept) -> Rules | None:
    if kept.body is None:
        return _DENIES
    return rules_of(json.decode_trusted(kept.body), tenant.base) if kept.body else None


# ---- the limit ----


async def limit(ctx: RequestContext, type_: str, interaction: str) -> Visibility:
    """Return what the Consents of all patients leave of a type."""
    tenant = ctx.tenant
    if ctx.principal.clearance.custodian:
        return EVERYTHING
    found = await known(tenant)
    if type_ == _TRAIL or not in_patient_compartment(type_) or (not found.by_patient and not tenant.consent_required):
        return EVERYTHING
    who = await asker(tenant, ctx.principal)
    at = (who, type_, interaction)
    until, made = found.made.get(at, (0.0, NOTHING))
    if clock.monotonic() >= until:
        asked, version = clock.monotonic(), found.version
        made = await _made(Question(tenant, who, type_, interaction, lambda *name: known_rid(tenant, *name)), found)
        if len(found.made) >= _MOST:
            found.made.clear()
        if version == found.version:
            found.made[at] = (asked + KEEP_SECONDS, made)
    return made


async def whole_for_research(ctx: RequestContext, type_: str) -> Callable[[int], bool]:
    """Return which patients (by rid) let all their resources of a type be used for research, as far as Consents go.

    Those of access to the record are asked for the purpose, those of scope `research` as they are.
    """
    tenant = ctx.tenant
    found, who = await known(tenant), await asker(tenant, ctx.principal)
    asked = replace(who, purposes=RESEARCH, patient=None)
    question = Question(tenant, asked, type_, "search-type", lambda *name: known_rid(tenant, *name))
    spoken = {*found.by_patient, *found.of_research}
    said = {p: _now([*found.by_patient.get(p, ()), *found.of_research.get(p, ())]) for p in spoken}
    whole = {p for p, rules in said.items() if await _of_patient(question, found, rules) == EVERYTHING}
    if tenant.consent_required:
        return whole.__contains__
    restricted = spoken - whole
    return lambda patient: patient not in restricted


def _now(signed: Iterable[Signed]) -> tuple[Rules, ...]:
    """Return what holds now."""
    now = clock.now()
    return tuple([each.rules for each in signed if each.start <= now < each.end])


def _alike(found: Known) -> Alike:
    """Return the patients by what they say now; who says nothing now is among them."""
    if clock.monotonic() >= found.alike.until:
        until = clock.monotonic() + KEEP_SECONDS
        grouped: dict[tuple[int, ...], tuple[tuple[Rules, ...], list[int]]] = {}
        for patient, signed in found.by_patient.items():
            rules = _now(signed)
            grouped.setdefault(tuple(map(id, rules)), (rules, []))[1].append(pack(COMPARTMENT, patient))
        found.alike = Alike(until, [(rules, tuple(sorted(keys))) for rules, keys in grouped.values()])
    return found.alike


async def _made(question: Question, found: Known) -> Visibility:
    tenant, own = question.tenant, question.asker.patient
    alike = _alike(found)
    by_sight: dict[Visibility, list[int]] = {}
    for number, (rules, _) in enumerate(alike.groups):
        by_sight.setdefault(await _of_patient(question, found, rules), []).append(number)
    rid = await known_rid(tenant, "Patient", own) if own is not None else None
    exempt = None if rid is None else pack(COMPARTMENT, rid)
    return _combined(
        {sight: _without(alike.keys(tuple(numbers)), exempt) for sight, numbers in by_sight.items()},
        closed=tenant.consent_required,
        exempt=exempt,
    )


def _without(keys: tuple[int, ...], exempt: int | None) -> tuple[int, ...]:
    at = bisect_left(keys, exempt) if exempt is not None else len(keys)
    return (*keys[:at], *keys[at + 1 :]) if at < len(keys) and keys[at] == exempt else keys


async def _of_patient(question: Question, found: Known, consents_: Sequence[Rules]) -> Visibility:
    """Return what all Consents of a patient permit; where one is required, silence of all is no permission."""
    sight: Visibility = EVERYTHING
    for rules in consents_:
        sight = both(sight, await _of_one(question, found, rules, otherwise=True))
    if question.tenant.consent_required:
        said = [await _of_one(question, found, rules, otherwise=False) for rules in consents_]
        sight = both(sight, either(*said))
    return sight if len(sight) <= MOST_GRANTS else NOTHING


async def _of_one(question: Question, found: Known, rules: Rules, *, otherwise: bool) -> Visibility:
    """Return what a Consent permits; worked out once for all types when it names none."""
    at = (id(rules), question.asker, question.type if rules.typed else "", question.actions, otherwise)
    until, made = found.made.get(at, (0.0, NOTHING))
    if clock.monotonic() >= until:
        made = await permitted(question, rules, otherwise=otherwise)
        found.made[at] = (clock.monotonic() + KEEP_SECONDS, made)
    return made


def _combined(shown: dict[Visibility, tuple[int, ...]], *, closed: bool, exempt: int | None) -> Visibility:
    """Return one condition of those of all patients; `closed` shows nobody's record who is not named.

    What is of several patients is seen as far as all of them let it be seen.
    """
    unless = tuple([Unless(keys, sight) for sight, keys in shown.items() if sight != EVERYTHING and keys])
    if not closed:
        return (Grant(unless=unless),)
    named = [key for sight, keys in shown.items() if sight != NOTHING for key in keys]
    own = () if exempt is None else (exempt,)
    return (Grant(any_of=(tuple(sorted({*named, *own})),), unless=unless),)
