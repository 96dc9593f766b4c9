"""Where what is known stands in a text: any case, diacritics, separators, one typing error, initials, in any order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from workers.gateway.deid import dates
from workers.gateway.deid.known import PARTICLES, STREETS, TITLES, Known, Person
from workers.gateway.deid.spans import Span
from workers.gateway.deid.words import Word, fold, ordinary, words

_FUZZY: Final = 4
"""Letters from which a word with one error is still the name."""
_DOTTED: Final = re.compile(
    r"(?<![\w.])(?<!\d )(?:[^\W\d_]\.[ ]?){1,3}[^\W\d_]\.(?!\w)|(?<![\w.])(?:[^\W\d_]\.){1,3}[^\W\d_]\b(?!\.)"
)
_ABSORBED: Final = frozenset(["van", "von", "der", "de", "di", "del", "du", "ibn", "bin"])
"""Small words that stand before nothing but a name."""
_BETWEEN_NAMES: Final = frozenset(" \t\n,.-'\u2019`\u00b4")
_NO_INITIALS_WORDS: Final = """
am pm md pt ot er or iv ii id dr mr ms hr bp ed pe rx dx tx hx sx nd rn np pa vs ca co fl ny us uk ma me in is
it at on of to
"""
_NO_INITIALS: Final = frozenset(_NO_INITIALS_WORDS.split())


def one_edit(a: str, b: str) -> bool:
    """Tell whether two different words are one insertion, deletion, substitution or swap of neighbours apart."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        swapped = a[start : start + 2] == b[start : start + 2][::-1] and a[start + 2 :] == b[start + 2 :]
        return a[start + 1 :] == b[start + 1 :] or swapped
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[start + 1 :] == shorter[start:]


@lru_cache(maxsize=65_536)
def _cuts(word: str) -> tuple[str, ...]:
    """Return a word and what is left of it without one letter: two words one edit apart share one."""
    return (word, *(word[:i] + word[i + 1 :] for i in range(len(word))))


class Matcher:
    """What is known, laid out to be looked for."""

    def __init__(self, known: Known) -> None:
        self._exact: dict[str, list[Person]] = defaultdict(list)
        self._near: dict[str, set[str]] = defaultdict(set)
        for person in known.people:
            for part in person.parts:
                self._exact[part].append(person)
                if len(part) >= _FUZZY:
                    for cut in _cuts(part):
                        self._near[cut].add(part)
        self._initials = {
            "".join(pick): person for person in known.people for pick in _initials(person) if len(pick) > 1
        }
        self._phrases: dict[str, list[tuple[tuple[str, ...], tuple[str, str]]]] = defaultdict(list)
        for parts, what in known.phrases.items():
            for cut in _cuts(parts[0]):
                self._phrases[cut].append((parts, what))
        codes = dict(known.codes)
        for day in known.days:
            for form in dates.forms(day):
                codes.setdefault(form, ("DATE", day.isoformat()))
        self._codes = codes
        self._lengths = sorted({len(code) for code in codes}, reverse=True)
        self._heads = {code[:3] for code in codes}

    def find(self, text: str) -> list[Span]:
        """Return what of the text is known."""
        tokens = words(text)
        found = [*self._people(text, tokens), *self._dotted(text)]
        found += self._places(text, tokens)
        found += self._numbers(text, tokens)
        return found

    # ---- people ----

    def _candidates(self, tokens: Sequence[Word], at: int, text: str) -> tuple[list[Person], int]:
        """Return whose name begins with a word, and how many words it takes: two when it was divided."""
        word = tokens[at]
        people = self._of(word)
        if people or at + 1 == len(tokens):
            return people, 1
        gap = text[word.end : tokens[at + 1].start]
        if gap.strip() in ("-", "\u2010", "'", "\u2019") and len(gap) <= 4:
            return self._exact.get(word.folded + tokens[at + 1].folded, []), 2
        return [], 1

    def _of(self, word: Word) -> list[Person]:
        folded = word.folded
        if folded in self._exact:
            return self._exact[folded] if len(folded) > 2 or word.is_capital else []
        for ending in ("s", "es"):
            if (
                folded.endswith(ending)
                and (known := self._exact.get(folded.removesuffix(ending)))
                and not ordinary(folded)
            ):
                return known
        if len(folded) < _FUZZY - 1 or (ordinary(folded) and not (word.is_capital and len(folded) >= _FUZZY)):
            return []
        near = {part for cut in _cuts(folded) for part in self._near.get(cut, ()) if one_edit(part, folded)}
        return [person for part in sorted(near) for person in self._exact[part]]

    def _people(self, text: str, tokens: Sequence[Word]) -> Iterator[Span]:
        at = 0
        while at < len(tokens):
            people, took = self._candidates(tokens, at, text)
            if not people:
                person = self._initials.get(tokens[at].folded) if _may_be_initials(tokens[at]) else None
                if person is not None:
                    yield Span(tokens[at].start, tokens[at].end, person.kind, person.identity, 3)
                at += 1
                continue
            first, last, named = at, at + took - 1, list(people)
            while (step := self._next(text, tokens, last)) is not None and not {*step[0]}.isdisjoint(named):
                named += step[0]
                last += step[1]
            best = max(named, key=lambda each: (named.count(each), each.kind == "PATIENT"))
            first = _initial_before(text, tokens, first, best)
            last = _initial_after(text, tokens, last, best)
            yield Span(tokens[first].start, tokens[last].end, best.kind, best.identity, 3)
            at = last + 1

    def _dotted(self, text: str) -> Iterator[Span]:
        """Yield initials with dots."""
        for found in _DOTTED.finditer(text):
            person = self._initials.get(fold("".join(char for char in found[0] if char.isalpha())))
            if person is not None:
                yield Span(found.start(), found.end(), person.kind, person.identity, 3)

    def _next(self, text: str, tokens: Sequence[Word], last: int) -> tuple[list[Person], int] | None:
        """Return who is named by what follows directly, initials and particles in between, and how many words that takes."""
        for skip in range(3):
            at = last + 1 + skip
            if at >= len(tokens) or not _close(text, tokens[at - 1], tokens[at]):
                return None
            people, took = self._candidates(tokens, at, text)
            if people:
                return people, skip + took
            if len(tokens[at].text) > 1 and tokens[at].folded not in TITLES | PARTICLES:
                return None
        return None

    # ---- places, numbers ----

    def _places(self, text: str, tokens: Sequence[Word]) -> Iterator[Span]:
        short = [STREETS.get(word.folded, word.folded) for word in tokens]
        written = [word.folded for word in tokens]
        for at, head in enumerate(short):
            tried = {
                parts: what
                for word in {head, written[at]}
                for cut in _cuts(word)
                for parts, what in self._phrases.get(cut, ())
            }
            for parts, (kind, identity) in tried.items():
                end = at + len(parts)
                if len(parts) == 1 and ordinary(parts[0]) and not tokens[at].is_capital:
                    continue
                if (_same(short[at:end], parts) or _same(written[at:end], parts)) and all(
                    _close(text, tokens[i], tokens[i + 1]) for i in range(at, end - 1)
                ):
                    yield Span(tokens[at].start, tokens[end - 1].end, kind, identity, 3)

    def _numbers(self, text: str, tokens: Sequence[Word]) -> Iterator[Span]:
        """Yield known numbers and codes, whatever separates their parts, also inside a longer run of letters and digits."""
        flat = [(char, word.start + at) for word in tokens for at, char in enumerate(_flat(word))]
        run = "".join(char for char, _ in flat)
        starts = {word.start for word in tokens}
        for at in range(len(run) - 2):
            if run[at : at + 3] not in self._heads:
                continue
            begins = flat[at][1] in starts
            for length in self._lengths:
                code = run[at : at + length]
                what = self._codes.get(code) if len(code) == length else None
                if what is None:
                    continue
                start, end = flat[at][1], flat[at + length - 1][1] + 1
                ends = at + length == len(run) or not text[end : end + 1].isalnum()
                if (begins and ends and _joined(text, start, end)) or (length >= 7 and _joined(text, start, end)):
                    yield Span(start, end, what[0], what[1], 3)
                    break


def _flat(word: Word) -> str:
    return word.folded if len(word.folded) == len(word.text) else word.text.lower()


def _joined(text: str, start: int, end: int) -> bool:
    """Tell whether nothing but separators stands between the parts of a code: no sentence runs through it."""
    gap = 0
    for char in text[start:end]:
        gap = 0 if char.isalnum() else gap + 1
        if gap > 3:
            return False
    return "\n\n" not in text[start:end]


def _close(text: str, left: Word, right: Word) -> bool:
    gap = text[left.end : right.start]
    if (
        "." in gap
        and gap[-1:].isspace()
        and len(left.text) > 1
        and left.folded not in TITLES
        and left.folded not in STREETS.values()
    ):
        return False  # a sentence ends here
    return len(gap) <= 4 and set(gap) <= _BETWEEN_NAMES | {"#", "/", "&", "_", ":", "(", ")"} and gap.count("\n") < 2


def _same(written: Sequence[str], parts: Sequence[str]) -> bool:
    """Tell whether the words are those, one of them with one error at most."""
    if len(written) != len(parts):
        return False
    wrong = [(a, b) for a, b in zip(written, parts, strict=True) if a != b]
    if not wrong:
        return True
    [(a, b), *others] = wrong
    fuzzy = len(b) >= _FUZZY + 1 or (len(b) >= _FUZZY and not ordinary(a))
    return not others and fuzzy and b.isalpha() and one_edit(a, b) and not (len(parts) == 1 and ordinary(a))


def _initials(person: Person) -> Iterator[tuple[str, ...]]:
    given = [part[0] for part in person.given if part]
    for last in {part[0] for part in person.family if part}:
        yield (*given, last)
        yield (*given[:1], last)
        yield (*given[:2], last)
        yield (last, *given[:1])


def _may_be_initials(word: Word) -> bool:
    return word.text.isupper() and len(word.text) > 1 and word.folded not in _NO_INITIALS and not ordinary(word.folded)


def _belongs(word: Word, person: Person, after: str) -> bool:
    """Tell whether a word beside a name is more of it: an initial, or a small word that is in the name."""
    if len(word.text) == 1:
        return after == "." or (
            word.is_capital and any(part.startswith(word.folded) for part in (*person.given, *person.family))
        )
    return word.folded in _ABSORBED or word.folded in person.given or word.folded in person.family


def _initial_before(text: str, tokens: Sequence[Word], first: int, person: Person) -> int:
    while first > 0 and _close(text, tokens[first - 1], tokens[first]):
        word = tokens[first - 1]
        if not _belongs(word, person, text[word.end : word.end + 1]):
            break
        first -= 1
    return first


def _initial_after(text: str, tokens: Sequence[Word], last: int, person: Person) -> int:
    while last + 1 < len(tokens) and _close(text, tokens[last], tokens[last + 1]):
        word = tokens[last + 1]
        if not _belongs(word, person, text[word.end : word.end + 1]):
            break
        last += 1
    return last
