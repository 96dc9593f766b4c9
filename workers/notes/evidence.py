"""What a cited resource or search says, in the terms of claims: the other half of the checker.

Evidence is taken from the resource itself, never from the sentence or the `value` of a citation. A twin's state says hundreds of
numbers, so that of one with an `element` only that component counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from workers.notes import words
from workers.notes.claims import Number, frequencies
from workers.notes.clinic import STATUSES, dosages, dose_of, name_of, said_by, status_of, substances, undated
from workers.notes.lexicon import concepts_in, drugs_in, table
from workers.notes.record import (
    STATE,
    Citation,
    Record,
    address,
    codes_of,
    component,
    day_of,
    direction_of,
    facts_of,
    folded,
    local_day,
    number_of,
    standing,
    statistic,
    title_of,
)
from workers.notes.scored import free_text
from workers.notes.spoken import days_said, passages
from workers.twin.features import BY_CODE
from workers.twin.instruments import INSTRUMENTS, severity
from workers.twin.medication import exposure
from workers.twin.resources import Resource

FORM_UNITS: Final = {
    "min": "min",
    "h": "h",
    "ms": "ms",
    "%": "%",
    "/min": "/min",
    "{steps}": "{steps}",
    "{counts}/min": "{counts}/min",
}


@dataclass(slots=True)
class Evidence:
    """What may be said because of one citation."""

    numbers: list[Number] = field(default_factory=list)
    most: set[Decimal] = field(default_factory=set)
    """Numbers that stand only behind "of": the highest score, the days of the time."""
    days: set[date] = field(default_factory=set)
    drugs: set[str] = field(default_factory=set)
    doses: list[tuple[str, Number]] = field(default_factory=list)
    frequencies: set[int] = field(default_factory=set)
    directions: set[str] = field(default_factory=set)
    bands: set[str] = field(default_factory=set)
    statuses: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    """What a sentence may say beside claims: words of what it is called, of its status and dosage; never of free text."""
    negative: bool | None = False
    """True: it says that something is not; None: it may be said either way."""
    score: tuple[str, date, Decimal] | None = None
    middle: tuple[str, date, Decimal] | None = None
    """A median with the first day of its time."""

    @property
    def titles(self) -> set[str]:
        """Return how it is called, in lower case."""
        return {label.lower() for label in self.labels}

    @property
    def concepts(self) -> set[str]:
        """Return the symptoms that its words name."""
        return {m.concept for text in (*self.labels, *self.texts) for m in concepts_in(text)}


def evidence(citation: Citation, record: Record) -> Evidence | None:
    """Return what a citation says; None when there is no such resource, or no such search."""
    if "?" in citation.target:
        found = _of_search(citation, record)
        return found and _worded(found)
    resource = record.resources.get(citation.target)
    if resource is None or not standing(resource):
        return None
    made = Evidence()
    made.days |= {*_days(resource, record), *days_said(resource, record)}
    _READERS.get(resource["resourceType"], _other)(made, resource, citation, record)
    made.texts += [*free_text(resource), *passages(resource, record.texts.get(citation.target, ""))]
    made.drugs |= {drug for label in made.labels for drug, _, _ in drugs_in(label)}
    made.labels = {folded(label) for each in made.labels for label in (each, words.told("de", each))}
    made.texts += [said for each in made.texts if (said := words.told("de", each)) != each]
    made.words |= {words.told("de", each) for each in made.words}
    made.texts = [folded(text) for text in made.texts]
    return _worded(made)


def _worded(made: Evidence) -> Evidence:
    made.words = {
        word
        for text in (*(made.labels - set(ITEM9_LABELS)), *made.words)
        for word in re.findall(r"[^\W\d_]{2,}", text.lower())
    }
    return made


def _add(made: Evidence, value: Any, unit: str = "") -> None:
    if value is not None:
        made.numbers.append(Number(Decimal(str(value)), unit))


def _unit(code: str) -> str:
    known: dict[str, str] = table("claims")["units"]
    return FORM_UNITS.get(code, known.get(code.lower(), code.lower() if code not in ("1", "{score}") else ""))


def _days(resource: Resource, record: Record) -> Iterator[date]:
    for value in resource.values():
        given = value if isinstance(value, dict) else {"start": value}
        for text in (given.get("start"), given.get("end")):
            if isinstance(text, str) and len(text) >= 10 and text[:4].isdigit() and text[4] == "-":
                day = local_day(text, record.zone)
                if day is not None:
                    yield day


# ---- searches ----


def _of_search(citation: Citation, record: Record) -> Evidence | None:
    value = statistic(record, citation)
    if value is None:
        return None
    made = Evidence()
    feature = BY_CODE.get(citation.element)
    unit = _unit(feature.unit) if feature and citation.statistic == "median" else ""
    _add(made, value, unit)
    made.most.add(Decimal(record.days))
    ends = [
        date.fromisoformat(text[2:])
        for text in citation.target.replace("&", "=").split("=")
        if text[:2] in ("ge", "le")
    ]
    made.days |= set(ends)
    made.labels |= _labels(citation.element) | set(_NAMED.get(citation.target.partition("?")[0], ()))
    if citation.element in INSTRUMENTS:
        made.labels.add(INSTRUMENTS[citation.element].title)
    if value == 0:
        made.negative = True
    elif citation.statistic == "high":
        made.directions.add("up")
    elif citation.statistic == "low":
        made.directions.add("down")
    if citation.statistic == "median" and ends:
        made.middle = (citation.element, min(ends), value)
    if citation.statistic == "item9":
        made.labels |= set(ITEM9_LABELS)
    return made


ITEM9_LABELS: Final = (
    "thoughts of being better off dead or of self-harm", "Gedanken, lieber tot zu sein oder sich Leid zuzufügen", "suicidality",
    "Suizidalität", "item 9", "Frage 9",
)  # fmt: skip
_NAMED: Final = {
    "Encounter": ("encounter", "visit", "kontakt"),
    "Condition": ("diagnosis", "diagnose", "diagnoses", "condition"),
    "AllergyIntolerance": ("allergy", "allergie", "intolerance", "unverträglichkeit"),
    "MedicationRequest": ("medication", "medikation", "ordered", "verordnet"),
    "MedicationStatement": ("medication", "medikation", "taken", "eingenommen"),
    "Observation": ("data", "daten", "wearable", "geräte", "device", "twin", "zwilling"),
    "QuestionnaireResponse": ("questionnaire", "fragebogen"),
}


def _labels(code: str) -> set[str]:
    found = set(words.FEATURES.get(code, ()))
    return found | ({BY_CODE[code].display} if code in BY_CODE else set())


# ---- resources ----


def _observation(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:
    if codes_of(resource) & {STATE}:
        _state(made, resource, citation, record)
        return
    made.labels |= {title_of(resource.get("code")), *_NAMED["Observation"]}
    number = number_of(resource)
    if number is not None:
        quantity = resource.get("valueQuantity", {})
        unit = str(quantity.get("unit", quantity.get("code", "")))
        _add(made, number, _unit(unit))
        made.words.add(unit)
    for usual in resource.get("referenceRange", ()):
        for end in ("low", "high"):
            _add(made, usual.get(end, {}).get("value"), made.numbers[0].unit if made.numbers else "")
    _toward(made, direction_of(resource))
    for part in resource.get("component", ()):
        if citation.element in codes_of(part):
            made.labels.add(title_of(part.get("code")))
            _add(made, number_of(part))
    made.texts += [str(resource["valueString"])] if "valueString" in resource else []
    _scored(made, address(resource), record)
    _item9(made, address(resource), record)


def _toward(made: Evidence, letter: str) -> None:
    made.directions |= {"H": {"up"}, "L": {"down"}, "N": {"same"}}.get(letter, set())


def _scored(made: Evidence, name: str, record: Record) -> None:
    for instrument, told, _ in record.doubtful:
        if told.source == name:
            made.labels |= {INSTRUMENTS[instrument].title}
            _add(made, told.total)
    for instrument, every in record.scores.items():
        for told in every:
            if told.source == name:
                about = INSTRUMENTS[instrument]
                made.score = (instrument, told.day, told.total)
                made.labels |= {about.title, *about.panels}
                made.bands.add(severity(about, float(told.total)))
                made.most.add(Decimal(about.most))
                _add(made, told.total)
                _add(made, about.change, "{points}")


def _item9(made: Evidence, name: str, record: Record) -> None:
    for told in record.item9:
        if told.source == name:
            made.labels |= set(ITEM9_LABELS)
            _add(made, told.number)
            made.most.add(Decimal(3))
            made.texts += [told.words] if told.words else []
            made.negative = None if told.number == 0 else made.negative


def _state(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:
    """Read one component of a twin's state; without an element only its day and whether it tells of any change."""
    made.labels |= set(_NAMED["Observation"])
    day = day_of(resource, record.zone)
    made.days = {day} if day else set()
    if citation.element == "change":
        told = any(
            "changeDaysAgo" in facts_of(part) and int(facts_of(part)["changeDaysAgo"]) < record.days
            for part in resource["component"]
        )
        made.negative = None if told else True
        made.directions |= set() if told else {"same"}
        return
    part = component(resource, citation.element)
    if part is None or day is None:
        return
    code, facts = citation.element, facts_of(part)
    made.labels |= _labels(code) | ({INSTRUMENTS[code[:-6]].title} if code[:-6] in INSTRUMENTS else set())
    made.words |= {"questionnaires questionnaire fragebögen"} if code[:-6] in INSTRUMENTS else set()
    unit = _unit(str(part.get("valueQuantity", {}).get("code", "")))
    _add(made, number_of(part), unit)
    for usual in part.get("referenceRange", ()):
        for end in ("low", "high"):
            _add(made, usual.get(end, {}).get("value"), unit)
    if "dataAbsentReason" in part:
        made.negative = True
        made.texts.append(title_of(part["dataAbsentReason"]))
        made.words.add(title_of(part["dataAbsentReason"]))
    _toward(made, direction_of(part))
    _facts(made, day, facts)


def _facts(made: Evidence, day: date, facts: dict[str, Any]) -> None:
    for name in (
        "low",
        "high",
        "questionnaires",
        "questionnaireAge",
        "baselineMedian",
        "baselineDays",
        "changeProbability",
    ):
        _add(made, facts.get(name))
    for name in ("changeDaysAgo", "changeDaysAgoLow", "changeDaysAgoHigh"):
        if name in facts:
            made.days.add(day - timedelta(days=int(facts[name])))
            _add(made, facts[name])
    if "changeShift" in facts:
        _add(made, abs(facts["changeShift"]))
        made.directions = {"up" if facts["changeShift"] > 0 else "down"}


def _response(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    made.labels |= set(_NAMED["QuestionnaireResponse"])
    _scored(made, address(resource), record)
    _item9(made, address(resource), record)


def _medication(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    name, status = name_of(resource), str(resource.get("status", ""))
    made.labels |= {name, *_NAMED["MedicationRequest"], *_NAMED["MedicationStatement"]}
    made.words |= {_GIVEN[resource["resourceType"]], dose_of(resource)}
    made.drugs = substances(resource)
    span = exposure(resource)
    made.days |= {day for day in (span.start, span.end) if day} if span else set()
    if status == "not-taken":
        made.negative = True
    if undated(resource) and status == "active":
        made.statuses.add("taking")
    if span and span.ongoing:
        made.statuses.add("taking")
    if status in ("stopped", "on-hold", "completed", "not-taken", "cancelled"):
        made.statuses.add("stopped")
    if span and span.start <= record.last:
        made.statuses |= {"started", "new"} if span.start >= record.first else {"started"}
    for dosage in dosages(resource):
        made.texts += [str(dosage["text"])] if dosage.get("text") else []
        made.words.add(str(dosage.get("text", "")))
        made.frequencies |= set(frequencies(str(dosage.get("text", ""))))
        repeat = dosage.get("timing", {}).get("repeat", {})
        if repeat.get("period") == 1 and repeat.get("periodUnit") == "d" and "frequency" in repeat:
            made.frequencies.add(int(repeat["frequency"]))
        for number in _doses(dosage):
            made.numbers.append(number)
            made.doses += [(drug, number) for drug in made.drugs]


_GIVEN: Final = {
    "MedicationRequest": "ordered prescribed order prescription verordnet verordnung",
    "MedicationStatement": "stated taken takes statement eingenommen",
    "MedicationAdministration": "given administered gegeben verabreicht",
}


def _doses(dosage: Any) -> Iterable[Number]:
    from workers.notes.claims import claims  # what is written in words is read like a sentence

    yield from claims(str(dosage.get("text", ""))).numbers
    for rate in [*dosage.get("doseAndRate", ()), {"doseQuantity": dosage.get("dose", {})}]:
        quantity = rate.get("doseQuantity", {})
        if "value" in quantity:
            yield Number(Decimal(str(quantity["value"])), _unit(str(quantity.get("unit", quantity.get("code", "")))))


def _condition(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    name, status = title_of(resource.get("code")), status_of(resource)
    displays = {str(c["display"]) for c in resource.get("code", {}).get("coding", ()) if c.get("display")}
    made.labels |= {name, *displays, *_NAMED["Condition"]} | {
        str(c.get("code")) for c in resource.get("code", {}).get("coding", ())
    }
    made.negative = status == "refuted"
    made.words |= set(STATUSES.get(status, ()))
    sure = {c.get("code") for c in resource.get("verificationStatus", {}).get("coding", ())}
    made.statuses |= {"confirmed"} if "confirmed" in sure else set()
    made.statuses |= {"resolved"} if status in ("resolved", "remission", "inactive") else set()


def _encounter(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    made.labels |= {title_of(each) for each in resource.get("type", ())} | set(_NAMED["Encounter"])
    made.labels |= {str(resource.get("class", {}).get("display", "")), str(resource.get("class", {}).get("code", ""))}


def _alert(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    made.labels |= {"alert", "warnung", "twin", "zwilling", "told", "meldete", title_of(resource.get("code"))}
    made.texts.append(said_by(resource))
    made.directions |= {"up"} if "above own" in said_by(resource) else set()
    made.directions |= {"down"} if "below own" in said_by(resource) else set()


def _allergy(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    name = title_of(resource.get("code"))
    made.labels |= {name, *_NAMED["AllergyIntolerance"]}
    made.drugs |= {drug for drug, _, _ in drugs_in(name)}


def _other(made: Evidence, resource: Resource, citation: Citation, record: Record) -> None:  # noqa: ARG001
    made.labels.add(title_of(resource.get("code")))


_READERS: Final = {
    "Observation": _observation, "QuestionnaireResponse": _response, "MedicationRequest": _medication,
    "MedicationStatement": _medication, "MedicationAdministration": _medication, "Condition": _condition,
    "Encounter": _encounter, "DetectedIssue": _alert, "RiskAssessment": _alert, "AllergyIntolerance": _allergy,
}  # fmt: skip
