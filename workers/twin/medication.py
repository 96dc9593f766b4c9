"""Exposure to medication: which substance a person had, was ordered or says to take, on which days, and who says so.

MedicationAdministration is what was given, MedicationStatement what is said to be taken, MedicationRequest what was ordered:
the basis stays with each span, since an order is not a swallowed tablet. What was not taken is no exposure.
https://hl7.org/fhir/R4/medicationstatement.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

Basis = Literal["administered", "stated", "ordered"]

TAKEN: Final[Mapping[str, tuple[Basis, frozenset[str]]]] = {
    "MedicationAdministration": ("administered", frozenset({"completed", "in-progress", "stopped", "on-hold"})),
    "MedicationStatement": ("stated", frozenset({"active", "completed", "stopped", "on-hold"})),
    "MedicationRequest": ("ordered", frozenset({"active", "completed", "stopped", "on-hold"})),
}
"""Statuses that tell of an exposure; not-taken, not-done, intended, draft, cancelled, unknown, entered-in-error do not."""

ORDERS: Final = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})
ONGOING: Final = frozenset({"active", "in-progress"})
DAYS: Final = {"d": 1, "wk": 7, "mo": 30, "a": 365, "day": 1, "week": 7}


@dataclass(frozen=True, slots=True)
class Exposure:
    """One span of days; no end and `ongoing`: until now, no end and not ongoing: nobody says when it ended."""

    source: str
    basis: Basis
    status: str
    medication: Mapping[str, Any]
    start: date
    end: date | None
    ongoing: bool

    def holds(self, day: date) -> bool | None:
        """Return whether the span holds on a day; None where nobody says."""
        if day < self.start or (self.end is not None and day > self.end):
            return False
        return True if self.end is not None or self.ongoing else None


def exposures(resources: Iterable[Mapping[str, Any]]) -> list[Exposure]:
    """Return the spans of these resources by start; those that say nothing of when are left out."""
    found = [span for resource in resources if (span := exposure(resource)) is not None]
    return sorted(found, key=lambda span: (span.start, span.source))


def exposure(resource: Mapping[str, Any]) -> Exposure | None:
    """Return the span of one resource, None when it tells of no exposure."""
    kind = TAKEN.get(resource.get("resourceType", ""))
    if kind is None or resource.get("status") not in kind[1] or resource.get("doNotPerform"):
        return None
    ordered = kind[0] == "ordered"
    if ordered and resource.get("intent") not in ORDERS:
        return None
    start, end = _ordered(resource) if ordered else _effective(resource)
    medication = _medication(resource)
    if start is None or medication is None:
        return None
    source = f"{resource['resourceType']}/{resource.get('id', '')}"
    ongoing = end is None and resource["status"] in ONGOING
    return Exposure(source, kind[0], resource["status"], medication, start, end, ongoing)


def _effective(resource: Mapping[str, Any]) -> tuple[date | None, date | None]:
    """Return first and last day of `effective[x]`; a moment of a statement that goes on is its start."""
    if "effectivePeriod" in resource:
        return _period(resource["effectivePeriod"])
    moment = _day(resource.get("effectiveDateTime"))
    stated = resource["resourceType"] == "MedicationStatement"
    return moment, None if stated else moment


def _ordered(resource: Mapping[str, Any]) -> tuple[date | None, date | None]:
    """Return first and last day of an order: bounds of the dosage, else of the dispense, else from when it was written."""
    supply = resource.get("dispenseRequest", {})
    periods = [
        each["timing"]["repeat"]["boundsPeriod"]
        for each in resource.get("dosageInstruction", ())
        if "boundsPeriod" in each.get("timing", {}).get("repeat", {})
    ]
    periods += [supply["validityPeriod"]] if "validityPeriod" in supply else []
    for period in periods:
        start, end = _period(period)
        if start is not None:
            return start, end
    start = _day(resource.get("authoredOn"))
    duration = supply.get("expectedSupplyDuration", {})
    unit = DAYS.get(duration.get("code") or duration.get("unit", ""))
    if start is None or unit is None or "value" not in duration:
        return start, None
    fills = 1 + int(supply.get("numberOfRepeatsAllowed", 0))
    return start, _later(start, float(duration["value"]) * unit * fills - 1)


def _later(start: date, days: float) -> date | None:
    try:
        return start + timedelta(days=max(0, round(days)))
    except OverflowError:
        return None


def _period(period: Mapping[str, Any]) -> tuple[date | None, date | None]:
    return _day(period.get("start")), _day(period.get("end"), last=True)


def _day(text: str | None, *, last: bool = False) -> date | None:
    """Return the first (or last) day that a dateTime of any precision may mean."""
    if text is None:
        return None
    parts = [int(part) for part in text[:10].split("-")]
    if len(parts) == 3:
        return date(*parts)
    year, month = parts[0], parts[1] if len(parts) > 1 else (12 if last else 1)
    following = date(year + month // 12, month % 12 + 1, 1) if (year, month) != (9999, 12) else date.max
    return following - timedelta(days=1) if last else date(year, month, 1)


def _medication(resource: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the CodeableConcept of what it is: given here, in a contained Medication, or only by reference."""
    if "medicationCodeableConcept" in resource:
        concept: Mapping[str, Any] = resource["medicationCodeableConcept"]
        return concept
    reference = resource.get("medicationReference", {})
    name = reference.get("reference", "")
    for contained in resource.get("contained", ()):
        if name == f"#{contained.get('id')}" and "code" in contained:
            found: Mapping[str, Any] = contained["code"]
            return found
    return {"text": reference.get("display") or name} if name or "display" in reference else None
