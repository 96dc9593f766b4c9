"""Names of people in context, and what is left that looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from workers.gateway.deid.known import PARTICLES, TITLES
from workers.gateway.deid.pseudonyms import TOKEN
from workers.gateway.deid.spans import Span
from workers.gateway.deid.words import Word, first_name, fold, last_name, ordinary, words

_CAP: Final = r"(?:[^\W\d_a-z]\.|[^\W\d_a-z](?:[\w'\u2019\-]*[\w])?)"
_PARTICLE: Final = r"(?i:van|von|der|den|de|la|du|da|dos|del|di|el|al|bin|ibn|ter|st\.?)"
_NAME: Final = rf"(?P<v>(?:{_PARTICLE}\s+){{0,2}}{_CAP}(?:[ \-](?:{_PARTICLE}[ ]+){{0,2}}{_CAP}){{0,3}})"
_KIN: Final = (
    r"(?:wife|husband|spouse|partner|mother|mom|mum|father|dad|son|daughter|brother|sister|sibling|aunt|uncle|cousin|niece|nephew|grand(?:mother|father"
    r"|ma|pa|son|daughter)|fianc[eé]e?|girlfriend|boyfriend|friend|roommate|neighbou?r|boss|manager|supervisor|coworker|co-worker|colleague|teacher"
    r"|stepmother|stepfather|stepson|stepdaughter|in-law|ex|twin|guardian|caregiver|carer|landlord|sponsor|employer|therapist|psychiatrist|counselou?r"
    r"|physician|nurse|doctor|provider|pcp|social worker|case manager|attorney|lawyer|pastor|priest|rabbi|imam|dog|cat)"
)
_TABLE: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?i:dr|drs|prof|professor|mr|mrs|ms|miss|mx|herr|frau|madame?|mme|sr|sra|se[nñ]ora?|sir|judge|officer|sgt|sergeant|rev|reverend"
        rf"|father|fr|sister|nurse|pastor|rabbi|imam|detective|capt|captain|doctor|lt)\b\.?\s+{_NAME}",
        rf"\b(?i:{_KIN})(?:'s|\u2019s)?(?:\s+(?i:is|was|named|called|name|also)|,|:|\s*\()*\s+{_NAME}",
        rf"\b(?i:named?|called|known as|goes by|nicknamed|a\.?k\.?a\.?|alias|n[eé]e|formerly|introduced (?:him|her|them)self as|signed(?: by)?|cosigned(?: by)?|attending|dictated by|seen by|evaluated by|reported by|written by"
        rf"|author|provider|cc|per|prescriber|referr(?:ed|ing) by|resident|spoke (?:with|to)|talked (?:with|to)|met with|call(?:ed)? from|contact(?:ed)?|lives with|living with|accompanied by|married to|divorced from)"
        rf"(?:\s+(?i:is|was|as|by|to))?[\s:,]+[\"'\u201c]?{_NAME}",
        rf"\b(?i:patient|pt|name|client|patient name|member name|first name|last name|surname|given name|family name|emergency contact|next of kin|nok)\s*(?:is|was|:|=)\s*{_NAME}",
        rf"{_NAME},?\s+(?:M\.?D\.?|D\.?O\.?|Ph\.?D\.?|Psy\.?D\.?|R\.?N\.?|N\.?P\.?|P\.?A\.?(?:-C)?|L\.?C\.?S\.?W\.?|L\.?M\.?F\.?T\.?|LPC|PMHNP|APRN|DNP|M\.?S\.?W\.?|Esq\.?)(?!\w)",
        rf"\b(?i:hi|hello|dear|hey|thanks|thank you|sincerely|regards|yours),?\s+{_NAME}",
        rf"(?:\"|\u201c|\(){_NAME}(?:\"|\u201d|\))(?=\s+(?i:{_KIN}))",
    )
)  # fmt: skip
_SENTENCE: Final = re.compile(r"(?:^|[.!?:;\n\u2022*\-\u2013(\"\u201c]\s*|\d[.)]\s*)$")
_STOPS: Final = TITLES | frozenset(
    ["he", "she", "it", "they", "who", "this", "that", "no", "not", "yes", "i", "we", "you"]
)


def find(text: str) -> Iterator[Span]:
    """Yield names that their context or the lists of names give away; spans may overlap."""
    for pattern in _TABLE:
        for found in pattern.finditer(text):
            yield from _trimmed(found["v"], found.start("v"))
    yield from _listed(text)


def _trimmed(name: str, start: int) -> Iterator[Span]:
    """Yield the run of words at the beginning that may be a name: `Mark Told Me` is one word of it, `However` none."""
    end, taken = 0, 0
    for word in words(name):
        if word.folded in PARTICLES or len(word.text) == 1:
            continue
        plain = ordinary(word.folded) and not first_name(word.folded) and not last_name(word.folded)
        if plain and (taken == 0 or not word.is_capital):
            break
        if plain and not _may_be_name(word):
            break
        if word.folded not in _STOPS or taken:
            end, taken = word.end, taken + 1
    if taken:
        yield Span(start, start + end, "PERSON", fold(name[:end]), 1)


def _may_be_name(word: Word) -> bool:
    return first_name(word.folded) or last_name(word.folded) or not ordinary(word.folded)


def _listed(text: str) -> Iterator[Span]:
    """Yield pairs of a first name and a last name, and capitals that are names and no words."""
    tokens = words(text)
    for word, after in zip(tokens, [*tokens[1:], None], strict=True):
        if after is not None and _pair(text, word, after):
            yield Span(word.start, after.end, "PERSON", fold(text[word.start : after.end]), 1)
        named = first_name(word.folded) or last_name(word.folded)
        if named and word.is_capital and not ordinary(word.folded) and len(word.text) > 2:
            yield Span(word.start, word.end, "PERSON", word.folded, 1)


def _pair(text: str, word: Word, after: Word) -> bool:
    gap = text[word.end : after.start]
    if gap.strip() not in ("", ",") or len(gap) > 2 or not (word.is_capital and after.is_capital):
        return False
    plain = ordinary(word.folded) and ordinary(after.folded)
    if gap.strip() == ",":
        return not plain and last_name(word.folded) and first_name(after.folded)
    return first_name(word.folded) and last_name(after.folded) and not (plain and _starts(text, word))


def _starts(text: str, word: Word) -> bool:
    return _SENTENCE.search(text[max(0, word.start - 6) : word.start]) is not None


def residual(text: str) -> Iterator[Span]:
    """Yield what is left that looks like a name: a word with a capital, or all in capitals, that is in no list of words.

    Within a sentence a word that is also a first name counts too, unless all around it is capitals (a heading).
    """
    ours = {at for found in TOKEN.finditer(text) for at in range(*found.span())}
    every = words(text)
    for at, word in enumerate(every):
        if word.start in ours or not word.is_capital:
            continue
        letters = re.sub(r"\d", "", word.folded)
        if len(letters) < 3 or any(char.isdigit() for char in word.text):
            continue
        if not ordinary(word.folded) and not _derived(word.folded):
            yield Span(word.start, word.end, "PERSON", word.folded, 0)
        elif (
            word.text[1:].islower() and first_name(word.folded) and word.folded not in _MONTHS
            and not _starts(text, word) and not _titled(every[max(0, at - 1) : at + 2], word)
        ):  # fmt: skip
            yield Span(word.start, word.end, "PERSON", word.folded, 0)


def _titled(around: list[Word], word: Word) -> bool:
    """Tell whether a word stands beside another with a capital that is no name: `Major Depressive Disorder`."""
    beside = [each for each in around if each is not word]
    return any(each.is_capital and ordinary(each.folded) and not first_name(each.folded) for each in beside)


_MONTHS: Final = frozenset(["may", "april", "june", "august"])


def _derived(folded: str) -> bool:
    """Tell whether it is a form of a word of the list."""
    return any(
        folded.endswith(ending)
        and (ordinary(folded.removesuffix(ending)) or ordinary(folded.removesuffix(ending) + "e"))
        for ending in ("s", "es", "ed", "d", "ing", "ly", "er", "ness")
    )
