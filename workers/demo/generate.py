"""The demo as transaction Bundles: every entry a PUT by a deterministic id, so that loading twice changes nothing.

Nothing here looks at a clock: `end`, the last day of data, is given. The first Bundle holds what all patients share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from workers.demo.clinic import clinic, record
from workers.demo.people import Person, Resource, patient, person
from workers.demo.questionnaires import answered
from workers.demo.wearables import devices, observations

PATIENTS = 30
DAYS = 90
DAYS_A_BUNDLE = 30


def people(seed: int, patients: int = PATIENTS, days: int = DAYS, *, end: date) -> list[Person]:
    """Return who the patients are."""
    return [person(seed, number, days, end) for number in range(1, patients + 1)]


def generate(seed: int, patients: int = PATIENTS, days: int = DAYS, *, end: date) -> Iterator[dict[str, Any]]:
    """Yield the transaction Bundles of the demo, in the order in which they should be posted."""
    yield bundle(clinic())
    for who in people(seed, patients, days, end=end):
        yield bundle([patient(who), *devices(who), *record(who), *answered(who)])
        yield from wearables(who)


def wearables(who: Person) -> Iterator[dict[str, Any]]:
    """Yield the device Observations of a patient, some weeks to a Bundle."""
    waiting: list[Resource] = []
    for number, found in enumerate(observations(who), 1):
        waiting += found
        if waiting and (number % DAYS_A_BUNDLE == 0 or number == who.days):
            yield bundle(waiting)
            waiting = []


def truth(seed: int, patients: int = PATIENTS, days: int = DAYS, *, end: date) -> list[dict[str, str]]:
    """Return the episodes that were put in: patient, kind, onset and end; an end after the last day means that it goes on."""
    return [
        {
            "patient": who.id,
            "kind": who.episode.kind,
            "onset": who.episode.onset.isoformat(),
            "end": who.episode.end.isoformat(),
        }
        for who in people(seed, patients, days, end=end)
        if who.episode is not None
    ]


def bundle(resources: Iterable[Resource]) -> dict[str, Any]:
    """Return a transaction of PUTs."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for resource in resources]}


def _entry(resource: Resource) -> dict[str, Any]:
    """Return an entry that puts a resource under its id."""
    address = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": address}}
