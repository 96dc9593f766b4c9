"""From statements by rules to what a model is asked, and from its answer back to statements: pure, so that every failure is tested.

A model rewrites; it adds nothing. Its sources are the sentences of the drafter by rules, so that each of its citations is one of
ours. What is about suicidality, what is missing and what to ask never goes through it. Longer records are asked in segments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from fhir_server.kit import json
from workers.gateway.task import Answer, Source, Task
from workers.notes import words
from workers.notes.claims import claims
from workers.notes.lexicon import mentions_suicidality
from workers.notes.note import OUTLINES, UNMENTIONED, Kind, Note, Section, Statement, title
from workers.notes.record import Citation, Language, Record
from workers.notes.residue import neutral
from workers.notes.spoken import concerns

VERSION: Final = "note-1"
"""The template in use: a file of `templates/`, never changed once used; a better one is a new file."""
OURS: Final = frozenset({"risk", "missing", "ask", "method"})
"""Topics that are never a model's."""
CHARACTERS: Final = 3
"""Of a token, at least: names and numbers take more tokens than words do."""
MOST_ANSWERED: Final = 4000
"""Tokens of one answer at most."""
_LANGUAGES: Final[Mapping[Language, str]] = {"en": "English", "de": "German"}


_UNUSABLE: Final[Mapping[str, tuple[str, str]]] = {
    "section": ("it used a section that there is not", "es schrieb in einen Abschnitt, den es nicht gibt"),
    "citation": ("it cited what it was not given", "es zitierte, was es nicht bekommen hatte"),
    "nothing": ("it wrote nothing", "es schrieb nichts"),
    "unfounded": ("it wrote sections for which it had no sources", "es schrieb Abschnitte, für die es keine Quellen hatte"),
    "half": (
        "less than half of what it wrote stands in the record",
        "weniger als die Hälfte dessen, was es schrieb, steht in der Akte",
    ),
}  # fmt: skip


class Unusable(Exception):
    """An answer that has the right shape and cannot be used: a key of `_UNUSABLE`; holds nothing of the answer."""

    def told(self, language: Language) -> str:
        """Return why, as a part of a sentence of the note."""
        return _UNUSABLE[str(self)][language == "de"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One question: the task, and which statement each id stands for."""

    task: Task
    statements: Mapping[str, Statement]


@cache
def template(version: str = VERSION) -> dict[str, Any]:
    """Return a template of `templates/`."""
    found: dict[str, Any] = json.decode_trusted((Path(__file__).parent / "templates" / f"{version}.json").read_bytes())
    return found


def segments(
    record: Record, kind: Kind, language: Language, statements: Sequence[Statement], tokens: int
) -> list[Segment]:
    """Return the questions whose sources together are those statements, each with `tokens` of sources at most."""
    order = [topic for _, _, topics in OUTLINES[kind].sections for topic in topics if topic not in OURS]
    sent = sorted(
        (s for s in statements if s.topic in order and not kept_in(s, record)), key=lambda s: order.index(s.topic)
    )
    parts: list[list[tuple[str, Statement]]] = [[]]
    room = tokens * CHARACTERS
    for number, each in enumerate(sent, 1):
        used = len(each.text) + 12
        if used > room and parts[-1]:
            parts.append([])
            room = tokens * CHARACTERS
        parts[-1].append((f"S{number}", each))
        room -= used
    return [_segment(record, kind, language, part, tokens) for part in parts if part]


def kept_in(statement: Statement, record: Record) -> bool:
    """Tell whether a sentence is never a model's: of its topic, about the draft, or of death or self-harm, in words or by code."""
    if statement.topic in OURS or statement.form == "method" or mentions_suicidality(statement.text):
        return True
    cited = [record.resources[c.target] for c in statement.citations if c.target in record.resources]
    return any(each["resourceType"] not in _MEASURED and concerns(each) for each in cited)


_MEASURED: Final = frozenset({"Observation", "QuestionnaireResponse"})
"""Of these a sentence says a number, never the words that may stand beside it."""


def _segment(record: Record, kind: Kind, language: Language, part: list[tuple[str, Statement]], tokens: int) -> Segment:
    told = template()
    topics = {each.topic for _, each in part}
    codes = [
        f"{code} ({titles[0]})" for code, titles, own in OUTLINES[kind].sections if topics.intersection(own) - OURS
    ]
    text = "\n".join(told["instructions"]).format(
        title=title(kind, "en"), language=_LANGUAGES[language], sections=", ".join(codes)
    )
    sources = tuple(_source(record, id_, each) for id_, each in part)
    patient = record.patient.partition("/")[2]
    task = Task(patient, "clinical", told["id"], text, sources, told["schema"], max_tokens=min(MOST_ANSWERED, tokens))
    return Segment(task, dict(part))


def _source(record: Record, id_: str, statement: Statement) -> Source:
    """Return a statement as a source: all that it cites decides whether it may leave, what a search of it found included."""
    names = sorted({(r["resourceType"], r["id"]) for c in statement.citations for r in _resources(record, c)})
    type_, _, patient = record.patient.partition("/")
    first, *rest = names or [(type_, patient)]
    return Source(id_, statement.text, first, tuple(rest))


def _resources(record: Record, citation: Citation) -> list[dict[str, Any]]:
    if "?" in citation.target:
        return record.found(citation.target) or []
    found = record.resources.get(citation.target)
    return [found] if found else []


_DAY: Final = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?![\w-])")
"""Days come back from the gateway in this form."""


def _days_written(language: Language, text: str) -> str:
    return _DAY.sub(partial(_day, language), text)


def _day(language: Language, match: re.Match[str]) -> str:
    year, month, day = map(int, match.groups())
    try:
        return words.day(language, date(year, month, day))
    except ValueError:
        return match.group()


def answered(segment: Segment, answer: Answer, kind: Kind, language: Language) -> list[tuple[str, Statement]]:
    """Return the sentences of an answer with the code of their section; Unusable when it is of no use."""
    codes = {code for code, _, _ in OUTLINES[kind].sections}
    out = []
    for section in answer.content.get("sections", ()):
        if section["code"] not in codes:
            raise Unusable("section")
        for each in section["sentences"]:
            cited = [c for id_ in each["cites"] if id_ in segment.statements for c in segment.statements[id_].citations]
            if len({id_ for id_ in each["cites"] if id_ in segment.statements}) < len(set(each["cites"])):
                raise Unusable("citation")
            text = _days_written(language, " ".join(str(each["text"]).split()))
            told = [segment.statements[id_] for id_ in each["cites"] if id_ in segment.statements]
            own = next((s.text for s in told if _days_written(language, s.text) == text), text)  # a copy, as it was
            out.append((section["code"], Statement("model", own, tuple(dict.fromkeys(cited)))))
    if not out:
        raise Unusable("nothing")
    return out


def merged(rules: Note, sentences: Iterable[tuple[str, Statement]], model: str, record: Record) -> Note:
    """Return the note with a model's sentences in place of those that it was given; what is never a model's stays."""
    by_code: dict[str, list[Statement]] = {}
    for code, each in sentences:
        by_code.setdefault(code, []).append(each)
    sections = []
    for section in rules.sections:
        kept = [each for each in section.statements if each.form != "method" and kept_in(each, record)]
        about = [
            _by(model, rules.language) if each.text == _rules(rules.language) else each
            for each in section.statements
            if each.form == "method"
        ]
        own = by_code.pop(section.code, [])
        order = [*kept, *own] if section.code in ("subjective", "risk") else [*own, *kept]
        order = [*order, *about] if section.code == "method" else [*about, *order]  # that data wait is said first
        sections.append(replace(section, statements=tuple(order)))
    if by_code:
        raise Unusable("unfounded")
    return replace(rules, method=model, template=VERSION, sections=tuple(s for s in sections if s.statements))


def completed(note: Note, rules: Note, record: Record) -> Note:
    """Return the checked note of a model with all that the rules state and it does not, in a section of its own.

    What was withheld from it is among that. A sentence of the model tells a statement when it is supported, cites all that the
    statement cites, and names its medicines and numbers, or where there are none a word of it.
    """
    told = [each for each in note.statements if each.topic == "model" and each.supported]
    given = [each for each in rules.statements if each.form != "method" and not kept_in(each, record)]
    rest = tuple(each for each in given if not any(_tells(sentence, each) for sentence in told))
    if not rest:
        return note
    title_ = next(titles for code, titles, _ in OUTLINES[note.kind].sections if code == UNMENTIONED)
    added = Section(UNMENTIONED, title_[note.language == "de"], rest)
    place = next((n for n, s in enumerate(note.sections) if s.code in ("ask", "method")), len(note.sections))
    return replace(note, sections=(*note.sections[:place], added, *note.sections[place:]))


def _tells(sentence: Statement, statement: Statement) -> bool:
    if not set(statement.citations) <= set(sentence.citations):
        return False
    if sentence.text == statement.text:
        return True
    said, meant = claims(sentence.text), claims(statement.text)
    if meant.drugs or meant.numbers:
        numbers = {each.value for each in meant.numbers if not each.behind_of}
        return set(meant.drugs) <= set(said.drugs) and numbers <= {each.value for each in said.numbers}
    own, words_ = ({w for w in re.findall(r"[^\W\d_]{4,}", each.rest) if w not in neutral()} for each in (said, meant))
    return bool(own & words_)


def _rules(language: Language) -> str:
    return words.sentence(language, "rules")


def _by(model: str, language: Language) -> Statement:
    return Statement("method", words.sentence(language, "model", model=model), (), "method")


_RISKY: Final = frozenset({"risk-rating", "risk-words"})
"""Problems of sentences that do not stay in a note, not even marked."""


def usable(note: Note) -> Note:
    """Return a checked note of a model without sentences that rate risk or speak of death; Unusable when half is not supported."""
    sections = [
        Section(s.code, s.title, tuple(each for each in s.statements if not _RISKY.intersection(each.problems)))
        for s in note.sections
    ]
    kept = replace(note, sections=tuple(s for s in sections if s.statements))
    written = [each for each in note.statements if each.topic == "model"]
    if 2 * sum(each.supported for each in written) < len(written):
        raise Unusable("half")
    return kept
