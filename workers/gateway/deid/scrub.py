"""`scrub`: text in, text without identifiers out; `restore` is the way back (`pseudonyms.py`).

What the record itself says is replaced first and exactly, then patterns, then names in context, then what a plugged-in recogniser
finds, then everything that still looks like a name: in doubt, it goes.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from workers.gateway.deid import dates, names, patterns
from workers.gateway.deid.known import Known
from workers.gateway.deid.matching import Matcher
from workers.gateway.deid.pseudonyms import TOKEN, Pseudonyms
from workers.gateway.deid.spans import Span, merged
from workers.gateway.deid.words import clean

Recogniser: TypeAlias = Callable[[str], Iterable[tuple[int, int, str]]]
"""Takes a text, returns (start, end, kind) of further identifiers; a kind is a word of 2 to 12 capitals."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without identifiers; `masked` counts what only looked like a name."""

    text: str
    replacements: Pseudonyms
    masked: int
    spans: tuple[Span, ...]
    """What was replaced, in the text as `prepared` returns it."""


_SCALES: Final = re.compile(
    r"\b(?:Hamilton(?= (?:Depression|Anxiety|Rating))|Montgomery[\- ]\u00c5?A?sberg|Beck(?= (?:Depression|Anxiety|Hopelessness))|Young(?= Mania)"
    r"|Pittsburgh(?= Sleep)|Epworth(?= Sleep)|Altman(?= Self)|Columbia(?=[ \-]Suicide)|Edinburgh(?= Postnatal)|Sheehan(?= Disability)"
    r"|Yale[\- ]Brown|Liebowitz(?= Social)|Lewy(?= Bod)|Parkinson(?=['\u2019]s)|Alzheimer(?=['\u2019]s)|Asperger|Hashimoto|Tourette)"
)
"""Names that are those of instruments and diseases; what the record holds goes all the same."""


_ELIDED: Final = re.compile(r"(?<!\w)[A-Za-z]{1,2}['\u2019]\Z")


class Scrubber:
    """For the texts of one question about one record."""

    def __init__(
        self, known: Known, replacements: Pseudonyms | None = None, recogniser: Recogniser | None = None
    ) -> None:
        self.replacements = replacements or Pseudonyms()
        self._matcher = Matcher(known)
        self._recogniser = recogniser

    def scrub(self, text: str) -> Scrubbed:
        """Return the text that may leave."""
        given = prepared(text)
        spans = merged(_whole(given, span) for span in _but_scales(given, self._spans(given)))
        made, kept = self._replaced(given, spans)
        left = merged(_but_scales(made, names.residual(made)))
        final, _ = self._replaced(made, left)
        guesses = [Span(kept(each.start), kept(each.end), each.kind, each.identity, 0) for each in left]
        return Scrubbed(
            final, self.replacements, len(left), tuple(sorted([*spans, *guesses], key=lambda each: each.start))
        )

    def _spans(self, text: str) -> list[Span]:
        found = self._matcher.find(text)
        found += patterns.find(text)
        found += names.find(text)
        found += [Span(each.start, each.end, "DATE", "", 2, each.day) for each in dates.find(text)]
        for start, end, kind in self._recogniser(text) if self._recogniser else ():
            if 0 <= start < end <= len(text) and kind.isascii() and kind.isupper() and 2 <= len(kind) <= 12:
                found.append(Span(start, end, kind, "", 1))
        return found

    def _replaced(self, text: str, spans: list[Span]) -> tuple[str, Callable[[int], int]]:
        """Return text with its spans replaced, and what turns a place in it into the place before."""
        made, at, size = [], 0, 0
        moves: list[tuple[int, int]] = []
        for span in spans:
            written = text[span.start : span.end]
            new = self._word(span, written)
            made += [text[at : span.start], new]
            size += span.start - at + len(new)
            at = span.end
            moves.append((size, at))
        made.append(text[at:])

        def before(place: int) -> int:
            done = [(new, old) for new, old in moves if new <= place]
            return done[-1][1] + place - done[-1][0] if done else place

        return "".join(made), before

    def _word(self, span: Span, written: str) -> str:
        if span.kind == "DATE" and span.day is not None:
            return self.replacements.moved(span.day)
        kind = span.kind if span.kind != "PATIENT" or span.identity else "PERSON"
        return self.replacements.token(kind, span.identity or written.casefold(), written)


def _whole(text: str, span: Span) -> Span:
    """Return the span of a name with what stands before it and an apostrophe: O'Connor, D'Angelo."""
    if span.kind in ("PERSON", "PATIENT") and (before := _ELIDED.search(text, max(0, span.start - 4), span.start)):
        return replace(span, start=before.start())
    return span


def _but_scales(text: str, spans: Iterable[Span]) -> list[Span]:
    safe = [found.span() for found in _SCALES.finditer(text)]
    return [
        each
        for each in spans
        if each.rank > 1 or not any(start <= each.start and each.end <= end for start, end in safe)
    ]


def prepared(text: str) -> str:
    """Return text cleaned, without what looks like a token of ours: nothing in a note may ask for a name."""
    return TOKEN.sub(r"(\1)", clean(text))


def scrub(text: str, known: Known, replacements: Pseudonyms | None = None) -> Scrubbed:
    """Return one text without identifiers."""
    return Scrubber(known, replacements).scrub(text)


@cache
def recogniser(path: Path) -> Recogniser:
    """Return `spans` of a Python file that the installation provides; what is wrong with it is an error, never no names."""
    spec = importlib.util.spec_from_file_location("clarity_recogniser", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Recogniser = module.spans
    return found
