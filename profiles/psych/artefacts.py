"""Everything that is published: StructureDefinitions, CodeSystems, ValueSets, Questionnaires, as plain resources of one base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from profiles.psych import alerting, messages
from profiles.psych.codes import BASE, GAPS, LOCAL, UCUM, actigraphy, digital_twin, gaps
from profiles.psych.measures import MEASURES
from profiles.psych.questionnaires import INSTRUMENTS, questionnaire
from profiles.psych.snapshots import with_snapshot
from profiles.psych.structures import described, structures

Resource = dict[str, Any]
STAGES = ("awake", "asleep", "light", "deep", "rem", "in-bed")

TWIN: Mapping[str, str] = {
    "digital-twin-state": "State of the digital twin on a day",
    "model-card": "Model card",
    "actigraphy-embedding": "A week of activity as numbers of a model",
    "actigraphy-attention": "Share of a model's attention, by minutes",
    "unlike-training": "Too far from what a model has learnt from",
    "prediction": "Prediction by a model",
    "no-prediction": "The model says nothing, for the reason that is told",
}
"""Codes of the CodeSystem `digital-twin` that are of no feature."""

ORIGINS: Mapping[str, str] = {
    "twin": "Computed by the digital twin",
    "prediction": "Said by a model",
    "rules": "Written by the alert rules",
    "note": "Drafted by the server",
    "proposed": "Found in a text, not yet accepted",
}
"""Codes of `meta.tag` that mark what the server itself has written."""


def artefacts(features: Iterable[tuple[str, str]] = (), base: str = BASE) -> Iterator[Resource]:
    """Yield the resources; `features` are (code, meaning) of what the twin computes, which the twin's own table knows."""
    yield from map(with_snapshot, structures(base))
    yield code_system("actigraphy", "What wearables measure and LOINC has no code for", LOCAL, actigraphy(base), base)
    yield code_system("coverage-gap", "Why there are no data over a time", GAPS, gaps(base), base)
    yield code_system(
        "message-category", "Messages that the server sends", messages.CATEGORIES, messages.category(base), base
    )
    yield code_system(
        "message-reason", "Classes of reasons for messages", messages.REASONS, messages.reason(base), base
    )
    yield code_system("message-outcome", "Why a message was not sent", messages.OUTCOMES, messages.outcome(base), base)
    yield code_system(
        "message-detail", "How much a message may say", messages.DETAILS, f"{base}/CodeSystem/message-detail", base
    )
    yield _value_set(
        "message-reasons", "Classes of reasons for messages", messages.reason(base), messages.REASONS, base
    )
    yield code_system("alert-reason", "What an alert is about", alerting.REASONS, alerting.reasons(base), base)
    yield code_system("alerting", "What the rule engine writes", alerting.ACTIONS, alerting.actions(base), base)
    yield code_system("origin", "Which part of the server wrote it", ORIGINS, f"{base}/CodeSystem/origin", base)
    twin = dict(TWIN) | dict(features)
    yield code_system("digital-twin", "What the digital twin computes", twin, digital_twin(base), base)
    stages = {code: LOCAL[code] for code in STAGES}
    yield _value_set("sleep-stages", "Stages of sleep", actigraphy(base), stages, base)
    yield _value_set("coverage-gaps", "Why there are no data", gaps(base), GAPS, base)
    for measure in MEASURES:
        if measure.units and measure.kind != "stage":
            title = f"Units of: {measure.title}"
            yield _value_set(f"{measure.name}-units", title, UCUM, dict.fromkeys(measure.units, ""), base)
    for instrument in INSTRUMENTS:
        yield questionnaire(instrument, base)


def code_system(name: str, title: str, codes: Mapping[str, str], url: str, base: str) -> Resource:
    """Return a complete CodeSystem of `codes`, each with what it means."""
    concepts = [{"code": code, "display": text[:120], "definition": text} for code, text in codes.items()]
    return {
        "resourceType": "CodeSystem",
        "id": name,
        **described(f"CodeSystem/{name}", name, title, base),
        "url": url,
        "caseSensitive": True,
        "content": "complete",
        "count": len(concepts),
        "concept": concepts,
    }


def _value_set(name: str, title: str, system: str, codes: Mapping[str, str], base: str) -> Resource:
    concepts = [{"code": code} | ({"display": text} if text else {}) for code, text in codes.items()]
    return {
        "resourceType": "ValueSet",
        "id": name,
        **described(f"ValueSet/{name}", name, title, base),
        "compose": {"include": [{"system": system, "concept": concepts}]},
    }
