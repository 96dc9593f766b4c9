"""The active Consents of a tenant, as this process knows them, and the limit on access that they make.

They are looked for again within a second, and at once after this process has written one; what is worked out of them is kept for
seconds. When they cannot be looked for, the request fails: nothing is shown under rules that may be old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
from fhir_server.search.kinds.date import FIRST
from fhir_server.storage import consents
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, Visibility, both, either

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


@dataclass(slots=True)
class Known:
    """What is known; `made` are conditions by what was asked, `version` counts the changes that were found."""

    version: int = 0
    seen: dict[int, tuple[int, int | None, Rules | None]] = field(default_factory=dict)
    """By rid of a Consent: its version, the patient it speaks for, its rules (None: it says nothing)."""
    by_patient: dict[int, list[Rules]] = field(default_factory=dict)
    """What they say of access to the record."""
    of_research: dict[int, list[Rules]] = field(default_factory=dict)
    """What they say of research alone."""
    newest: datetime = FIRST
    until: float = 0.0
    written: int = -1
    made: dict[tuple[object, ...], tuple[float, Visibility]] = field(default_factory=dict)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


_known: WeakKeyDictionary[Tenant, Known] = WeakKeyDictionary()
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


def _is_fresh(tenant: Tenant, found: Known) -> bool:
    return clock.monotonic() < found.until and found.written == tenant.written[consents.TYPE]


async def _look(tenant: Tenant, found: Known) -> None:
    asked, written = clock.monotonic(), tenant.written[consents.TYPE]
    since = FIRST if found.newest == FIRST else found.newest - _OVERLAP
    changes = [kept for kept in await consents.changed(tenant, since) if _is_news(found, kept)]
    for kept in changes:
        rules = _rules(tenant, kept)
        found.seen[kept.rid] = (kept.version, kept.patients[0] if kept.patients else None, rules)
        found.newest = max(found.newest, kept.last_updated)
        if rules is not None and not rules.understood:
            _log.warning(
                "a Consent is not understood and denies all that it may speak of", tenant=tenant.name, rid=kept.rid
            )
    if changes:
        found.version += 1
        found.by_patient, found.of_research, found.made = {}, {}, {}
        for _, patient, rules in found.seen.values():
            if patient is not None and rules is not None:
                (found.of_research if rules.research else found.by_patient).setdefault(patient, []).append(rules)
    found.until, found.written = asked + LOOK_SECONDS, written


def _is_news(found: Known, kept: consents.Kept) -> bool:
    version = found.seen.get(kept.rid, (0, None, None))[0]
    return kept.version != version or kept.body == b""  # one that was erased keeps its version


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
    said = {p: [*found.by_patient.get(p, ()), *found.of_research.get(p, ())] for p in spoken}
    whole = {p for p, rules in said.items() if await _of_patient(question, found, rules) == EVERYTHING}
    if tenant.consent_required:
        return whole.__contains__
    restricted = spoken - whole
    return lambda patient: patient not in restricted


async def _made(question: Question, found: Known) -> Visibility:
    tenant, own = question.tenant, question.asker.patient
    exempt = await known_rid(tenant, "Patient", own) if own is not None else None
    shown: dict[int, Visibility] = {} if exempt is None else {exempt: EVERYTHING}
    for patient, consents_ in list(found.by_patient.items()):
        if patient != exempt:
            shown[patient] = await _of_patient(question, found, consents_)
    return _combined(shown, closed=tenant.consent_required)


async def _of_patient(question: Question, found: Known, consents_: list[Rules]) -> Visibility:
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


def _combined(shown: dict[int, Visibility], *, closed: bool) -> Visibility:
    """Return one condition of those of all patients; `closed` shows nobody's record who is not named."""
    restricted = sorted(patient for patient, sight in shown.items() if sight != EVERYTHING)
    keys = tuple(pack(COMPARTMENT, patient) for patient in restricted)
    grants = [] if closed else [Grant(none_of=keys)]
    for patient, sight in shown.items():
        own = pack(COMPARTMENT, patient)
        if closed or sight != EVERYTHING:
            grants += both((Grant((own,), tuple(key for key in keys if key != own)),), sight)
    return tuple(grants)
