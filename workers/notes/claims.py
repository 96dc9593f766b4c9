"""What a sentence claims: numbers with units, days, medicines with doses, directions, negation, bands, concepts, quotes.

English and German, by tables and regular expressions. What is not understood is no claim; what a claim rests on is the checker's
business. Parts that only name something (`labels`, such as "PHQ-9" or "item 9") are taken out before numbers are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Final

from workers.notes.lexicon import Mention, concepts_in, drugs_in, table
from workers.notes.words import MONTHS
from workers.twin.instruments import INSTRUMENTS

Unit = str
"""Empty: none said; else a key of the table `units`."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it stands, with as many decimals as are shown."""

    value: Decimal
    unit: Unit
    start: int = 0
    behind_of: bool = False
    """It stands behind "of", as the 27 of "14 of 27"."""

    @property
    def decimals(self) -> int:
        """Return how many decimals are shown."""
        exponent = self.value.as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0


@dataclass(frozen=True, slots=True)
class Claims:
    """All that a sentence claims; a day without a year is (0, month, day), a month (year, month, 0)."""

    numbers: tuple[Number, ...]
    days: tuple[tuple[int, int, int], ...]
    drugs: tuple[str, ...]
    doses: tuple[tuple[str, Number], ...]
    frequencies: tuple[int, ...]
    directions: frozenset[str]
    negated: bool
    bands: frozenset[str]
    statuses: frozenset[str]
    concepts: tuple[Mention, ...]
    quotes: tuple[str, ...]
    placed: tuple[tuple[int, tuple[int, int, int]], ...]
    """The days with their places."""
    titles: tuple[tuple[int, str], ...]
    """Names of questionnaires, in lower case, with their places."""
    rest: str
    """The sentence without quotes, labels and days, in lower case."""


_QUOTE: Final = re.compile(r'"([^"]*)"|“([^”]*)”|„([^“]*)“')


def claims(sentence: str, labels: Iterable[str] = ()) -> Claims:
    """Return what a sentence claims."""
    quotes = tuple(next(g for g in m.groups() if g is not None) for m in _QUOTE.finditer(sentence))
    bare = _QUOTE.sub(lambda m: " " * len(m.group()), sentence)
    drugs = drugs_in(bare)
    text, days = _days(_masked(bare, labels))
    for phrase in table("claims")["harmless"]:
        text = re.sub(re.escape(phrase), lambda m: " " * len(m.group()), text, flags=re.IGNORECASE)
    lower = text.lower()
    bands, plain = _bands(lower)
    numbers = tuple(_numbers(text))
    return Claims(
        numbers,
        tuple(day for _, day in days),
        tuple(dict.fromkeys(name for name, _, _ in drugs)),
        tuple(_doses(numbers, drugs)),
        tuple(frequencies(bare)),
        frozenset(kind for kind, pattern in _patterns("directions").items() if pattern.search(plain)),
        _patterns("negation")["negation"].search(lower) is not None,
        frozenset(bands),
        frozenset(kind for kind, pattern in _patterns("statuses").items() if pattern.search(lower)),
        tuple(concepts_in(text)),
        quotes,
        tuple(sorted(days)),
        tuple((m.start(), m.group().lower()) for m in _title_pattern().finditer(bare)),
        lower,
    )


@cache
def _title_pattern() -> re.Pattern[str]:
    titles = sorted((re.escape(each.title) for each in INSTRUMENTS.values()), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(titles)})(?!\w)", re.IGNORECASE)


def _bands(text: str) -> tuple[list[str], str]:
    """Return the degrees of severity that a text names, the longest words first, and the text without them."""
    found = []
    names = [(name, code) for code, names in table("claims")["bands"].items() for name in names]
    for name, code in sorted(names, key=lambda each: len(each[0]), reverse=True):
        without = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " " * len(name), text)
        found += [code] if without != text else []
        text = without
    return found, text


def _masked(text: str, labels: Iterable[str]) -> str:
    for label in sorted({*labels, *table("claims")["labels"]}, key=len, reverse=True):
        if label:
            text = re.sub(
                rf"(?<!\w){re.escape(label)}(?!\w)", lambda m: " " * len(m.group()), text, flags=re.IGNORECASE
            )
    return text


@cache
def _patterns(kind: str) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") for name, words in table("claims")[kind].items()}


# ---- days ----


@cache
def _months() -> dict[str, int]:
    long = {n.lower(): i for names in MONTHS.values() for i, n in enumerate(names, 1)}
    return long | {name[:3]: number for name, number in long.items()} | {"sept": 9}


@cache
def _day_patterns() -> tuple[re.Pattern[str], ...]:
    month = "|".join(sorted(_months(), key=len, reverse=True))
    return tuple(
        re.compile(text, re.IGNORECASE)
        for text in (
            r"(?<!\w)(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?!\d)",
            r"(?<!\w)(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?!\d)",
            rf"(?<!\w)(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<n>{month})\.?,?\s+(?P<y>\d{{4}})(?!\w)",
            rf"(?<!\w)(?P<n>{month})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}})(?!\w)",
            rf"(?<!\w)(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<n>{month})(?!\w)",
            rf"(?<!\w)(?P<n>{month})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?!\w)",
            rf"(?<!\w)(?P<n>{month})\.?,?\s+(?P<y>\d{{4}})(?!\w)",
            r"(?<!\w)(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})(?!\d)",
        )
    )


def _days(text: str) -> tuple[str, list[tuple[int, tuple[int, int, int]]]]:
    """Return the text without days, and the days with their places."""
    found = []
    for pattern in _day_patterns():
        for match in pattern.finditer(text):
            given = match.groupdict()
            month = int(given["m"]) if given.get("m") else _months()[given["n"].lower()]
            found.append((match.start(), (int(given.get("y") or 0), month, int(given.get("d") or 0))))
        text = pattern.sub(lambda m: " " * len(m.group()), text)
    return text, found


def same_day(claimed: tuple[int, int, int], known: date) -> bool:
    """Tell whether a day, or as much of it as is said, is the known one."""
    year, month, day = claimed
    return year in (0, known.year) and month == known.month and day in (0, known.day)


# ---- numbers ----


@cache
def _number_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    units = "|".join(sorted(map(re.escape, table("claims")["units"]), key=len, reverse=True))
    words = "|".join(table("claims")["numbers"])
    number = rf"(?<![\w.,-])(?P<v>[-\u2212]?\d+(?:[.,]\d+)*)(?:[  ]?-?(?P<u>{units})(?![\w/]))?"
    return (
        re.compile(rf"{number}|(?<!\w)(?P<w>{words})(?!\w)", re.IGNORECASE),
        re.compile(
            r"(?<![\w.,])(?P<h>\d+) ?h(?:ours?)?(?: and)? ?(?P<m>\d{1,2}) ?min(?:utes?|uten)?(?!\w)", re.IGNORECASE
        ),
        re.compile(r"(?<![\w:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?![\w:])"),
    )


def _numbers(text: str) -> Iterable[Number]:
    pattern, spans, clock = _number_patterns()
    for match in spans.finditer(text):
        yield Number(Decimal(match["h"]) * 60 + Decimal(match["m"]), "min", match.start())
    text = spans.sub(lambda m: " " * len(m.group()), text)
    for match in clock.finditer(text):
        yield Number(Decimal(match["h"]) * 60 + Decimal(match["m"]), "clock", match.start())
    text = clock.sub(lambda m: " " * len(m.group()), text)
    for match in pattern.finditer(text):
        if match["w"]:
            yield Number(Decimal(table("claims")["numbers"][match["w"].lower()]), "", match.start())
        else:
            unit = match["u"]
            behind = _OF.search(text, 0, match.start()) is not None
            yield Number(
                _value(match["v"]), table("claims")["units"][unit.lower()] if unit else "", match.start(), behind
            )


def number_spans(text: str) -> str:
    """Return a text without its numbers and their units."""
    pattern, spans, clock = _number_patterns()
    for each in (spans, clock, pattern):
        text = each.sub(" ", text)
    return text


_OF: Final = re.compile(r"\d (?:out of|of|von) $", re.IGNORECASE)


def _value(text: str) -> Decimal:
    """Return a number with decimals after a point or a comma; `1,204` and `1.204` are thousands where three digits follow."""
    text = text.replace("\u2212", "-")
    if re.fullmatch(r"-?[1-9]\d{0,2}([.,]\d{3})+", text):
        return Decimal(re.sub("[.,]", "", text))
    parts = re.split("[.,]", text)
    return Decimal(text.replace(",", ".")) if len(parts) == 2 else Decimal("".join(parts))


DOSES: Final = frozenset({"mg", "ug", "g", "ml", "{tablet}"})


def _doses(numbers: Iterable[Number], drugs: list[tuple[str, int, int]]) -> Iterable[tuple[str, Number]]:
    """Yield each dose with the medicine named last before it, else the first after it."""
    for number in numbers:
        if number.unit not in DOSES or not drugs:
            continue
        earlier = [name for name, start, _ in drugs if start < number.start]
        yield (earlier[-1] if earlier else drugs[0][0]), number


def frequencies(text: str) -> list[int]:
    """Return how many times a day a text says, for every time that it says so."""
    return [
        int(count)
        for count, phrases in table("claims")["frequencies"].items()
        for phrase in phrases
        for _ in re.finditer(rf"(?<!\w){phrase}(?!\w)", text, re.IGNORECASE)
    ]
