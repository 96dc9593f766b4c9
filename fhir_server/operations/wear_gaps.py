"""What sources said about times without data (`wear-gap`), under the policy of the caller: reasons that outrank our own guesses."""

from __future__ import annotations

from datetime import date, timedelta, tzinfo
from typing import Final

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.operations.daybook import View
from fhir_server.search import run
from fhir_server.storage.commands import AuditRow
from profiles.psych.codes import actigraphy, gaps, profile
from workers.twin.arrays import DAY
from workers.twin.coverage import Told
from workers.twin.effective import CALENDAR_DAY, EPOCH, MILLISECOND, effective

MOST: Final = 1000
"""Gaps of a window, the newest."""


async def told(ctx: RequestContext, found: View, base: str) -> tuple[list[Told], AuditRow]:
    """Return the gaps of the window that the caller sees, and the row that says that they were looked for."""
    first, last = found.window.first - timedelta(days=1), found.window.last + timedelta(days=1)
    query = [
        ("patient", found.patient.id), ("code", f"{actigraphy(base)}|wear-gap"), ("date", f"ge{first}"), ("date", f"le{last}"),
        ("status", "preliminary,final,amended,corrected"), ("_sort", "-date"), ("_count", str(MOST)),
    ]  # fmt: skip
    page = await run.search(ctx, "Observation", query, visibility=found.seen["Observation"])
    patients = sorted({*found.patient.patients, found.patient.rid})
    row = audit_row(ctx, "search-type", 200, type="Observation", patients=patients)
    read = (_read(json.decode_trusted(each.body), found.made_by.zone, base) for each in page.rows)
    return [gap for some in read for gap in some], row


def _read(resource: Json, zone: tzinfo, base: str) -> list[Told]:
    """Return a gap as a part of each local day that it touches; none without a reason or a time."""
    codings = resource.get("dataAbsentReason", {}).get("coding", ())
    reason = next((each["code"] for each in codings if each.get("system") == gaps(base) and "code" in each), None)
    when = effective(resource)
    if reason is None or isinstance(when, str) or when.end is None:
        return []
    start, end = when.start, when.end
    if when.offset != CALENDAR_DAY:
        start, end = _wall(start, zone), _wall(end, zone)
    signal = _signal(resource, base)
    return [
        Told(date(1970, 1, 1) + timedelta(days=day), signal, reason, min(end, (day + 1) * DAY) - max(start, day * DAY))
        for day in range(start // DAY, -(-end // DAY))
    ]


def _wall(instant: int, zone: tzinfo) -> int:
    """Return ms of the wall clock of an instant."""
    local = (EPOCH + instant * MILLISECOND).astimezone(zone).replace(tzinfo=EPOCH.tzinfo)
    return (local - EPOCH) // MILLISECOND


def _signal(resource: Json, base: str) -> str | None:
    """Return the one measure that the gap is about, None for all."""
    for each in resource.get("extension", ()):
        if each.get("url") == profile("source-detail", base):
            said = {part.get("url"): part.get("valueString") for part in each.get("extension", ())}
            if said.get("name") == "signal":
                return said.get("text")
    return None
