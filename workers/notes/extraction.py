"""From the text of a document to findings with spans, and from findings to resources that somebody may accept.

A finding is what the text says: symptom, medication, allergy to one, score or statement about risk. What is negated, refused, about
somebody else or hypothetical is found, not proposed, nor are allergies; statements about risk are proposed verbatim whatever they
say, and never rated. What is said several times in one sense is one proposal.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal

from workers.notes.claims import DOSES, Number, claims, frequencies
from workers.notes.context import Context, context, is_allergy, sentences
from workers.notes.lexicon import concepts_in, drugs_in, suicidality_at, table
from workers.twin.catalogue import by_code
from workers.twin.codes import BASE, SNOMED, origin, profile
from workers.twin.instruments import INSTRUMENTS
from workers.twin.resources import Resource

Kind = Literal["symptom", "medication", "score", "risk", "allergy"]
RISKS: Final = frozenset({"suicidality", "self-harm", "harm-to-others"})
RISK_STATEMENT: Final = ("risk-statement", "Statement about risk, verbatim")
VERSION: Final = "rules-3"
MOST: Final = 1_000
"""Findings of a text at most."""
PREFIX: Final = "found-"
"""What ids of proposals begin with."""


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
        if self.kind in ("risk", "allergy"):
            return self.kind == "risk"
        return not self.meant.negated and self.meant.experiencer == "patient" and self.meant.time == "recent"


class TooMany(Exception):
    """A text says more than MOST things."""


def findings(text: str) -> list[Finding]:
    """Return what a text says, by place; of mentions inside one another the longest. TooMany when there are more than MOST."""
    out: list[Finding] = []
    for start, end in sentences(text):
        own: list[Finding] = []
        for found in _of_sentence(text[start:end], start, end):
            if not any(each.start <= found.start and found.end <= each.end and each.kind == found.kind for each in own):
                own.append(found)
                if len(out) + len(own) > MOST:
                    raise TooMany
        out += own
    return out


def _of_sentence(sentence: str, start: int, end: int) -> Iterator[Finding]:
    def at(kind: Kind, concept: str, first: int, last: int, **more: Any) -> Finding:
        meant = context(sentence, first, last, kind)
        return Finding(kind, concept, start + first, start + last, (start, end), meant, **more)

    mentions = concepts_in(sentence)
    for mention in mentions:
        kind: Kind = "risk" if mention.concept in RISKS else "symptom"
        yield at(kind, mention.concept, mention.start, mention.end)
    where = suicidality_at(sentence)  # wider than the symptoms: what speaks of death is never passed over
    if where is not None and not any(mention.concept in RISKS for mention in mentions):
        yield at("risk", "suicidality", *where)
    if drugs := drugs_in(sentence):
        doses, often = dict(claims(sentence).doses), frequencies(sentence)
        for name, first, last in drugs:
            if is_allergy(sentence, first, last):
                yield at("allergy", name, first, last)
                continue
            dose = doses.get(name)
            single = often[0] if len(often) == 1 and len(drugs) == 1 else None
            yield at(
                "medication", name, first, last, dose=dose if dose and dose.unit in DOSES else None, frequency=single
            )
    for name, first, last, total, before in _scores(sentence):
        found = at("score", name, first, last, value=total)
        yield replace(found, meant=replace(found.meant, time="historical")) if before else found


@cache
def _score_pattern() -> re.Pattern[str]:
    names = r"(?P<phq>PHQ-?\s?9)|(?P<gad>GAD-?\s?7)|(?P<isi>ISI|Insomnia Severity Index)|(?P<asrm>ASRM)"
    between = (
        r"(?:\s*(?:total|scored?|summ?e?|punktwert|of|was|is|=|:|at|von|war|ist|bei|today|heute|now|fell|rose|dropped|increased|to|auf))"
        r"{0,4}\s*"
    )
    total = r"(?P<total>\d{1,2})(?!\d|\.\d|-)(?!\s*%)"
    first = r"(?:(?:from|von)\s+(?P<first>\d{1,2})\s+(?:to|auf)\s+)?"
    return re.compile(rf"(?<!\w)(?:{names}){between}{first}{total}")


_EARLIER: Final = re.compile(
    r"[^.\d]{0,12}?(?:previous(?:ly)?|prior|formerly|earlier|before|last (?:visit|time|week|month)|at (?:intake|baseline|admission)"
    r"|vorher|zuvor|früher|davor|zuletzt|bei aufnahme)(?:\s+(?:was|war|at|of|value|wert))?\s*[:=]?\s*(?P<old>\d{1,2})(?![\d.%/-])",
    re.IGNORECASE,
)
"""What a score was before, behind what it is: "17 (previously 22)"."""
_NAMES: Final = {"phq": "phq-9", "gad": "gad-7", "isi": "isi", "asrm": "asrm"}


def _scores(sentence: str) -> Iterator[tuple[str, int, int, Decimal, bool]]:
    """Yield name, place and total of the scores of a sentence, and whether it is told as that of another time."""
    for match in _score_pattern().finditer(sentence):
        name = next(_NAMES[group] for group in _NAMES if match[group])
        earlier = _EARLIER.match(sentence, match.end())
        told = [(match.start(), match.end(), match["total"], False)]
        if match["first"]:
            told.append((*match.span("first"), match["first"], True))
        if earlier:
            told.append((*earlier.span("old"), earlier["old"], True))
        for start, end, total, before in told:
            if Decimal(total) <= INSTRUMENTS[name].most:
                yield name, start, end, Decimal(total), before


# ---- proposals ----


def gathered(found: Iterable[Finding], text: str) -> list[tuple[Finding, ...]]:
    """Return what becomes one resource: mentions of one thing in one sense; a dose, or a total, makes another of it.

    A medicine without a dose goes with the first of its name that has one; statements about risk are one when their words are.
    """
    groups: dict[tuple[Any, ...], list[Finding]] = {}
    for each in found:
        groups.setdefault(_sense(each, text), []).append(each)
    out: dict[tuple[Any, ...], list[Finding]] = {}
    for key, group in groups.items():
        undosed = group[0].kind == "medication" and group[0].dose is None
        with_dose = next((other for other in groups if undosed and other[:-1] == key[:-1] and other != key), key)
        out.setdefault(with_dose, []).extend(group)
    return [tuple(sorted(group, key=lambda each: each.start)) for group in out.values()]


def _sense(found: Finding, text: str) -> tuple[Any, ...]:
    if found.kind == "risk":
        return ("risk", " ".join(text[slice(*found.sentence)].split()))
    amount = (found.dose.value, found.dose.unit) if found.dose else found.value
    return (found.kind, found.concept, found.meant, amount)


def proposal(mentions: Sequence[Finding], text: str, document: Resource, base: str = BASE) -> Resource:
    """Return the resource that mentions of one thing become: unconfirmed, preliminary or unknown until somebody accepts it."""
    source = f"DocumentReference/{document['id']}"
    found = next((each for each in mentions if each.dose is not None), mentions[0])
    made: Resource = {
        "id": proposal_id(document["id"], found, text),
        "meta": {
            "tag": [{"system": origin(base), "code": "proposed", "display": "Found in a text, not yet accepted"}],
            "security": list(document.get("meta", {}).get("security", ())),
        },
        "extension": [_span(each, text, source, base) for each in mentions],
        "subject": document["subject"],
    }
    if not made["meta"]["security"]:
        del made["meta"]["security"]
    when = {"effectiveDateTime": document["date"]} if "date" in document else {}
    if found.kind == "symptom":
        return made | _condition(found, source, document, base)
    if found.kind == "medication":
        often = next((each.frequency for each in mentions if each.frequency), None)
        return made | _statement(replace(found, frequency=often), source, when)
    return made | _observation(found, text, source, when, base)


def symptom_system(base: str) -> str:
    """Return the URL of the CodeSystem of `symptom_codes`."""
    return f"{base}/CodeSystem/symptom"


def symptom_codes() -> dict[str, str]:
    """Return what a finding may be of, by code."""
    return {code: row["en"] for code, row in table("symptoms")["symptoms"].items()} | dict([RISK_STATEMENT])


def proposal_id(document: str, found: Finding, text: str) -> str:
    """Return the id of what a finding becomes: the same for the same sense in the same document."""
    parts = (document, *map(str, _sense(found, text)), VERSION)
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{PREFIX}{base64.b32encode(digest[:19]).decode().rstrip('=').lower()}"


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
