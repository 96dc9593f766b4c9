"""What anybody wrote about death or self-harm, in any resource: found wherever it stands, given back word by word, never rated.

Words are looked for in every element that people write into, and codes that stand for them (ICD-10, ICD-10-CM, SNOMED CT) where
there are no words. A question is no statement: of questionnaires and Observations it counts with its answer only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from workers.notes.context import sentences
from workers.notes.document import draft_of, sections_of
from workers.notes.lexicon import mentions_suicidality
from workers.notes.record import (
    ITEM9,
    STATE,
    WHEN,
    Record,
    codes_of,
    folded,
    local_day,
    title_of,
)
from workers.rules.ids import device_id
from workers.twin.resources import Resource

LONGEST: Final = 400
"""Characters that are quoted whole; of longer texts the sentences that speak of it."""
_WORDS: Final = frozenset({
    "text", "valueString", "valueMarkdown", "contentString", "detail", "description", "comment", "conclusion", "summary",
    "rationale", "patientInstruction", "title", "implicated", "deceasedString", "nameString", "topic", "mitigation",
})  # fmt: skip
"""Elements that hold what somebody wrote."""
_CODES: Final = re.compile(
    r"R45\.?(?:85\d?|88)|T14\.?91\w?|X(?:6\d|7\d|8[0-4])(?:\.?\w+)?|Z91\.?5\d?"
    r"|6471006|225444004|248062006|82313006|267073005|102911000|401206008|44301001|304594002|425104003|risk-statement"
)
"""ICD-10-CM and ICD-10: suicidal ideation and attempt, intentional self-harm; SNOMED CT: the same; our own risk statement."""
_ACTIVE: Final = frozenset({"active", "recurrence", "relapse"})


@dataclass(frozen=True, slots=True)
class Spoken:
    """One passage with the resource that it stands in; `active`: it is of before, and holds still."""

    words: str
    day: date | None
    active: bool
    source: str


def spoken(record: Record) -> list[Spoken]:
    """Return the passages of the time, those without a date, and older active Conditions and Flags; each once, by day."""
    found: dict[tuple[str, date | None], Spoken] = {}
    for resource in record.everything:
        place = _place(record, resource)
        if place is None:
            continue
        for words in passages(resource, record.texts.get(f"{resource['resourceType']}/{resource['id']}", "")):
            found.setdefault((words, place[0]), Spoken(words, *place, f"{resource['resourceType']}/{resource['id']}"))
    return sorted(found.values(), key=lambda each: (each.day or date.min, each.source))


def _place(record: Record, resource: Resource) -> tuple[date | None, bool] | None:
    """Return the day to tell, and whether it is an older one that holds still; None for what the note is not about."""
    days = sorted(day for day in days_said(resource, record) if day <= record.last)
    inside = [day for day in days if day >= record.first]
    if inside:
        return inside[-1], False
    clinical = {c.get("code") for c in (resource.get("clinicalStatus") or {}).get("coding", ())}
    holds = (resource["resourceType"] == "Condition" and (clinical & _ACTIVE or not clinical)) or (
        resource["resourceType"] == "Flag" and resource.get("status") == "active"
    )
    if holds:
        return (days[0] if days else None), True
    return None if days or list(days_said(resource, record)) else (None, False)


def days_said(resource: Resource, record: Record) -> Iterator[date]:
    """Yield all days that a resource and its notes name, first and last of a period."""
    given = [resource[name] for name in WHEN if name in resource]
    given += [note["time"] for note in resource.get("note", ()) if isinstance(note, dict) and "time" in note]
    for each in given:
        for text in (each.get("start"), each.get("end")) if isinstance(each, dict) else (each,):
            day = local_day(text, record.zone) if isinstance(text, str) else None
            if day is not None:
                yield day


def passages(resource: Resource, text: str = "") -> list[str]:
    """Return what a resource (with the text of its attachments) says about death or self-harm, folded, each once."""
    if _by_software(resource):
        return []
    resource = _of_people(resource)
    text = "" if draft_of(resource) is not None else text
    every = [
        folded(each).strip()
        for each in (*_coded({} if draft_of(resource) else resource), *written(resource), *([text] if text else []))
    ]
    found = [part for each in every for part in _parts(each)]
    unique = dict.fromkeys(found)
    return [each for each in unique if not any(each != other and each in other for other in unique)]


def concerns(resource: Resource) -> bool:
    """Tell whether a resource speaks of death or self-harm anywhere."""
    return bool(passages(resource))


def _by_software(resource: Resource) -> bool:
    """Tell whether software of ours made it, a state of the twin or an assessment by a model: nobody's words."""
    if STATE in codes_of(resource):
        return True
    return resource["resourceType"] == "RiskAssessment" and _by(resource, "performer").startswith("Device/")


_RAISED: Final = {"DetectedIssue": ("author", "detail", "code"), "Communication": ("sender", "payload", "reasonCode")}
"""What an alert rule writes: the element that says who did, and those that hold the rule's title, which is nobody's words."""


def _of_people(resource: Resource) -> Resource:
    """Return a resource without the title of the alert rule that wrote it: the answer that it is about is shown itself."""
    who, *titles = _RAISED.get(resource["resourceType"], ("",))
    ours = (
        any(each.get("code") == "rules" for each in _tags(resource)) and _by(resource, who) == f"Device/{device_id()}"
    )
    return {k: v for k, v in resource.items() if k not in titles} if ours else resource


def _tags(resource: Resource) -> list[Any]:
    return list(resource.get("meta", {}).get("tag", ()))


def _by(resource: Resource, element: str) -> str:
    given = resource.get(element, {})
    return str(given.get("reference", "")) if isinstance(given, dict) else ""


def _parts(text: str) -> Iterator[str]:
    if not _speaks(text):
        return
    if len(text) <= LONGEST:
        yield text
        return
    found = [text[start:end] for start, end in sentences(text) if _speaks(text[start:end])]
    for each in found or [text]:
        yield each if len(each) <= 2 * LONGEST else each[: 2 * LONGEST].rstrip() + " …"


def _speaks(text: str) -> bool:
    return mentions_suicidality(text) or _CODES.fullmatch(text) is not None


def written(resource: Resource) -> Iterator[str]:
    """Yield what people wrote into a resource, answers and values with the question that they belong to."""
    type_ = resource["resourceType"]
    if draft_of(resource) is not None:
        yield from _of_clinicians(resource)
        return
    if type_ == "QuestionnaireResponse":
        yield from _answers(resource.get("item", ()))
        yield from _walk(resource.get("extension", ()))
    elif type_ == "Observation":
        yield from _values(resource)
        rest = {k: v for k, v in resource.items() if k not in ("code", "component", "category", "method", "text")}
        yield from _walk(rest)
    else:
        yield from _walk({k: v for k, v in resource.items() if k != "text"})
    narrative = resource.get("text")
    if isinstance(narrative, dict) and narrative.get("status") in ("additional", "extensions"):
        yield re.sub(r"<[^>]*>", " ", str(narrative.get("div", "")))


def _of_clinicians(note: Resource) -> Iterator[str]:
    """Yield what clinicians wrote into a note that was drafted here and signed; the rest says what the record says already."""
    if note.get("docStatus") in ("final", "amended"):
        yield from (s.text for section in sections_of(note) for s in section.statements if s.form == "clinician")


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _walk(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, str):
                if name in _WORDS or (name == "display" and mentions_suicidality(each)):
                    yield each
            elif name != "meta":
                yield from _walk(each)


def _values(resource: Resource) -> Iterator[str]:
    """Yield the questions of an Observation that speak of it, with their answers; item 9 is shown by itself."""
    for part in (resource, *resource.get("component", ())):
        if ITEM9 in codes_of(part):
            continue
        question, answer = title_of(part.get("code")), _answer(part)
        if mentions_suicidality(question):
            yield f"{question}: {answer}" if answer else question
        elif part is not resource and answer:
            yield answer


def _answer(part: Any) -> str:
    for name, value in part.items():
        if name.startswith("value"):
            if isinstance(value, bool):
                return "yes" if value else "no"
            if isinstance(value, dict):
                return title_of(value) or " ".join(
                    str(value[k]) for k in ("value", "display", "unit", "code") if k in value
                )
            return str(value)
    return ""


def _answers(items: Any) -> Iterator[str]:
    for item in items:
        question = str(item.get("text", ""))
        for answer in item.get("answer", ()):
            said = _answer(answer)
            if item.get("linkId", "").rpartition("/")[2] != ITEM9 and mentions_suicidality(question):
                yield f"{question}: {said}"
            elif said and ("valueString" in answer or mentions_suicidality(said)):
                yield said
            yield from _answers(answer.get("item", ()))
        yield from _answers(item.get("item", ()))


def _coded(value: Any) -> Iterator[str]:
    """Yield how CodeableConcepts are called that say it by their code."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _coded(each)
    elif isinstance(value, dict):
        codings = value.get("coding")
        if isinstance(codings, list):
            codes = [str(c.get("code", "")) for c in codings if isinstance(c, dict)]
            hit = next((code for code in codes if _CODES.fullmatch(code)), None)
            said = title_of(value)
            if hit is not None and not mentions_suicidality(said) and hit != "risk-statement":
                yield hit
        for name, each in value.items():
            if name not in ("meta", "coding"):
                yield from _coded(each)
