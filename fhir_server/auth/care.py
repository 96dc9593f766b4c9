"""Whom a person cares for: what `user/` scopes reach, worked out from the record and remembered for seconds.

| who signs in | whose record |
|---|---|
| Practitioner, PractitionerRole | who names them as generalPractitioner, in an active CareTeam that lasts, or in an Encounter |
| Patient | their own |
| RelatedPerson, Person | of whom that resource is about, as long as it is active |

`USER_REACH=tenant` makes it every patient of the tenant for the first line (`Tenant.every_patient`), for small sites.
`CARE_ENCOUNTER_DAYS` ends what an Encounter gives so many days after the Encounter (`Tenant.care_after`); otherwise it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Final
from weakref import WeakKeyDictionary

from fhir_server.kit import clock
from fhir_server.kit.logs import logger
from fhir_server.search.parameters import table
from fhir_server.storage import care as storage
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant

SECONDS: Final = 5.0
"""So long an answer is remembered; so long a relationship that has ended still counts."""
MOST: Final = 20_000
"""Who has to do with more patients than this needs USER_REACH=tenant; until then they see none."""
CAREGIVERS: Final = frozenset({"Practitioner", "PractitionerRole"})
ABOUT_SOMEBODY: Final = frozenset({"Patient", "RelatedPerson", "Person"})

_NAMES_ON_PATIENT: Final = (("Patient", "general-practitioner"),)
_NAMES: Final = (("CareTeam", "participant"), ("Encounter", "participant"))
_ENDED: Final = (
    ("CareTeam", "status", ("proposed", "suspended", "inactive", "entered-in-error")),
    ("Encounter", "status", ("cancelled", "entered-in-error")),
    ("PractitionerRole", "active", ("false",)),
    ("RelatedPerson", "active", ("false",)),
)
RELATIONS: Final = frozenset({"Patient", "CareTeam", "Encounter", "PractitionerRole", "RelatedPerson", "Person"})
"""Types whose change can change whom somebody cares for."""

_REMEMBERED = 10_000
_serials = count(1)
_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Care:
    """Whom somebody cares for: rids of Patients, or (`everybody`) all of the tenant. `serial` tells one answer from the next."""

    serial: int
    patients: frozenset[int] = frozenset()
    everybody: bool = False
    names: frozenset[tuple[str, str]] = frozenset()
    """What a record names them by: their own resource."""
    compartments: tuple[int, ...] = ()
    """The keys of their compartments; a resource holds one of them or is not seen."""

    def sees(self, patient: int) -> bool:
        """Tell whether the patient is among them."""
        return self.everybody or patient in self.patients


def _care(names: frozenset[tuple[str, str]], patients: Iterable[int] = (), *, everybody: bool = False) -> Care:
    found = frozenset(patients)
    keys = tuple(sorted(pack(COMPARTMENT, rid) for rid in found))
    return Care(next(_serials), found, everybody, names, keys)


NOBODY: Final = Care(0)
_known: WeakKeyDictionary[Tenant, dict[str, tuple[float, Care]]] = WeakKeyDictionary()


async def of(tenant: Tenant, user: str | None) -> Care:
    """Return whom the person behind `Type/id` cares for."""
    if user is None:
        return NOBODY
    known = _known.setdefault(tenant, {})
    until, care = known.get(user, (0.0, NOBODY))
    if clock.monotonic() >= until:
        asked = clock.monotonic()
        care = await _look(tenant, user)
        if len(known) >= _REMEMBERED:
            known.clear()
        known[user] = (asked + SECONDS, care)
    return care


def renew(tenant: Tenant, user: str | None, since: float) -> None:
    """Look again at the next question unless that was done `since` (monotonic seconds): nobody is told by what held before."""
    if user is not None:
        known = _known.setdefault(tenant, {})
        if user in known and known[user][0] < since + SECONDS:
            del known[user]


def forget(tenant: Tenant, user: str | None) -> None:
    """Look again at the next question: the person may just have changed the record that decides it."""
    if user is not None:
        _known.setdefault(tenant, {}).pop(user, None)


async def _look(tenant: Tenant, user: str) -> Care:
    type_, _, id_ = user.partition("/")
    ended, names = _ended(tenant), frozenset({(type_, id_)})
    if type_ in CAREGIVERS:
        if tenant.every_patient:
            return _care(names, everybody=True)
        return _care(names, await _cared_for(tenant, type_, id_, ended))
    if type_ not in ABOUT_SOMEBODY:
        return _care(names)
    rid, patients = await storage.own_patients(tenant, type_, id_, ended)
    own = [rid] if rid is not None else []
    return _care(names, own if type_ == "Patient" else patients)


async def _cared_for(tenant: Tenant, type_: str, id_: str, ended: list[int]) -> list[int]:
    own = await known_rid(tenant, type_, id_)
    if own is None:
        return []
    rids = [own]
    if type_ == "Practitioner":
        rids += await storage.referring(tenant, _keys("PractitionerRole", "practitioner", rids), ended)
    on_patient = [key for each in _NAMES_ON_PATIENT for key in _keys(*each, rids)]
    others = [key for each in _NAMES for key in _keys(*each, rids)]
    found = await storage.related(tenant, on_patient, others, ended, _past(tenant), MOST + 1)
    if len(found) > MOST:
        _log.warning("a user cares for too many patients and sees none", tenant=tenant.name, count=len(found))
        return []
    return found


def _keys(type_: str, name: str, rids: list[int]) -> list[int]:
    """Return the index keys of references by a parameter to any of the rids."""
    return [pack(source.id, rid) for source in table(type_).sources[name] for rid in rids]


def _past(tenant: Tenant) -> dict[int, datetime]:
    """Return by parameters of dates the moment before which what they say has ended too long ago to count."""
    now = clock.now()
    rests = {"CareTeam": timedelta(0)} | ({} if tenant.care_after is None else {"Encounter": tenant.care_after})
    return {source.id: now - rest for type_, rest in rests.items() for source in table(type_).sources["date"]}


def _ended(tenant: Tenant) -> list[int]:
    """Return the keys of what says that a relationship is over, or was a mistake."""
    return [
        tenant.key(source.id, "c", code)
        for type_, name, codes in _ENDED
        for source in table(type_).sources[name]
        for code in codes
    ]
