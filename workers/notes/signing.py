"""From a draft to what a clinician signs: edits taken in, the difference measured in tokens, the document as final."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, get_args

import numpy as np

from fhir_server.kit import clock
from workers.notes.document import COMPOSITION, attachment, draft_of, section
from workers.notes.note import OUTLINES, Kind, Note, Section, Statement, escaped, markdown
from workers.notes.record import Language
from workers.twin.codes import BASE, profile
from workers.twin.resources import Resource

LONGEST: Final = 20_000
"""Characters of a section at most."""
_MARK: Final = re.compile(r"(?:\s*\[\d+\])+|\s*\*\*\((?:not supported|nicht belegt)\)\*\*")


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a section is from its draft: tokens of both, and how many have to be put in, taken out or replaced."""

    code: str
    before: int
    after: int
    distance: int


def edited(sections: Sequence[Section], edits: Mapping[str, str]) -> list[Section]:
    """Return the sections with the texts of `edits` (by code): a line is a statement, a line as it was keeps its citations."""
    return [replace(s, statements=_lines(s, edits[s.code])) if s.code in edits else s for s in sections]


def _lines(told: Section, text: str) -> tuple[Statement, ...]:
    own = {_MARK.sub("", text).strip(): each for each in told.statements for text in (escaped(each.text), each.text)}
    lines = (_MARK.sub("", line.strip().removeprefix("-").strip()).strip() for line in text.splitlines())
    return tuple(own.get(line, Statement("clinician", line, (), "clinician")) for line in lines if line)


def tokens(sections: Section) -> list[str]:
    """Return the words and marks of a section."""
    return [word for each in sections.statements for word in re.findall(r"\w+|[^\w\s]", each.text)]


def distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the Levenshtein distance of two sequences of tokens (Wagner and Fischer 1974), row by row."""
    names = {word: number for number, word in enumerate(dict.fromkeys([*a, *b]))}
    left, right = (np.array([names[word] for word in words], dtype=np.int64) for words in (a, b))
    places = np.arange(len(right) + 1)
    row = places.copy()
    for number, word in enumerate(left, 1):
        best = np.empty_like(row)
        best[0] = number
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (right != word))
        row = np.minimum.accumulate(best - places) + places  # a run of insertions, cheapest start first
    return int(row[-1])


def differences(before: Sequence[Section], after: Sequence[Section]) -> list[Difference]:
    """Return how far each section is from its draft; the sentences about the draft itself are left out."""
    old = {each.code: tokens(each) for each in before}
    return [
        Difference(s.code, len(old.get(s.code, [])), len(tokens(s)), distance(old.get(s.code, []), tokens(s)))
        for s in after
        if s.code != "method"
    ]


def unsupported(sections: Sequence[Section], problem: str | None = None) -> list[str]:
    """Return the codes of sections in which a statement stands that the checker did not find supported, or has one problem."""
    return [
        s.code for s in sections if any(each.problems and problem in (None, *each.problems) for each in s.statements)
    ]


def signed(
    current: Resource,
    sections: Sequence[Section],
    found: Sequence[Difference],
    who: str,
    moment: datetime,
    base: str = BASE,
) -> Resource:
    """Return the note as signed: final, or amended when it was signed already; author and attester are `who`."""
    about = draft_of(current) or {}
    inner = next(c for c in current["contained"] if c.get("id") == COMPOSITION)
    again = current.get("docStatus") in ("final", "amended")
    status = "amended" if again else "final"
    kind: Kind = next(each for each in OUTLINES if each == about["kind"])
    language: Language = next(each for each in get_args(Language) if each == inner.get("language", "en"))
    period = current.get("context", {}).get("period", {})
    days = tuple(date.fromisoformat(period[end][:10]) for end in ("start", "end") if end in period)
    note = Note(
        kind, language, about["method"], about["template"], tuple(sections), days=days if len(days) == 2 else None
    )
    person = {"reference": who}
    authors = [each for each in current.get("author", ()) if each != person] + [person]
    attested = {"mode": "legal", "time": clock.instant(moment), "party": person}
    made = inner | {
        "status": status,
        "date": clock.instant(moment),
        "author": authors,
        "attester": [*inner.get("attester", ()), attested],
        "section": [_section(each, found, base) for each in sections],
    }
    url = profile("note-signed", base)
    kept = [each for each in current.get("extension", ()) if each.get("url") != url]
    whole = {k: v for k, v in current.items() if k != "text"}  # a narrative by somebody else is not what is signed
    return whole | {
        "docStatus": status,
        "date": clock.instant(moment),
        "author": authors,
        "authenticator": person,
        "contained": [made if each is inner else each for each in current["contained"]],
        "content": [{"attachment": attachment(markdown(note), note, moment)}],
        "extension": [*kept, {"url": url, "extension": _measured(found, moment)}],
    }


def _section(told: Section, found: Sequence[Difference], base: str) -> Resource:
    made = section(told, base)
    for each in found:
        if each.code == told.code:
            numbers = {"tokensBefore": each.before, "tokensAfter": each.after, "distance": each.distance}
            parts = [{"url": url, "valueInteger": number} for url, number in numbers.items()]
            made["extension"] = [*made["extension"], {"url": profile("note-edit", base), "extension": parts}]
    return made


def _measured(found: Sequence[Difference], moment: datetime) -> list[Any]:
    """Return when it was signed and what part of the longer text was changed, 0 to 1."""
    longer = sum(max(each.before, each.after) for each in found)
    part = Decimal(sum(each.distance for each in found)) / longer if longer else Decimal(0)
    return [
        {"url": "at", "valueInstant": clock.instant(moment)},
        {"url": "distance", "valueInteger": sum(each.distance for each in found)},
        {"url": "changed", "valueDecimal": part.quantize(Decimal("0.001"))},
    ]
