"""Negation, experiencer and time of what a clinical sentence names: rules in the manner of NegEx and ConText.

Chapman et al. 2001, J Biomed Inform 34:301 (triggers with a scope that ends at conjunctions, pseudo-triggers); Harkema et al. 2009,
J Biomed Inform 42:839 (experiencer, temporality). The tables are ours, English and German: `data/context.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from workers.notes.lexicon import table

Experiencer = Literal["patient", "other"]
Time = Literal["recent", "historical", "hypothetical"]

WORDS: Final = 8
"""How many words a trigger reaches; fewer where a conjunction comes first."""
LONGEST: Final = 1_000
"""Characters of a sentence at most."""
_SENTENCE: Final = re.compile(
    r"[^.!?\n;]+(?:(?<=\d)\.(?=\d)[^.!?\n;]+|(?<=\b[A-Za-zÄÖÜ])\.(?=\s?\w)[^.!?\n;]*)*[.!?;]*"
)


@dataclass(frozen=True, slots=True)
class Context:
    """How a mention is meant."""

    negated: bool
    experiencer: Experiencer
    time: Time


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each sentence; a point between digits or after a single letter ends none."""
    for match in _SENTENCE.finditer(text):
        for start, end in _pieces(text, *match.span()):
            left = len(text[start:end]) - len(text[start:end].lstrip())
            if text[start:end].strip():
                yield start + left, end


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield what has no end as pieces of LONGEST characters at most, between words: nobody writes such a sentence."""
    while end - start > LONGEST:
        gap = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = gap if gap > 0 else start + LONGEST
        yield start, cut
        start = cut
    yield start, end


@cache
def _pattern(*path: str) -> re.Pattern[str]:
    found = table("context")
    for name in path:
        found = found[name]
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(found, key=len, reverse=True))})(?!\w)", re.IGNORECASE)


def context(sentence: str, start: int, end: int, kind: str = "symptom") -> Context:
    """Return how the mention from `start` to `end` of a sentence is meant; a medicine may be refused or thought of, too."""
    clear = _pattern("negation", "pseudo").sub(lambda m: "_" * len(m.group()), sentence)
    before, after = _near(clear[:start], last=True), _near(clear[end:], last=False)
    negated = bool(_pattern("negation", "before").search(before) or _pattern("negation", "after").search(after))
    negated = negated or _denied_label().match(sentence, end) is not None
    time = _time(sentence, sentence[:start], end, kind)
    if kind == "medication":
        refused = _pattern("medication", "refused").search(before) or _pattern("medication", "refused_after").search(
            after
        )
        negated = negated or refused is not None
        thought = _pattern("medication", "hypothetical").search(before)
        if thought or _pattern("medication", "hypothetical_after").search(after):
            time = "hypothetical"
    head = sentence[:start]
    own = max((m.end() for m in _pattern("patient").finditer(head)), default=-1)
    other = max((m.end() for m in _pattern("family").finditer(head)), default=-1)
    return Context(negated, "other" if other > own else "patient", time)


@cache
def _denied_label() -> re.Pattern[str]:
    """Return what denies a heading: `Alcohol: none`, `Hallucinations (any): denied`."""
    words = "|".join(sorted(table("context")["negation"]["label"], key=len, reverse=True))
    return re.compile(rf"(?: \(?\w+\)?){{0,2}}\s*[:=]\s*(?:{words})(?!\w)", re.IGNORECASE)


def is_allergy(sentence: str, start: int, end: int) -> bool:
    """Tell whether the medicine from `start` to `end` is named as what somebody does not bear: `Allergies: penicillin, lithium`."""
    clause = _pattern("end").split(sentence[:start])[-1]
    clause = _pattern("medication", "taken").split(clause)[-1]
    if _pattern("medication", "allergy").search(clause):
        return True
    return _behind().match(sentence, end) is not None


@cache
def _behind() -> re.Pattern[str]:
    words = "|".join(table("context")["medication"]["allergy_after"])
    return re.compile(rf"(?:{words})(?!\w)", re.IGNORECASE)


def _near(text: str, *, last: bool) -> str:
    """Return the words that a trigger may stand in: up to a conjunction, WORDS of them at most."""
    parts = _pattern("end").split(text)
    part = parts[-1] if last else parts[0]
    if last:
        part = part.rpartition(":")[2]
    words = part.split()
    return " ".join(words[-WORDS:] if last else words[:WORDS])


def _time(sentence: str, head: str, end: int, kind: str) -> Time:
    if _pattern("hypothetical").search(_near(head, last=True)):
        return "hypothetical"
    clause = _pattern("end").split(head)[-1]  # "Past trials: ...": a colon ends no time
    # in brackets, and behind a score, another time is that of another value: "17 (previously 22)"
    behind = re.split(r"[(,]" if kind == "score" else r"\(", sentence[end:], maxsplit=1)[0]
    near = clause + " | " + _near(behind, last=False)
    return "historical" if _pattern("historical").search(near) or _past(clause, behind, kind) else "recent"


def _past(clause: str, behind: str, kind: str) -> bool:
    """Tell whether a score is of another time, or a medicine was taken once: "was 9 last month", "was on 20 mg until March"."""
    if kind == "score":
        clause = _pattern("past", "over").split(clause)[-1]  # "last month 20, today 12"
        return _pattern("past", "score").search(f"{clause} | {_near(behind, last=False)}") is not None
    if kind != "medication":
        return False
    taken = _pattern("past", "medication_before").search(_near(clause, last=True))
    return taken is not None or _pattern("past", "medication_after").search(_near(behind, last=False)) is not None
