"""The time zone of a patient, from the standard `timezone` extension on the Patient or on one of its addresses."""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/timezone"


def zone_of(patient: dict[str, Any]) -> ZoneInfo | None:
    """Return the zone that a Patient states (IANA name), on itself before its addresses; None when it states none."""
    for holder in (patient, *patient.get("address", ())):
        for extension in (holder or {}).get("extension", ()):
            if extension.get("url") == EXTENSION:
                found = _zone(extension.get("valueCode") or extension.get("valueString") or "")
                if found is not None:
                    return found
    return None


def _zone(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name; a name that is not known is as good as none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
