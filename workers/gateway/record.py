"""Who and what is named in a record: everything of it that can identify somebody, gathered to be replaced.

Read under EVERYTHING: what nobody asked for has to be known too, to keep it in. It never leaves this room but as replacements.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fhir_server.kit import json
from fhir_server.search.record import Wanted, of_patient, part
from fhir_server.search.select import Position
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.registry import R4
from workers.gateway.deid.known import Known

IDENTIFYING: Final = frozenset(
    {
        "Patient", "RelatedPerson", "Person", "Practitioner", "PractitionerRole", "Organization", "Location", "HealthcareService",
        "CareTeam", "Coverage", "Account", "Device", "Encounter", "EpisodeOfCare", "Appointment", "Group", "Endpoint",
    }
)  # fmt: skip
"""Types that name people, places, numbers; what a member of the record refers to is followed two steps."""
_PAGE: Final = 500
_MOST: Final = 20_000
"""Resources of these types in one record; with more, nothing is sent rather than something overlooked."""


class TooMuch(Exception):
    """A record names more than can be looked for."""


async def known_of(tenant: Tenant, rid: int, patient: str, sources: Iterable[tuple[str, str]]) -> Known:
    """Return the identifiers of a patient's record and of the sources themselves."""
    every = dict.fromkeys(R4.types, EVERYTHING)
    known, seen = Known(), set[tuple[str, str]]()
    wanted = Wanted(every, every, IDENTIFYING)
    position: Position | None = Position(0, ())
    further: set[tuple[str, str]] = {("Patient", patient), *sources}
    while position is not None:
        page = await part(tenant, of_patient(rid), wanted, position, _PAGE)
        further |= _take(known, [*page.members, *page.targets], seen)
        position = page.next
        if len(seen) > _MOST:
            raise TooMuch
    for _ in range(2):
        missing = sorted(further - seen)
        found = await reads.read_many(tenant, missing, every) if missing else {}
        further = {name for name in _take(known, found.values(), seen) if name[0] in IDENTIFYING}
    return known


def _take(known: Known, found: Iterable[Stored], seen: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Take in resources and return what they refer to."""
    referred: set[tuple[str, str]] = set()
    for stored in found:
        if (stored.type, stored.id) in seen or not stored.body:
            continue
        seen.add((stored.type, stored.id))
        resource = json.decode_trusted(stored.body)
        known.add(resource)
        referred |= {name for name in _references(resource) if name[0] in IDENTIFYING}
    return referred


def _references(value: Any) -> set[tuple[str, str]]:
    if isinstance(value, list):
        return {name for each in value for name in _references(each)}
    if not isinstance(value, dict):
        return set()
    found = {name for each in value.values() for name in _references(each)}
    if isinstance(text := value.get("reference"), str):
        parts = text.split("/")
        if len(parts) >= 2 and "://" not in text and R4.is_type(parts[0]):
            found.add((parts[0], parts[1]))
    return found
