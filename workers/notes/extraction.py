"""From the text of a document to findings with spans, and from findings to resources that somebody may accept.

A finding is what the text says: symptom, medication, score or statement about risk. What is negated, about somebody else or
hypothetical is found, not proposed; statements about risk are proposed verbatim whatever they say, and never rated.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal

from workers.notes.claims import DOSES, Number, claims, frequencies
from workers.notes.context import Context, context, sentences
from workers.notes.lexicon import concepts_in, drugs_in, suicidality_at, table
from workers.twin.catalogue import by_code
from workers.twin.codes import BASE, SNOMED, origin, profile
from workers.twin.instruments import INSTRUMENTS
from workers.twin.resources import Resource

Kind = Literal["symptom", "medication", "score", "risk"]
RISKS: Final = frozenset({"suicidality", "self-harm"})
RISK_STATEMENT: Final = ("risk-statement", "Statement about risk, verbatim")
VERSION: Final = "rules-1"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a text says, from `start` to `end` (characters); `sentence` are the bounds of its sentence."""

    kind: Kind
    concept: str
    start: int
    end: int
    sentence: tuple[int, int]
    meant: Context
    value: Decimal | None = None
    dose: Number | None = None
    frequency: int | None = None

    @property
    def proposed(self) -> bool:
        """Tell whether a resource is made of it."""
        if self.kind == "risk":
            return True
        return not self.meant.negated and self.meant.experiencer == "patient" and self.meant.time == "recent"


def findings(text: str) -> list[Finding]:
    """Return what a text says, by place; of mentions inside one another the longest."""
    out: list[Finding] = []
    for start, end in sentences(text):
        for found in _of_sentence(text[start:end], start, end):
            if not any(each.start <= found.start and found.end <= each.end and each.kind == found.kind for each in out):
                out.append(found)
    return out


def _of_sentence(sentence: str, start: int, end: int) -> Iterator[Finding]:
    def at(kind: Kind, concept: str, first: int, last: int, **more: Any) -> Finding:
        meant = context(sentence, first, last)
        return Finding(kind, concept, start + first, start + last, (start, end), meant, **more)

    for mention in concepts_in(sentence):
        kind: Kind = "risk" if mention.concept in RISKS else "symptom"
        yield at(kind, mention.concept, mention.start, mention.end)
    where = suicidality_at(sentence)  # wider than the symptoms: what speaks of death is never passed over
    if where is not None and not any(m.concept in RISKS for m in concepts_in(sentence)):
        yield at("risk", "suicidality", *where)
    drugs = drugs_in(sentence)
    doses = dict(claims(sentence).doses)
    for name, first, last in drugs:
        dose = doses.get(name)
        often = frequencies(sentence)
        single = often[0] if len(often) == 1 and len(drugs) == 1 else None
        yield at("medication", name, first, last, dose=dose if dose and dose.unit in DOSES else None, frequency=single)
    for name, first, last, total in _scores(sentence):
        yield at("score", name, first, last, value=total)


@cache
def _score_pattern() -> re.Pattern[str]:
    names = r"(?P<phq>PHQ-?\s?9)|(?P<gad>GAD-?\s?7)|(?P<isi>ISI|Insomnia Severity Index)|(?P<asrm>ASRM)"
    between = (
        r"(?:\s*(?:total|scored?|summ?e?|punktwert|of|was|is|=|:|at|von|war|ist|bei|today|heute|now|fell|rose|dropped|increased|to|auf))"
        r"{0,4}\s*"
    )
    return re.compile(rf"(?<!\w)(?:{names}){between}(?P<total>\d{{1,2}})(?!\d|\.\d|-)(?!\s*%)")


_NAMES: Final = {"phq": "phq-9", "gad": "gad-7", "isi": "isi", "asrm": "asrm"}


def _scores(sentence: str) -> Iterator[tuple[str, int, int, Decimal]]:
    for match in _score_pattern().finditer(sentence):
        name = next(_NAMES[group] for group in _NAMES if match[group])
        total = Decimal(match["total"])
        if total <= INSTRUMENTS[name].most:
            yield name, match.start(), match.end(), total


# ---- proposals ----


def proposal(found: Finding, text: str, document: Resource, base: str = BASE) -> Resource:
    """Return the resource that a finding becomes when somebody accepts it: unconfirmed, preliminary or unknown until then."""
    source = f"DocumentReference/{document['id']}"
    made: Resource = {
        "id": proposal_id(document["id"], found),
        "meta": {
            "tag": [{"system": origin(base), "code": "proposed", "display": "Found in a text, not yet accepted"}],
            "security": list(document.get("meta", {}).get("security", ())),
        },
        "extension": [_span(found, text, source, base)],
        "subject": document["subject"],
    }
    if not made["meta"]["security"]:
        del made["meta"]["security"]
    when = {"effectiveDateTime": document["date"]} if "date" in document else {}
    if found.kind == "symptom":
        return made | _condition(found, source, document, base)
    if found.kind == "medication":
        return made | _statement(found, source, when)
    return made | _observation(found, text, source, when, base)


def symptom_system(base: str) -> str:
    """Return the URL of the CodeSystem of `symptom_codes`."""
    return f"{base}/CodeSystem/symptom"


def symptom_codes() -> dict[str, str]:
    """Return what a finding may be of, by code."""
    return {code: row["en"] for code, row in table("symptoms")["symptoms"].items()} | dict([RISK_STATEMENT])


def proposal_id(document: str, found: Finding) -> str:
    """Return the id of what a finding becomes: the same for the same place of the same document."""
    parts = (document, found.kind, found.concept, str(found.start), str(found.end), VERSION)
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"found-{base64.b32encode(digest[:19]).decode().rstrip('=').lower()}"


def _span(found: Finding, text: str, source: str, base: str) -> Resource:
    parts = [
        {"url": "source", "valueReference": {"reference": source}},
        {"url": "start", "valueInteger": found.start},
        {"url": "end", "valueInteger": found.end},
        {"url": "text", "valueString": text[found.start : found.end]},
        {"url": "negated", "valueBoolean": found.meant.negated},
        {"url": "experiencer", "valueCode": found.meant.experiencer},
        {"url": "time", "valueCode": found.meant.time},
        {"url": "method", "valueString": VERSION},
    ]
    return {"url": profile("note-span", base), "extension": parts}


def _condition(found: Finding, source: str, document: Resource, base: str) -> Resource:
    row = table("symptoms")["symptoms"][found.concept]
    codings = [{"system": symptom_system(base), "code": found.concept, "display": row["en"]}]
    codings += [{"system": SNOMED, "code": row["snomed"], "display": row["en"]}] if "snomed" in row else []
    unconfirmed = {"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "unconfirmed"}
    active = {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}
    recorded = {"recordedDate": document["date"]} if "date" in document else {}
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [active]},
        "verificationStatus": {"coding": [unconfirmed]},
        "code": {"coding": codings, "text": row["en"]},
        "evidence": [{"detail": [{"reference": source}]}],
        **recorded,
    }


def _statement(found: Finding, source: str, when: Resource) -> Resource:
    made: Resource = {
        "resourceType": "MedicationStatement",
        "status": "unknown",
        "medicationCodeableConcept": {"text": found.concept},
        "derivedFrom": [{"reference": source}],
        **when,
    }
    if found.dose is not None:
        unit = found.dose.unit
        quantity: Resource = {"value": found.dose.value, "unit": unit}
        dosage: Resource = {"doseAndRate": [{"doseQuantity": quantity}], "text": f"{found.dose.value:f} {unit}"}
        if found.frequency:
            dosage["timing"] = {"repeat": {"frequency": found.frequency, "period": 1, "periodUnit": "d"}}
        made["dosage"] = [dosage]
    return made


def _observation(found: Finding, text: str, source: str, when: Resource, base: str) -> Resource:
    made: Resource = {
        "resourceType": "Observation",
        "status": "preliminary",
        "derivedFrom": [{"reference": source}],
        **when,
    }
    if found.kind == "score":
        assert found.value is not None
        system, code = next(key for key, signal in by_code(base).items() if signal.name == found.concept)
        title = INSTRUMENTS[found.concept].title
        value = {"value": int(found.value), "unit": "{score}", "system": "http://unitsofmeasure.org", "code": "{score}"}
        return made | {
            "code": {"coding": [{"system": system, "code": code}], "text": f"{title}, total"},
            "valueQuantity": value,
        }
    said = {
        "system": symptom_system(base),
        "code": RISK_STATEMENT[0],
        "display": RISK_STATEMENT[1],
    }
    first, last = found.sentence
    return made | {"code": {"coding": [said], "text": said["display"]}, "valueString": text[first:last].strip()}
