"""A note as data: statements with citations in sections, the kinds of note, and the text that a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal

from workers.notes import words
from workers.notes.record import Citation, Language

Kind = Literal["soap", "progress", "intake", "discharge"]
Form = Literal["fact", "question", "verbatim", "method", "clinician"]
"""fact: cites what it rests on. question: to ask. verbatim: somebody's words. method: how it was made. clinician: of a person."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence; `problems` are codes of the checker, none when it is supported."""

    topic: str
    text: str
    citations: tuple[Citation, ...] = ()
    form: Form = "fact"
    problems: tuple[str, ...] = ()

    @property
    def supported(self) -> bool:
        """Tell whether the checker found nothing wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a note."""

    code: str
    title: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A draft: what it is, how it came about (`rules`, or the model's name), and its sections."""

    kind: Kind
    language: Language
    method: str
    template: str
    sections: tuple[Section, ...]
    reason: str = ""
    """Why no model was used, where one was to be."""
    days: tuple[date, date] | None = None
    """First and last local day that it is about."""

    @property
    def statements(self) -> list[Statement]:
        """Return all statements in their order."""
        return [each for section in self.sections for each in section.statements]

    def support(self) -> tuple[int, int]:
        """Return how many of the statements that claim something are supported, and how many there are."""
        claims = [each for each in self.statements if each.form in ("fact", "verbatim", "question")]
        return sum(each.supported for each in claims), len(claims)


@dataclass(frozen=True, slots=True)
class Outline:
    """A kind of note: LOINC document type, title, and its sections as (code, titles, topics)."""

    loinc: str
    display: str
    title: tuple[str, str]
    sections: tuple[tuple[str, tuple[str, str], tuple[str, ...]], ...]


_RISK = ("risk", ("Risk, word for word", "Risiko, im Wortlaut"), ("risk",))
UNMENTIONED: Final = "unmentioned"
_UNMENTIONED = (UNMENTIONED, ("Not mentioned by the model, by rules", "Vom Modell nicht erwähnt, nach Regeln"), ())
_ASK = ("ask", ("To ask, and what is missing", "Zu fragen, und was fehlt"), ("missing", "ask"))
_METHOD = ("method", ("About this draft", "Zu diesem Entwurf"), ("method",))

OUTLINES: Final[Mapping[Kind, Outline]] = {
    "soap": Outline("11506-3", "Progress note", ("SOAP note", "SOAP-Notiz"), (
        ("subjective", ("Subjective", "Subjektiv"), ("risk", "score")),
        ("objective", ("Objective", "Objektiv"), ("change", "level", "coverage", "lab", "encounter")),
        ("assessment", ("Assessment", "Beurteilung"), ("condition", "trend", "alert")),
        ("plan", ("Plan", "Plan"), ("medication", "missing", "ask")),
        _UNMENTIONED, _METHOD,
    )),
    "progress": Outline("11506-3", "Progress note", ("Progress note", "Verlaufsnotiz"), (
        _RISK,
        ("course", ("What changed", "Was sich änderte"), ("change", "score", "trend", "alert", "encounter")),
        ("findings", ("Findings", "Befunde"), ("level", "coverage", "lab")),
        ("medication", ("Medication", "Medikation"), ("medication",)),
        ("diagnoses", ("Diagnoses", "Diagnosen"), ("condition",)),
        _UNMENTIONED, _ASK, _METHOD,
    )),
    "intake": Outline("34117-2", "History and physical note", ("Intake note", "Aufnahmenotiz"), (
        _RISK,
        ("diagnoses", ("Diagnoses", "Diagnosen"), ("condition",)),
        ("medication", ("Medication and allergies", "Medikation und Allergien"), ("medication", "allergy")),
        ("scores", ("Questionnaires", "Fragebögen"), ("score", "trend")),
        ("findings", ("Findings", "Befunde"), ("change", "level", "coverage", "lab", "alert", "encounter")),
        _UNMENTIONED, _ASK, _METHOD,
    )),
    "discharge": Outline("18842-5", "Discharge summary", ("Discharge note", "Entlassnotiz"), (
        _RISK,
        ("diagnoses", ("Diagnoses", "Diagnosen"), ("condition",)),
        ("course", ("Course", "Verlauf"), ("encounter", "score", "trend", "change", "alert")),
        ("findings", ("Findings", "Befunde"), ("level", "coverage", "lab")),
        ("medication", ("Medication at discharge", "Medikation bei Entlassung"), ("medication", "allergy")),
        _UNMENTIONED, _ASK, _METHOD,
    )),
}  # fmt: skip

SECTIONS: Final[Mapping[str, str]] = {
    code: titles[0] for outline in reversed(list(OUTLINES.values())) for code, titles, _ in outline.sections
}
"""Codes of sections and what they hold: the CodeSystem `note-section`."""


def section_system(base: str) -> str:
    """Return the URL of the CodeSystem of `SECTIONS`."""
    return f"{base}/CodeSystem/note-section"


def arranged(
    kind: Kind, language: Language, statements: Iterable[Statement], *, method: str, template: str, reason: str = ""
) -> Note:
    """Return a note of the statements, each in the first section that takes its topic."""
    by_topic: dict[str, list[Statement]] = {}
    for each in statements:
        by_topic.setdefault(each.topic, []).append(each)
    sections = [
        Section(code, titles[language == "de"], tuple(each for topic in topics for each in by_topic.get(topic, ())))
        for code, titles, topics in OUTLINES[kind].sections
    ]
    return Note(kind, language, method, template, tuple(s for s in sections if s.statements), reason)


def title(kind: Kind, language: Language) -> str:
    """Return what a kind of note is called."""
    return OUTLINES[kind].title[language == "de"]


def sources(statements: Iterable[Statement]) -> list[str]:
    """Return what the statements cite, each once, in their order."""
    return list(dict.fromkeys(citation.target for each in statements for citation in each.citations))


def markdown(note: Note) -> str:
    """Return the text that a person reads: numbered citations below, unsupported statements marked."""
    places = {target: number for number, target in enumerate(sources(note.statements), 1)}
    lines = [f"# {title(note.kind, note.language)}", "", *_days(note)]
    for section in note.sections:
        lines += [f"## {section.title}", "", *(_line(each, places, note.language) for each in section.statements), ""]
    lines += [f"[{number}] {target}" for target, number in places.items()]
    return "\n".join(lines).rstrip() + "\n"


def _days(note: Note) -> list[str]:
    if note.days is None:
        return []
    first, last = (words.day(note.language, day) for day in note.days)
    return [words.sentence(note.language, "days", first=first, last=last), ""]


_MARKUP: Final = re.compile(r"[\\`*_\[\]<>#|~]|(?<=^)[-+](?=\s)|(?<=^\d)[.)]")


def escaped(text: str) -> str:
    """Return a text as Markdown in which it stands as it is, in one line: no heading, list, emphasis, link or HTML."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _line(statement: Statement, places: Mapping[str, int], language: Language) -> str:
    marks = dict.fromkeys(places[each.target] for each in statement.citations)
    warning = "" if statement.supported else (" **(nicht belegt)**" if language == "de" else " **(not supported)**")
    return f"- {escaped(statement.text)}{''.join(f' [{mark}]' for mark in marks)}{warning}"


def with_statements(note: Note, checked: Sequence[Statement]) -> Note:
    """Return the note with other statements in the places of its own, section by section."""
    rest = iter(checked)
    sections = [replace(s, statements=tuple(next(rest) for _ in s.statements)) for s in note.sections]
    return replace(note, sections=tuple(sections))
