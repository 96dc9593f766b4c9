"""The drafter that works by rules: everything that the record says of a time, as sentences that cite it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from workers.notes import clinic, measured, scored, words
from workers.notes.note import Kind, Note, Statement, arranged
from workers.notes.record import TYPES, WRITTEN, Language, Record

RULES: Final = "rules"
TEMPLATE: Final = "rules-3"
"""Raised whenever a sentence or a rule changes."""

_PARTS: Final[tuple[Callable[[Record, Language], Iterator[Statement]], ...]] = (
    scored.risk, measured.changes, scored.scores, scored.doubtful, scored.trends, clinic.alerts, clinic.encounters, measured.levels,
    measured.coverage, clinic.values, clinic.medication, clinic.allergies, clinic.conditions,
)  # fmt: skip


def statements(record: Record, language: Language) -> list[Statement]:
    """Return all that can be said, each sentence with its citations, in no particular order."""
    return [each for part in _PARTS for each in part(record, language)]


def behind(record: Record, language: Language) -> Iterator[Statement]:
    """Yield that data were waiting for the twin: first, since all that rests on the twin is of before them."""
    if record.behind:
        yield Statement("change", words.sentence(language, "behind"), (), "method")


def method(record: Record, language: Language, reason: str = "") -> list[Statement]:
    """Return the sentences about the draft itself: how it came about, what could not be looked at."""
    out = [("rules-instead", {"reason": reason})] if reason else []
    out.append(("rules", {}))
    hidden = [name for name in (*TYPES, *WRITTEN) if name not in record.looked]
    out += [("hidden", {"types": ", ".join(hidden)})] if hidden else []
    out += [("truncated", {"types": ", ".join(sorted(record.truncated))})] if record.truncated else []
    out += (
        [("unread", {"count": str(len(record.unread)), "names": ", ".join(sorted(record.unread))})]
        if record.unread
        else []
    )
    return [Statement("method", words.sentence(language, key, **values), (), "method") for key, values in out]


def draft(record: Record, kind: Kind, language: Language, reason: str = "") -> Note:
    """Return a note by rules; `reason` says why no model was used, where one was to be."""
    made = [*behind(record, language), *statements(record, language), *method(record, language, reason)]
    note = arranged(kind, language, made, method=RULES, template=TEMPLATE, reason=reason)
    return replace(note, days=(record.first, record.last))
