"""`Patient/{id}/$timeline`: a patient's days for a clinician's screen, put together on the server, bounded whatever the span.

A Parameters resource (`docs/timeline.md` describes every part): signals and features in buckets as SampledData, the personal
band, strong deviations, changes of level, gaps with their reasons, symptom scores, medication and encounters. Every number
names the resources that it rests on: the state Observation of the day, or the Observations of a signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final, get_args

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import json
from fhir_server.operations import clinical
from fhir_server.operations.daybook import View, recording, view
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.operations.points import coverage_part, gap_parts, part, sampled_part, source_parts
from fhir_server.storage import blocks
from fhir_server.storage.commands import AuditRow
from workers.twin import series
from workers.twin.catalogue import NAMES, SIGNALS, SYMPTOMS, named
from workers.twin.daybook import MINUTES
from workers.twin.features import BY_CODE, FEATURES
from workers.twin.instruments import INSTRUMENTS, severity
from workers.twin.series import FINE, MOST, Buckets, Line, Resolution

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-timeline",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-timeline",
    "name": "Timeline",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "timeline",
    "comment": "Bounded: at most 3,000 points of a series. Without resolution the one that fits the span is chosen.",
    "resource": ["Patient"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "start", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "First local day; else 90 days."},
        {"name": "end", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "Last local day; else the last."},
        {"name": "resolution", "use": "in", "min": 0, "max": "1", "type": "code", "documentation": "minute, five-minutes to month"},
        {"name": "series", "use": "in", "min": 0, "max": "*", "type": "code", "documentation": "Signals, features; else all."},
        {"name": "include", "use": "in", "min": 0, "max": "*", "type": "code", "documentation": "Parts of the answer; else all."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"},
    ],
}  # fmt: skip

SHOWN: Final = tuple(name for name in NAMES if named(name).shape not in ("score", "stage"))
MOST_EVENTS: Final = 1000
PARTS: Final = (
    *("signal", "feature", "stream", "states", "deviation", "change"),
    *("questionnaire", "trend", "medication", "encounter"),
)
"""What a caller may ask for by `include`; the window comes in any case."""
_BY_SAMPLES: Final = frozenset({"signal", "questionnaire"})
"""Parts that rest on signals, not on what states say."""
_HOURLY: Final = MINUTES | {"hrv-rmssd", "hrv-sdnn"}


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/{id}/$timeline`."""
    given = read_parameters(DEFINITION, call)
    wanted, kinds = _series(given), _kinds(given)
    found = await view(ctx, call, given, signals=not _BY_SAMPLES.isdisjoint(kinds))
    buckets = _buckets(given, found)
    parts = [_window(found, buckets)]
    if found.whole:  # of hidden data nobody learns that they are on their way
        parts.append(part("pending", valueBoolean=await blocks.unfinished(ctx.tenant, found.patient.rid)))
    if "signal" in kinds:
        parts += await _signals(ctx, found, buckets, wanted)
    daily = buckets if buckets.resolution not in FINE else Buckets("day", buckets.first, buckets.last)
    parts += _by_state(found, daily, wanted, kinds)
    told: list[Json] = []
    read: list[AuditRow] = []
    if not {"medication", "encounter"}.isdisjoint(kinds):
        told, read = await clinical.spans(ctx, found.patient, found.window.first, found.window.last)
        told = [each for each in told if each["name"] in kinds or each["name"] == "truncated"]
    patients = sorted({*found.patient.patients, found.patient.rid})
    rows = [audit_row(ctx, "operation", 200, type="Patient", rid=found.patient.rid, patients=patients)]
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": parts + told}), audit=rows + read)


def _series(given: Given) -> frozenset[str]:
    known = {*SHOWN, *BY_CODE}
    names = frozenset(name for text in given.get("series", ()) for name in str(text).split(","))
    strange = sorted(names - known)
    if strange:
        text = f"series is of {', '.join(sorted(known))}."
        raise BadRequest(text, "parameter-value", "series")
    return names or frozenset(known)


def _kinds(given: Given) -> frozenset[str]:
    names = frozenset(name for text in given.get("include", ()) for name in str(text).split(","))
    if names - set(PARTS):
        raise BadRequest(f"include is of {', '.join(PARTS)}.", "parameter-value", "include")
    return names or frozenset(PARTS)


def _by_state(found: View, buckets: Buckets, wanted: frozenset[str], kinds: frozenset[str]) -> list[Json]:
    """Return what daily states and scores say, as far as it is asked for."""
    out: list[Json] = []
    if "feature" in kinds:
        out += _features(found, buckets, wanted)
    if "stream" in kinds:
        out += _streams(found, buckets)
    if "states" in kinds and found.states:
        out.append(part("states", *source_parts(sorted(found.states.items()), buckets, MOST)))
    if not {"deviation", "change"}.isdisjoint(kinds):
        out += [each for each in _events(found, wanted) if each["name"] in kinds or each["name"] == "truncated"]
    if "questionnaire" in kinds:
        out += _questionnaires(found)
    return out + (_trends(found, buckets) if "trend" in kinds else [])


def _streams(found: View, buckets: Buckets) -> list[Json]:
    """Return how much of each stream the states rest on."""
    told = series.streams(buckets, found.features()).items()
    return [
        part(
            "stream",
            part("code", valueCode=name),
            part("resolution", valueCode=buckets.resolution),
            sampled_part("coverage", measured, "1", buckets, ("part",)),
        )
        for name, measured in told
    ]


def _buckets(given: Given, found: View) -> Buckets:
    first, last = found.window.first, found.window.last
    text = given.get("resolution", [None])[0]
    if text is None:
        return Buckets(series.fitting(first, last), first, last)
    resolution: Resolution | None = next((each for each in get_args(Resolution) if each == text), None)
    if resolution is None:
        raise BadRequest(f"resolution is {', '.join(get_args(Resolution))}.", "parameter-value", "resolution")
    buckets = Buckets(resolution, first, last)
    if buckets.count > MOST:
        text = f"That would be {buckets.count} points of a series, more than {MOST}: ask for a coarser resolution or fewer days."
        raise BadRequest(text, "timeline-too-fine", "resolution")
    return buckets


def _window(found: View, buckets: Buckets) -> Json:
    return part(
        "window",
        part("start", valueDate=buckets.first.isoformat()),
        part("end", valueDate=buckets.last.isoformat()),
        part("resolution", valueCode=buckets.resolution),
        part("buckets", valueInteger=buckets.count),
        part("zone", valueString=str(found.made_by.zone)),
        part("algorithm", valueString=found.made_by.version),
    )


async def _signals(ctx: RequestContext, found: View, buckets: Buckets, wanted: frozenset[str]) -> list[Json]:
    names = [name for name in SHOWN if name in wanted]
    present = {part.signal for page in found.pages.values() for part in page.inputs}
    names = [name for name in names if name in present]
    fine = buckets.resolution in FINE
    lines: Mapping[str, Line]
    if fine and names:
        names = [name for name in names if name in _HOURLY]
        tracks = (await recording(ctx.tenant, found, names)).tracks
        lines = {name: series.minutes(buckets, tracks.get(name), name) for name in names}
    else:
        lines = series.signals(buckets, found.pages, names)
    out = []
    for name, line in lines.items():
        unit = next(iter(named(name).units))
        made = [
            part("code", valueCode=name),
            part("resolution", valueCode=buckets.resolution),
            sampled_part("values", line.values, unit, buckets, ("low", "median", "high")),
        ]
        if named(name).shape == "count":
            made.append(sampled_part("total", line.total, unit, buckets, ("total",)))
        made += coverage_part(line, buckets) + gap_parts(line.gaps)
        out.append(part("signal", *made, *_sources(found, name, buckets)))
    return out


def _sources(found: View, name: str, buckets: Buckets) -> list[Json]:
    """Return the search that finds what a signal rests on, and the Observations themselves while they are few."""
    codes = ",".join(f"{system}|{code}" for row in SIGNALS if row.name == name for system, code in row.codes if system)
    until = buckets.last + timedelta(days=1)
    query = f"Observation?patient={found.patient.id}" + (f"&code={codes}" if codes else "")
    search = f"{query}&date=ge{buckets.first}&date=lt{until + timedelta(days=1)}"
    return [part("search", valueUri=search), *source_parts(found.references(name), buckets)]


def _features(found: View, buckets: Buckets, wanted: frozenset[str]) -> list[Json]:
    codes = [feature.code for feature in FEATURES if feature.code in wanted and feature.domain != "symptom"]
    lines = series.features(buckets, found.features(), found.digests, codes)
    out = []
    for code, line in lines.items():
        feature = BY_CODE[code]
        if line.gaps == [(0, buckets.count - 1, "no-data")]:
            out.append(part("feature", part("code", valueCode=code), *gap_parts(line.gaps)))
            continue
        made = [
            part("code", valueCode=code),
            part("display", valueString=feature.display),
            part("resolution", valueCode=buckets.resolution),
            sampled_part("values", line.values, feature.unit, buckets, ("low", "median", "high")),
            sampled_part("interval", line.interval, feature.unit, buckets, ("low", "high")),
            sampled_part("band", line.band, feature.unit, buckets, ("low", "high")),
            sampled_part("deviation", line.deviation, "1", buckets, ("z", "low", "high")),
        ]
        out.append(part("feature", *made, *coverage_part(line, buckets), *gap_parts(line.gaps)))
    return out


def _events(found: View, wanted: frozenset[str]) -> list[Json]:
    """Return the strong deviations and the changes of level, the newest first."""
    out: list[Json] = []
    for day, told in sorted(found.digests.items(), reverse=True):
        source = part("source", valueReference={"reference": found.states[day]})
        for code, _, _, days, _, z, low, high, direction in told.against:
            if direction != "within" and code in wanted:
                numbers = {"z": z, "low": low, "high": high}
                made = [part(name, valueDecimal=round(number, 2)) for name, number in numbers.items()]
                made += [part("direction", valueCode=direction), part("baselineDays", valueInteger=days)]
                out.append(_event("deviation", day, code, *made, source))
        for level in told.levels:
            if level.code in wanted:
                made = [
                    part("since", valueDate=_back(day, level.age)),
                    part("sinceEarliest", valueDate=_back(day, level.last)),
                    part("sinceLatest", valueDate=_back(day, level.first)),
                    part("shift", valueDecimal=round(level.shift, 2)),
                    part("probability", valueDecimal=round(level.probability, 3)),
                ]
                out.append(_event("change", day, level.code, *made, source))
    shown = out[:MOST_EVENTS]
    return shown + ([part("truncated", valueInteger=len(out) - len(shown))] if len(out) > len(shown) else [])


def _back(day: date, age: int) -> str:
    """Return the first day of a run that is `age` days long on a day."""
    return (day - timedelta(days=age - 1)).isoformat()


def _event(kind: str, day: date, code: str, *parts: Json) -> Json:
    return part(kind, part("day", valueDate=day.isoformat()), part("feature", valueCode=code), *parts)


def _questionnaires(found: View) -> list[Json]:
    """Return scores as they were answered."""
    out = []
    for day, page in found.pages.items():
        numbers = {number[0]: number[1] for number in page.numbers}
        for each in page.inputs:
            value = numbers.get(each.signal)
            names = ["/".join(found.sources[rid]) for rid in each.rids if rid in found.sources]
            if each.signal in SYMPTOMS and value is not None and names:
                made = [
                    part("day", valueDate=day.isoformat()),
                    part("instrument", valueCode=each.signal),
                    part("score", valueInteger=round(value)),
                    part("severity", valueCode=severity(INSTRUMENTS[each.signal], value)),
                ]
                if each.signal == "phq-9" and numbers.get("phq-9-item-9") is not None:
                    made.append(part("item9", valueInteger=round(numbers["phq-9-item-9"] or 0)))
                made += [part("source", valueReference={"reference": name}) for name in names]
                out.append(part("questionnaire", *made))
    return out


def _trends(found: View, buckets: Buckets) -> list[Json]:
    """Return what scores would be between the answers."""
    out = []
    for name in SYMPTOMS:
        line = Line.blank(buckets.count)
        for day, told in sorted(found.digests.items()):
            for trend in told.symptoms:
                if trend.name == name:
                    line.values[buckets.place(day)] = trend.low, trend.value, trend.high
        if any(trend.name == name for told in found.digests.values() for trend in told.symptoms):
            made = [part("code", valueCode=name), part("display", valueString=INSTRUMENTS[name].title)]
            made.append(sampled_part("values", line.values, "{score}", buckets, ("low", "estimate", "high")))
            out.append(part("trend", *made))
    return out
