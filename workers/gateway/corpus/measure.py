"""De-identification measured: recall for each class with its interval, precision, and what leaked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt

from workers.gateway.corpus.notes import CLASSES, Mark, Note, identifying, note
from workers.gateway.corpus.record import record
from workers.gateway.deid.known import Known
from workers.gateway.deid.pseudonyms import Pseudonyms, restore
from workers.gateway.deid.scrub import Scrubber, prepared

SEED = 20261125


@dataclass
class Count:
    """Identifiers, and those of which every letter and digit was replaced."""

    all: int = 0
    found: int = 0

    def add(self, *, found: bool) -> None:
        """Count one."""
        self.all += 1
        self.found += found

    @property
    def recall(self) -> float:
        """Return the share found."""
        return self.found / self.all if self.all else 1.0

    def interval(self) -> tuple[float, float]:
        """Return Wilson's interval at 95 %."""
        if not self.all:
            return 0.0, 1.0
        z, n, p = 1.959964, self.all, self.recall
        middle, width = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - width) / (1 + z * z / n), min(1.0, (middle + width) / (1 + z * z / n))


@dataclass
class Measured:
    """What came of some notes."""

    notes: int = 0
    classes: dict[str, Count] = field(default_factory=lambda: {letter: Count() for letter in CLASSES})
    known: Count = field(default_factory=Count)
    unknown: Count = field(default_factory=Count)
    precise: Count = field(default_factory=Count)
    """Replacements, and those that met an identifier."""
    restored: Count = field(default_factory=Count)
    leaks: list[tuple[str, bool, str, str]] = field(default_factory=list)
    """(class, known, identifier, the sentence around it)."""


def measure(notes: int, seed: int = SEED) -> Measured:
    """Make up `notes` notes, four for each record, and scrub them."""
    chance = random.Random(seed)  # noqa: S311  made-up people
    total = Measured()
    for number in range(notes):
        if number % 4 == 0:
            of = record(chance)
            known = Known()
            for resource in of.resources:
                known.add(resource)
        _count(total, note(chance, of), known)
    return total


def _count(total: Measured, written: Note, known: Known) -> None:
    scrubbed = Scrubber(known, Pseudonyms(shift=-7 * 31)).scrub(written.text)
    assert prepared(written.text) == written.text, "places in the note would not be places in what was scrubbed"
    covered = {at for span in scrubbed.spans for at in range(span.start, span.end)}
    total.notes += 1
    for mark in written.marks:
        value = written.text[mark.start : mark.end]
        found = all(mark.start + at in covered for at in identifying(value))
        for count in (total.classes[mark.letter], total.known if mark.known else total.unknown):
            count.add(found=found)
        if not found:
            total.leaks.append((mark.letter, mark.known, value, written.text[max(0, mark.start - 30) : mark.end + 20]))
    for met in _met(written.marks, [(span.start, span.end) for span in scrubbed.spans]):
        total.precise.add(found=met)
    total.restored.add(found=_same(restore(scrubbed.text, scrubbed.replacements), written.text))


def _met(marks: tuple[Mark, ...], spans: list[tuple[int, int]]) -> Iterator[bool]:
    for start, end in spans:
        yield any(mark.start < end and start < mark.end for mark in marks)


def _same(back: str, text: str) -> bool:
    """Tell whether the way back leads to the text, but for how whole dates are written."""
    from workers.gateway.deid.dates import rewritten

    return rewritten(back, lambda day: day.isoformat()) == rewritten(text, lambda day: day.isoformat())


def table(total: Measured) -> str:
    """Return what was measured as a table of Markdown."""
    lines = ["| class | identifiers | found | recall | 95 % interval |", "|---|---|---|---|---|"]
    rows = [(f"({letter}) {CLASSES[letter]}", count) for letter, count in total.classes.items()]
    rows += [("**all that the record holds**", total.known), ("**all others**", total.unknown)]
    for title, count in rows:
        low, high = count.interval()
        lines.append(f"| {title} | {count.all} | {count.found} | {count.recall:.2%} | {low:.2%} to {high:.2%} |")
    precise = total.precise
    lines.append(
        f"| **precision** (replacements that met an identifier) | {precise.all} | {precise.found} | {precise.recall:.2%} | |"
    )
    return "\n".join(lines) + "\n"
