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
        left = len(match.group()) - len(match.group().lstrip())
        if match.group().strip():
            yield match.start() + left, match.end()


@cache
def _pattern(*path: str) -> re.Pattern[str]:
    found = table("context")
    for name in path:
        found = found[name]
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(found, key=len, reverse=True))})(?!\w)", re.IGNORECASE)


def context(sentence: str, start: int, end: int) -> Context:
    """Return how the mention from `start` to `end` of a sentence is meant."""
    clear = _pattern("negation", "pseudo").sub(lambda m: "_" * len(m.group()), sentence)
    before, after = _near(clear[:start], last=True), _near(clear[end:], last=False)
    negated = bool(_pattern("negation", "before").search(before) or _pattern("negation", "after").search(after))
    head = sentence[:start]
    own = max((m.end() for m in _pattern("patient").finditer(head)), default=-1)
    other = max((m.end() for m in _pattern("family").finditer(head)), default=-1)
    return Context(negated, "other" if other > own else "patient", _time(sentence, head, end))


def _near(text: str, *, last: bool) -> str:
    """Return the words that a trigger may stand in: up to a conjunction, WORDS of them at most."""
    parts = _pattern("end").split(text)
    part = parts[-1] if last else parts[0]
    if last:
        part = part.rpartition(":")[2]
    words = part.split()
    return " ".join(words[-WORDS:] if last else words[:WORDS])


def _time(sentence: str, head: str, end: int) -> Time:
    if _pattern("hypothetical").search(_near(head, last=True)):
        return "hypothetical"
    clause = _pattern("end").split(head)[-1]  # "Past trials: ...": a colon ends no time
    near = clause + " | " + _near(sentence[end:], last=False)
    return "historical" if _pattern("historical").search(near) else "recent"
