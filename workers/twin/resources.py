"""A state as FHIR: the twin's Observation, its Provenance and the software Device, as plain R4 resources.

Nothing volatile stands in them: an equal state gives an equal resource, so that a recomputation that changed nothing
writes nothing. The tag `origin|twin` keeps them from ever being read as signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

from workers.twin.baseline import STRONG, TRAILING, Baseline, Deviation
from workers.twin.changes import Change
from workers.twin.codes import ALGORITHM, ALGORITHM_VERSION, BASE, CATEGORY, SNOMED, UCUM, digital_twin, origin, profile
from workers.twin.effective import EPOCH
from workers.twin.features import REASONS, Feature
from workers.twin.ids import device_id, provenance_id, state_id
from workers.twin.inputs import Input
from workers.twin.intervals import Interval
from workers.twin.recording import start_of
from workers.twin.state import REACH, FeatureState, State
from workers.twin.trend import WINDOW as TREND_WINDOW
from workers.twin.trend import Trend

Resource = dict[str, Any]

INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
DIRECTIONS = {"above": ("H", "High"), "below": ("L", "Low"), "within": ("N", "Normal")}


def state_observation(
    patient: str, state: State, observations: Mapping[int, str], zone: tzinfo = UTC, base: str = BASE
) -> Resource:
    """Return the twin state of a local day; `observations` names the rids of its inputs as Observation/id."""
    resource: Resource = {
        "resourceType": "Observation",
        "id": state_id(patient, state.day),
        "meta": meta("digital-twin-state", base),
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": "activity", "display": "Activity"}]}],
        "code": concept("digital-twin-state", "Digital twin: state of a day", base),
        "subject": {"reference": f"Patient/{patient}"},
        "effectivePeriod": local_day(state, zone),
        "method": concept(f"{ALGORITHM}-{ALGORITHM_VERSION}", "Features against the person's own 28 days", base),
        "device": {"reference": f"Device/{device_id()}"},
    }
    sources = _sources(state, observations, base)
    if sources:
        resource["derivedFrom"] = sources
    if state.coverage:
        parts = [{"url": signal, "valueDecimal": _number(part, 3)} for signal, part in state.coverage]
        resource["extension"] = [{"url": profile("digital-twin-coverage", base), "extension": parts}]
    resource["component"] = [part for feature in state.features for part in _components(feature, base)]
    resource["component"] += [trend_component(trend, base) for trend in state.trends]
    return resource


def provenance(
    target: str, state: State, observations: Mapping[int, str], zone: tzinfo = UTC, base: str = BASE
) -> Resource:
    """Return who computed the target (Type/id) from what; `recorded` is the newest instant of the data, not of the run."""
    first = state.day - timedelta(days=REACH)
    window = {
        "type": "Observation",
        "identifier": {"system": f"{base}/NamingSystem/signal-days", "value": f"{first}/{state.day}"},
        "display": "Signals of the patient on these local days",
    }
    newest = EPOCH + timedelta(milliseconds=state.newest) if state.newest is not None else _end(state, zone)
    return {
        "resourceType": "Provenance",
        "id": provenance_id(target),
        "meta": meta(None, base),
        "target": [{"reference": target}],
        "occurredPeriod": local_day(state, zone),
        "recorded": _instant(newest.astimezone(zone)),
        "agent": [
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                            "code": "assembler",
                            "display": "Assembler",
                        }
                    ]
                },
                "who": {"reference": f"Device/{device_id()}"},
            }
        ],
        "entity": [{"role": "source", "what": what} for what in (*_sources(state, observations, base), window)],
    }


def software_device(version: str, base: str = BASE) -> Resource:
    """Return the Device that stands for this algorithm; `version` is the version of the code that runs."""
    return {
        "resourceType": "Device",
        "id": device_id(),
        "meta": meta(None, base),
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": device_id()}],
        "status": "active",
        "manufacturer": "Clarity",
        "deviceName": [{"name": "Clarity digital twin", "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "version": [
            {"type": {"text": "algorithm"}, "value": ALGORITHM_VERSION},
            {"type": {"text": "code"}, "value": version},
        ],
        "note": [{"text": "Computes features of wearable signals. Not a medical device and not a diagnosis."}],
    }


def meta(name: str | None, base: str) -> Resource:
    """Return the meta of what the twin writes."""
    tag = {"system": origin(base), "code": "twin", "display": "Computed by the digital twin"}
    return {"tag": [tag]} if name is None else {"profile": [profile(name, base)], "tag": [tag]}


def concept(code: str, display: str, base: str) -> Resource:
    """Return a CodeableConcept of our digital-twin CodeSystem."""
    return {"coding": [{"system": digital_twin(base), "code": code, "display": display}]}


def local_day(state: State, zone: tzinfo) -> Resource:
    """Return the local day as a Period, both ends with their offset."""
    return {"start": _instant(start_of(state.day, zone)), "end": _instant(_end(state, zone))}


def _end(state: State, zone: tzinfo) -> datetime:
    """Return the last millisecond of the local day."""
    following = start_of(state.day + timedelta(days=1), zone)
    return (following.astimezone(UTC) - timedelta(milliseconds=1)).astimezone(zone)


def _instant(moment: datetime) -> str:
    """Return a FHIR instant with milliseconds and a numeric offset."""
    return moment.isoformat(timespec="milliseconds")


def trend_component(trend: Trend, base: str) -> Resource:
    """Return the component of a symptom's trend: the score as it would be on the day, its 95 % interval, what it rests on."""
    facts: list[Resource] = [
        {"url": "window", "valueInteger": TREND_WINDOW},
        {"url": "method", "valueCode": "dynamic-regression"},
        {"url": "questionnaires", "valueInteger": trend.questionnaires},
    ]
    code = concept(f"{trend.instrument.name}-trend", f"{trend.instrument.title}: level of the day", base)
    part: Resource = {"extension": [{"url": profile("digital-twin-feature", base), "extension": facts}], "code": code}
    if trend.value is None or trend.low is None or trend.high is None:
        return part | {"dataAbsentReason": _absent(trend.reason, base)}
    facts.append({"url": "coverage", "valueDecimal": _number(trend.coverage, 3)})
    facts += [] if trend.age is None else [{"url": "questionnaireAge", "valueInteger": trend.age}]
    optional = {"passive": trend.passive, "loading": trend.loading, "slope": trend.slope}
    facts += [{"url": u, "valueDecimal": _number(v, 2)} for u, v in optional.items() if v is not None]
    interval = [{"url": u, "valueDecimal": _number(v, 1)} for u, v in (("low", trend.low), ("high", trend.high))]
    part["extension"].append({"url": profile("digital-twin-interval", base), "extension": interval})
    return part | {"valueQuantity": _quantity(trend.value, "{score}", 1)}


def _absent(reason: str, base: str) -> Resource:
    """Return why there is no number."""
    unknown = {"system": ABSENT, "code": "unknown", "display": "Unknown"}
    return {"coding": [{"system": digital_twin(base), "code": reason}, unknown], "text": REASONS[reason]}


def _components(found: FeatureState, base: str) -> list[Resource]:
    """Return the component of a feature and, where there is a baseline, one of its deviation."""
    feature = found.feature
    part: Resource = {"extension": [_facts(found, base)], "code": concept(feature.code, feature.display, base)}
    if found.value is None:
        return [part | {"dataAbsentReason": _absent(found.reason, base)}]
    part["valueQuantity"] = _quantity(found.value, feature.unit, feature.decimals)
    if found.interval is not None:
        part["extension"].append(_interval(feature, found.interval, base))
    if found.baseline is None or found.deviation is None:
        return [part]
    part["interpretation"] = [_interpretation(found.deviation)]
    if not feature.circular:
        part["referenceRange"] = [_range(feature, found.baseline)]
    return [part, _deviation(feature, found.deviation, found.baseline, base)]


def _deviation(feature: Feature, far: Deviation, against: Baseline, base: str) -> Resource:
    """Return the component of a robust z, so that it can be searched for: its 95 % interval, the days that it compares with."""
    interval = [
        {"url": "low", "valueDecimal": _number(far.low, 2)},
        {"url": "high", "valueDecimal": _number(far.high, 2)},
    ]
    days = [
        {"url": "window", "valueInteger": TRAILING},
        {"url": "method", "valueCode": "robust-z"},
        {"url": "coverage", "valueDecimal": _number(against.days / TRAILING, 3)},
    ]
    return {
        "extension": [
            {"url": profile("digital-twin-interval", base), "extension": interval},
            {"url": profile("digital-twin-feature", base), "extension": days},
        ],
        "code": {"coding": [{"system": digital_twin(base), "code": f"{feature.code}-deviation"}]},
        "valueQuantity": {"value": _number(far.z, 2), "system": UCUM, "code": "1"},
    }


def _interval(feature: Feature, about: Interval, base: str) -> Resource:
    """Return the extension of a number's interval, rounded outwards so that it never looks surer than it is."""
    ends = (("low", about.low, ROUND_FLOOR), ("high", about.high, ROUND_CEILING))
    parts: list[Resource] = [
        {"url": url, "valueDecimal": _number(end, feature.decimals, way)} for url, end, way in ends
    ]
    return {
        "url": profile("digital-twin-interval", base),
        "extension": [*parts, {"url": "method", "valueCode": about.method}],
    }


def _facts(found: FeatureState, base: str) -> Resource:
    """Return the extension with what a reader needs to judge the number: how, from how much, against which baseline."""
    facts: list[Resource] = [{"url": "window", "valueInteger": found.feature.window}]
    if found.method:
        facts.append({"url": "method", "valueCode": found.method})
    if found.coverage is not None:
        facts.append({"url": "coverage", "valueDecimal": _number(found.coverage, 3)})
    elif found.value is not None:
        facts.append({"url": "coverageAbsent", "valueCode": "not-told-by-source"})
    if found.value is not None and found.interval is None:
        facts.append({"url": "intervalAbsent", "valueCode": "too-few-baseline-days"})
    if found.change is not None:
        facts += _change_facts(found.change)
    if found.baseline is not None:
        facts += _baseline_facts(found.feature, found.baseline)
    elif found.value is not None and found.feature.scored:
        facts.append({"url": "baselineAbsent", "valueCode": "too-few-baseline-days"})
    return {"url": profile("digital-twin-feature", base), "extension": facts}


def _baseline_facts(feature: Feature, base: Baseline) -> list[Resource]:
    """Return the sub-extensions of a baseline."""
    numbers = {"baselineMedian": base.median, "baselineMad": base.mad, "baselineSpread": base.spread}
    if base.weight < 1:
        numbers["baselineCentre"] = base.centre
    facts: list[Resource] = [
        {"url": url, "valueDecimal": _number(number, feature.decimals + 1)} for url, number in numbers.items()
    ]
    if base.weight < 1:
        facts.append({"url": "baselineWeight", "valueDecimal": _number(base.weight, 3)})
    return [{"url": "baselineDays", "valueInteger": base.days}, *facts]


def _change_facts(change: Change) -> list[Resource]:
    """Return the sub-extensions of a change of level: how sure, how long ago, between which ages (95 %), how large."""
    facts: list[Resource] = [{"url": "changeProbability", "valueDecimal": _number(change.probability, 3)}]
    if change.told:
        ages = {"changeDaysAgo": change.age, "changeDaysAgoLow": change.first, "changeDaysAgoHigh": change.last}
        facts += [{"url": url, "valueInteger": age} for url, age in ages.items()]
        facts.append({"url": "changeShift", "valueDecimal": _number(change.shift, 2)})
    return facts


def _interpretation(far: Deviation) -> Resource:
    """Return high, low or normal against the person's own baseline."""
    code, display = DIRECTIONS[far.direction]
    return {"coding": [{"system": INTERPRETATION, "code": code, "display": display}]}


def _range(feature: Feature, base: Baseline) -> Resource:
    """Return the personal range: centre -+ 3 spreads of the trailing 28 days, within what the feature can be."""
    low = max(base.centre - STRONG * base.spread, feature.least)
    high = min(base.centre + STRONG * base.spread, feature.most)
    return {
        "low": _quantity(low, feature.unit, feature.decimals),
        "high": _quantity(high, feature.unit, feature.decimals),
        "text": "own baseline",
    }


def _sources(state: State, observations: Mapping[int, str], base: str) -> list[Resource]:
    """Return the day's inputs as references, sorted by id; a signal of too many Observations as one logical reference."""
    listed = {observations[rid] for part in state.inputs for rid in part.rids if rid in observations}
    return [{"reference": name} for name in sorted(listed)] + [
        _logical(part, state, base) for part in state.inputs if not part.rids
    ]


def _logical(part: Input, state: State, base: str) -> Resource:
    """Return a reference to all of a signal's Observations of the day."""
    identifier = {"system": f"{base}/NamingSystem/signal-day", "value": f"{part.signal}/{state.day}"}
    return {"type": "Observation", "identifier": identifier, "display": f"{part.observations} Observations"}


def _quantity(value: float, unit: str, decimals: int) -> Resource:
    """Return a Quantity in UCUM."""
    return {"value": _number(value, decimals), "system": UCUM, "code": unit}


def _number(value: float, decimals: int, way: str = ROUND_HALF_EVEN) -> Decimal | int:
    """Return a number as FHIR JSON carries it: rounded, no negative zero, whole ones as integers."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), way) + 0
    return rounded if decimals else int(rounded)
