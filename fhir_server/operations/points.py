"""Series as parts of a Parameters resource: points as SampledData, gaps with their reasons, sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from fhir_server.interactions.call import Json
from profiles.psych.codes import GAPS
from workers.twin.arrays import MINUTE, Floats
from workers.twin.codes import UCUM
from workers.twin.features import REASONS
from workers.twin.series import FINE, MINUTES, Buckets, Gap, Line, sampled

MOST_SOURCES: Final = 500
SENTENCES: Final = {
    **GAPS,
    **REASONS,
    "not-measured": "Other signals were measured, this one was not.",
    "not-worn": "The device counted nothing for hours: it was not worn.",
    "partly-measured": "Less than 95 % of the minutes were measured.",
}
_MONTH: Final = 43_200


def part(name: str, *parts: Json, **value: Any) -> Json:
    """Return a parameter with parts or with a value."""
    return {"name": name, **({"part": list(parts)} if parts else {}), **value}


def sampled_part(name: str, rows: Floats, unit: str, buckets: Buckets, columns: Sequence[str]) -> Json:
    """Return rows of numbers, one for each bucket; `columns` says what they are. A month is said to have 30 days."""
    period = (MINUTES[buckets.resolution] or _MONTH) * MINUTE
    origin = {"value": 0, "system": UCUM, "code": unit}
    data = {"origin": origin, "period": period, "dimensions": len(columns), "data": sampled(rows)}
    return part(name, part("columns", valueString=" ".join(columns)), part("points", valueSampledData=data))


def coverage_part(line: Line, buckets: Buckets) -> list[Json]:
    """Return the measured part of each bucket, where it is known of any."""
    known = bool((line.coverage == line.coverage).any())
    return [sampled_part("coverage", line.coverage, "1", buckets, ("part",))] if known else []


def gap_parts(found: Sequence[Gap]) -> list[Json]:
    """Return the stretches without a number, each with its reason."""
    return [
        part(
            "gap",
            part("first", valueInteger=first),
            part("last", valueInteger=last),
            part("reason", valueCode=reason),
            part("text", valueString=SENTENCES.get(reason, reason)),
        )
        for first, last, reason in found
    ]


def source_parts(found: Sequence[tuple[date, str]], buckets: Buckets, most: int = MOST_SOURCES) -> list[Json]:
    """Return the resources by bucket; none where they are too many, then a search stands for them."""
    fine = buckets.resolution in FINE
    a_day = 1440 // MINUTES[buckets.resolution] if fine else 1
    return [
        part(
            "source",
            part("bucket", valueInteger=(day - buckets.first).days * a_day if fine else buckets.place(day)),
            part("reference", valueReference={"reference": name}),
        )
        for day, name in (found if len(found) <= most else ())
    ]
