"""Who a recipient is: the person behind a reference, with the contact points that count for messages to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage import contacts, reads
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.messages.communication import SERVED
from workers.messages.contact import Point, points
from workers.twin.zone import zone_of

Resource = dict[str, Any]
_SEES = dict.fromkeys(SERVED, EVERYTHING)


@dataclass(frozen=True, slots=True)
class Holder:
    """A person, and the resource that states the contact points: the person's own, or a role of theirs."""

    rid: int
    name: str
    person: Mapping[str, Any] = field(repr=False)
    stated_by: int
    points: tuple[Point | None, ...] = field(repr=False)

    def usable(self) -> list[Point]:
        """Return the contact points that can be used as they are written."""
        return [point for point in self.points if point is not None]

    def zone(self, settings: Settings) -> tzinfo:
        """Return the clock that the person lives by."""
        return zone_of(dict(self.person)) or ZoneInfo(settings.time_zone)


async def holder(tenant: Tenant, reference: str, now: datetime, base: str) -> Holder | None:
    """Return who is meant by `Type/id`; None for what is not served, is not here, or was deleted."""
    found = await _read(tenant, reference)
    if found is None:
        return None
    stored, resource = found
    if resource["resourceType"] != "PractitionerRole":
        return Holder(stored.rid, _name(stored), resource, stored.rid, tuple(points(resource, now, base)))
    behind = await _read(tenant, str(resource.get("practitioner", {}).get("reference", "")))
    if behind is None or behind[1]["resourceType"] != "Practitioner":
        return Holder(stored.rid, _name(stored), resource, stored.rid, tuple(points(resource, now, base)))
    person = behind[1] if resource.get("active", True) else behind[1] | {"active": False}
    own = tuple(points(resource, now, base))
    if own:
        return Holder(behind[0].rid, _name(behind[0]), person, stored.rid, own)
    return Holder(behind[0].rid, _name(behind[0]), person, behind[0].rid, tuple(points(person, now, base)))


async def holder_of(tenant: Tenant, rid: int, now: datetime, base: str) -> Holder | None:
    """Return who states contact points under a rid."""
    found = await reads.fetch(tenant, [rid])
    return await holder(tenant, _name(found[0]), now, base) if found else None


def _name(stored: reads.Stored) -> str:
    return f"{stored.type}/{stored.id}"


async def _read(tenant: Tenant, reference: str) -> tuple[reads.Stored, Resource] | None:
    type_, _, id_ = reference.partition("/_history")[0].partition("/")
    if type_ not in SERVED or not id_:
        return None
    stored = (await reads.read_many(tenant, [(type_, id_)], _SEES)).get((type_, id_))
    return None if stored is None or stored.deleted else (stored, json.decode_trusted(stored.body))


def keys(tenant: Tenant, found: list[Point]) -> dict[int, Point]:
    """Return contact points by the hash that rows know them by."""
    return {contacts.address_key(tenant, point.channel, point.value): point for point in found}
