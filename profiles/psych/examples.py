"""One example of each profile, made of the tables: what documentation shows and tests validate. Nobody's data."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from profiles.psych.alerting import reasons
from profiles.psych.codes import BASE, CATEGORY, GAPS, LOCAL, SNOMED, UCUM, actigraphy, digital_twin, gaps, profile
from profiles.psych.measures import MEASURES, PARTS, Measure
from profiles.psych.questionnaires import INSTRUMENTS, ORDINAL, Instrument, band
from profiles.psych.rules import RULES, plan

Resource = dict[str, Any]
PATIENT = {"reference": "Patient/example"}
DEVICE = {"reference": "Device/example"}
_PERIOD = {"start": "2026-01-05T23:10:00+01:00", "end": "2026-01-06T07:02:00+01:00"}
_CARD = "Purpose, data, method, calibration, limits and who answers for the model."


def examples(base: str = BASE) -> Iterator[Resource]:
    """Yield the examples."""
    for measure in MEASURES:
        yield _measured(measure, base)
        if measure.sampled:
            yield _sampled(measure, base)
    for instrument in INSTRUMENTS:
        yield _response(instrument, base)
        yield _scored(instrument, base)
    yield _software(base)
    yield _prediction(base)
    yield _embedding(base)
    yield _card(base)
    yield _state(base)
    yield _rule(base)
    yield _alert(base)
    yield _note(base)


def _measured(measure: Measure, base: str) -> Resource:
    made = observation(measure, base) | {"id": f"example-{measure.name}"}
    if measure.kind in {"level", "day"}:
        made["effectiveDateTime"] = "2026-01-06" if measure.kind == "day" else "2026-01-06T08:00:00+01:00"
    else:
        made["effectivePeriod"] = _PERIOD
    if measure.kind == "stage":
        made["valueCodeableConcept"] = {
            "coding": [{"system": actigraphy(base), "code": "deep", "display": LOCAL["deep"]}]
        }
    elif measure.kind == "activity":
        made["valueCodeableConcept"] = {"text": "walking"}
    elif measure.kind == "gap":
        coding = {"system": gaps(base), "code": "not-worn", "display": GAPS["not-worn"]}
        made["dataAbsentReason"] = {"coding": [coding]}
    elif measure.units:
        made["valueQuantity"] = quantity(42, measure.units[0])
    if measure.kind == "panel":
        parts = ("systolic-blood-pressure",) if measure.name == "blood-pressure" else ("deep-sleep",)
        made["component"] = [component(part, 120, PARTS[part][1][0], base) for part in parts]
    return made


def _sampled(measure: Measure, base: str) -> Resource:
    unit = measure.units[0]
    data = {"origin": quantity(0, unit), "period": 60_000, "dimensions": 1, "data": "1 2 E 4"}
    made = observation(measure, base) | {"id": f"example-{measure.name}-sampled"}
    period = {"start": "2026-01-06T08:00:00+01:00", "end": "2026-01-06T08:04:00+01:00"}
    return made | {"effectivePeriod": period, "valueSampledData": data}


def observation(measure: Measure, base: str = BASE) -> Resource:
    """Return what every Observation of a measure has, but for time, value, subject and device of its own."""
    coding = [{"system": s or actigraphy(base), "code": code, "display": text} for s, code, text in measure.codes]
    return {
        "resourceType": "Observation",
        "meta": {"profile": [profile(measure.name, base)]},
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": measure.category}]}],
        "code": {"coding": coding, "text": measure.title},
        "subject": PATIENT,
        "device": DEVICE,
    }


def component(part: str, value: Any, unit: str, base: str = BASE) -> Resource:
    """Return a component that is coded as a part of a measure."""
    (system, code, display), _ = PARTS[part]
    coding = {"system": system or actigraphy(base), "code": code, "display": display}
    return {"code": {"coding": [coding]}, "valueQuantity": quantity(value, unit)}


def quantity(value: Any, unit: str, shown: str | None = None) -> Resource:
    """Return a Quantity in UCUM; `shown` is the unit as its source writes it."""
    return {"value": value, "unit": shown or unit, "system": UCUM, "code": unit}


def _response(instrument: Instrument, base: str) -> Resource:
    system, code, text = instrument.answers[1]
    ordinal = {"url": ORDINAL, "valueDecimal": 1}
    answer = {"system": system or actigraphy(base), "code": code, "display": text, "extension": [ordinal]}
    return {
        "resourceType": "QuestionnaireResponse",
        "id": f"example-{instrument.name}-response",
        "questionnaire": f"{base}/Questionnaire/{instrument.name}",
        "status": "completed",
        "subject": PATIENT,
        "authored": "2026-01-06T09:00:00+01:00",
        "item": [
            {"linkId": f"/{code}", "text": text, "answer": [{"valueCoding": answer}]}
            for _, code, text in instrument.items
        ],
    }


def _scored(instrument: Instrument, base: str) -> Resource:
    total = len(instrument.items)
    system, code, display = instrument.total
    return {
        "resourceType": "Observation",
        "id": f"example-{instrument.name}-score",
        "meta": {"profile": [profile(f"{instrument.name}-score", base)]},
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": "survey"}]}],
        "code": {"coding": [{"system": system or actigraphy(base), "code": code, "display": display}]},
        "subject": PATIENT,
        "effectiveDateTime": "2026-01-06T09:00:00+01:00",
        "valueQuantity": quantity(total, "{score}"),
        "interpretation": [{"text": band(instrument, total)}],
        "derivedFrom": [{"reference": f"QuestionnaireResponse/example-{instrument.name}-response"}],
    }


def _software(base: str) -> Resource:
    return {
        "resourceType": "Device",
        "id": "example",
        "meta": {"profile": [profile("software-device", base)]},
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": "example-1"}],
        "deviceName": [{"name": "Example", "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "version": [{"value": "1"}],
    }


def _prediction(base: str) -> Resource:
    return {
        "resourceType": "RiskAssessment",
        "id": "example",
        "meta": {"profile": [profile("prediction", base)]},
        "status": "preliminary",
        "subject": PATIENT,
        "method": {"text": "Example of a model"},
        "performer": DEVICE,
        "basis": [{"reference": "Observation/example-digital-twin-state"}],
        "prediction": [
            {
                "outcome": {"text": "PHQ-9 of 10 or more"},
                "probabilityDecimal": 0.2,
                "whenPeriod": {"start": "2026-01-07", "end": "2026-01-20"},
            }
        ],
    }


def _embedding(base: str) -> Resource:
    system = digital_twin(base)
    return {
        "resourceType": "Observation",
        "id": "example-actigraphy-embedding",
        "meta": {"profile": [profile("actigraphy-embedding", base)]},
        "status": "final",
        "code": {
            "coding": [{"system": system, "code": "actigraphy-embedding", "display": "A week of activity as numbers"}]
        },
        "subject": PATIENT,
        "effectivePeriod": {"start": "2026-01-05T00:00:00+01:00", "end": "2026-01-11T23:59:59+01:00"},
        "method": {"text": "Example of a model"},
        "device": DEVICE,
        "dataAbsentReason": {"coding": [{"system": system, "code": "too-little-coverage"}]},
        "note": [{"text": "Numbers that describe a week of activity; not a diagnosis."}],
    }


def _card(base: str) -> Resource:
    coding = {"system": digital_twin(base), "code": "model-card", "display": "Model card"}
    return {
        "resourceType": "Library",
        "id": "example",
        "meta": {"profile": [profile("model-card", base)]},
        "version": "1",
        "status": "draft",
        "type": {"coding": [coding]},
        "purpose": "Shows the shape of a model card.",
        "usage": "Not for use on people.",
        "content": [{"contentType": "text/markdown", "data": base64.b64encode(_CARD.encode()).decode()}],
    }


def _note(base: str) -> Resource:
    said = [
        {"url": "text", "valueString": "PHQ-9 was 14 of 27 on 6 January 2026 (moderate)."},
        {"url": "form", "valueCode": "fact"},
    ]
    cited = [{"url": "resource", "valueReference": {"reference": "Observation/example-phq-9"}}]
    statement = {"url": profile("note-statement", base), "extension": [*said, {"url": "citation", "extension": cited}]}
    code = {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}]}
    composition = {
        "resourceType": "Composition",
        "id": "note",
        "status": "preliminary",
        "type": code,
        "date": "2026-01-07T09:00:00Z",
        "author": [DEVICE],
        "title": "Progress note",
        "section": [{"title": "What changed", "extension": [statement], "text": _EMPTY}],
    }
    drafted = [{"url": "kind", "valueCode": "progress"}, {"url": "method", "valueString": "rules"}]
    text = base64.b64encode(b"# Progress note\n").decode()
    return {
        "resourceType": "DocumentReference",
        "id": "example-note",
        "meta": {"profile": [profile("note", base)]},
        "contained": [composition],
        "extension": [{"url": profile("note-draft", base), "extension": drafted}],
        "status": "current",
        "docStatus": "preliminary",
        "type": code,
        "subject": PATIENT,
        "author": [DEVICE],
        "content": [{"attachment": {"contentType": "text/markdown", "data": text}}],
        "context": {"related": [{"reference": "#note"}]},
    }


_EMPTY = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>PHQ-9 was 14 of 27.</p></div>'}


def _state(base: str) -> Resource:
    def coded(code: str) -> Resource:
        return {"coding": [{"system": digital_twin(base), "code": code}]}

    return {
        "resourceType": "Observation",
        "id": "example-digital-twin-state",
        "meta": {"profile": [profile("digital-twin-state", base)]},
        "status": "final",
        "code": coded("digital-twin-state"),
        "subject": PATIENT,
        "effectivePeriod": {"start": "2026-01-06T00:00:00+01:00", "end": "2026-01-06T23:59:59.999+01:00"},
        "method": coded("clarity-twin-3"),
        "device": DEVICE,
        "component": [
            {
                "extension": [
                    _parts("digital-twin-feature", base, window=1, method="intervals", coverage=1),
                    _parts("digital-twin-interval", base, low=6400, high=6400, method="unmeasured"),
                ],
                "code": coded("steps"),
                "valueQuantity": quantity(6400, "{steps}"),
            }
        ],
    }


def _parts(name: str, base: str, **said: int | str) -> Resource:
    """Return an extension of ours with a part for each word."""
    kinds = {"window": "valueInteger", "method": "valueCode"}
    parts = [{"url": url, kinds.get(url, "valueDecimal"): value} for url, value in said.items()]
    return {"url": profile(name, base), "extension": parts}


def _rule(base: str) -> Resource:
    made = plan(next(each for each in RULES if each.name == "self-harm"), base)
    return made | {"id": "example", "url": f"{base}/PlanDefinition/example", "status": "draft"}


def _alert(base: str) -> Resource:
    coding = {"system": reasons(base), "code": "sleep-loss", "display": "Sleep loss"}
    evidence = {"url": profile("alert-evidence", base), "extension": [{"url": "evidence", "valueString": "2026-01-06"}]}
    return {
        "resourceType": "DetectedIssue",
        "id": "example",
        "meta": {"profile": [profile("alert", base)]},
        "extension": [evidence],
        "status": "preliminary",
        "code": {"coding": [coding]},
        "severity": "moderate",
        "patient": PATIENT,
        "identifiedPeriod": {"start": "2026-01-06T12:00:00+01:00"},
        "author": DEVICE,
        "implicated": [{"reference": "Observation/example-digital-twin-state"}],
        "detail": "An example of an alert",
        "reference": f"{base}/PlanDefinition/example|1.0.0",
    }
