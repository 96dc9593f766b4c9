"""Dates in text: whole ones, which can be moved, and parts of dates or ambiguous ones, which can only be replaced.

Written as numbers in any order, with names of months in English, German, French and Spanish, with ordinals, as holidays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from workers.gateway.deid.words import fold

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier enero", "february feb februar fevrier febrero", "march mar marz maerz mars marzo",
            "april apr avril abril", "may mai mayo", "june jun juni juin junio", "july jul juli juillet julio",
            "august aug aout agosto", "september sept sep septembre septiembre", "october oct oktober okt octobre octubre",
            "november nov novembre noviembre", "december dec dezember dez decembre diciembre",
        ), 1,
    )
    for name in names.split()
}  # fmt: skip
_M: Final = (
    r"(?:jan(?:uary|uar|vier)?|enero|feb(?:ruary|ruar|rero)?|f[eé]vrier|mar(?:ch|s|zo)?|m(?:ä|ae)rz|apr(?:il)?|avril|abril|may|mai|mayo"
    r"|june?|juin|juni|junio|july?|juillet|juli|julio|aug(?:ust)?|ao[uû]t|agosto|sept?(?:ember|embre|iembre)?"
    r"|o[ck]t(?:ober|obre|ubre)?|nov(?:ember|embre|iembre)?|de[cz](?:ember|iembre)?|d[eé]cembre)"
)
_FULL_MONTH: Final = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Januar|Februar|M(?:ä|ae)rz|Mai|Juni"
    r"|Juli|Oktober|Dezember|Jan\.?|Feb\.?|Mar\.?|Apr\.?|Jun\.?|Jul\.?|Aug\.?|Sept?\.?|Oct\.?|Nov\.?|Dec\.?)"
)
_Y: Final = r"(?P<y>(?:18|19|20)\d\d)"
_Y2: Final = r"(?P<y>(?:18|19|20)\d\d|['\u2019]?\d\d)"
_D: Final = r"(?P<d>0?[1-9]|[12]\d|3[01])"
_N: Final = r"(?P<m>0?[1-9]|1[0-2])"
_TH: Final = r"(?:\s?(?:st|nd|rd|th)\b|\.)?"
_OF: Final = r"[\s,.\-/]*(?:of\s+|de\s+|the\s+)?"
_ORDINAL: Final = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth"
    " seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth twenty-fifth twenty-sixth"
    " twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
)
_SPELLED: Final = "(?:" + "|".join(sorted(_ORDINAL.split(), key=len, reverse=True)) + ")"

_WHOLE: Final = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\d.\-/]){_Y}[-/.]{_N}[-/.]{_D}(?=T\d|\b)(?![-/]\d)",
        r"(?<![\d.\-/])(?P<y>(?:19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])(?!\d)",
        rf"(?<!\w){_D}{_TH}{_OF}(?P<name>{_M})(?![^\W\d_])\.?,?[\s\-/,]*(?:of\s+|de\s+)?{_Y2}\b(?![:/]\d)",
        rf"(?<!\w)(?P<name>{_M})\b\.?[\s\-/]*(?:the\s+)?{_D}{_TH},?[\s\-/,]+(?:of\s+)?{_Y2}\b(?![:/]\d)",
        rf"(?<!\w){_Y}[\s\-/](?P<name>{_M})\b\.?[\s\-/]*{_D}{_TH}(?!\w)",
    )
]
_NUMBERS: Final = re.compile(
    r"(?<![\d.\-/])(?P<a>0?[1-9]|[12]\d|3[01])\s?(?P<s>[-/.])\s?(?P<b>0?[1-9]|[12]\d|3[01])\s?(?P=s)\s?(?P<y>(?:18|19|20)\d\d|\d\d)"
    r"(?![\d\-/]|\.\d)"
)
_SPACED: Final = re.compile(r"(?<![\d.\-/])(?:0[1-9]|[12]\d|3[01])\s(?:0[1-9]|[12]\d|3[01])\s(?:18|19|20)\d\d(?!\d)")
_DATED: Final = (
    r"(?:on|since|by|until|till|before|after|from|through|dated?|of|born|dob|d\.o\.b\.?|seen|admitted|discharged|due|visit|appointment"
    r"|last|next|effective|as of)"
)
_PARTS: Final = [
    (re.compile(pattern, flags), group)
    for pattern, flags, group in (
        (rf"(?<!\w)\d{{1,2}}{_TH}{_OF}(?:{_M})\b(?!\w)", re.IGNORECASE, 0),
        (rf"(?<!\w)(?:{_M})\b\.?[\s\-/]*(?:the\s+)?(?:\d{{1,2}}(?:st|nd|rd|th)?)\b(?!:?\d|%)", re.IGNORECASE, 0),
        (rf"(?<!\w)(?:{_M})\b\.?,?[\s\-/]*(?:of\s+)?['\u2019]?(?:(?:18|19|20)\d\d|\d\d)\b", re.IGNORECASE, 0),
        (rf"(?<!\w)(?:the\s+)?{_SPELLED}\s+(?:of\s+)?(?:{_M})\b", re.IGNORECASE, 0),
        (rf"(?<!\w)(?:{_M})\s+(?:the\s+)?{_SPELLED}\b", re.IGNORECASE, 0),
        (rf"(?<![\w\[]){_FULL_MONTH}(?!\w)", 0, 0),
        (r"(?<![\d/.\-])(?:0?[1-9]|1[0-2])/(?:18|19|20)\d\d(?![\d/])", 0, 0),
        (r"(?<![\d/.\-])(?:18|19|20)\d\d-(?:0[1-9]|1[0-2])(?![\d\-/])", 0, 0),
        (rf"\b(?:{_DATED}|am|vom|seit|bis|den|zum)\s*:?\s+((?:0?[1-9]|[12]\d|3[01])\.\s?(?:0?[1-9]|1[0-2])\.)(?!\d)", re.IGNORECASE, 1),
        (rf"\b{_DATED}\s*:?\s+((?:0?[1-9]|[12]\d|3[01])[/\-](?:0?[1-9]|[12]\d|3[01]))(?![\d/\-]|\s(?:days|nights|weeks|items|points|doses|h|hours)\b)", re.IGNORECASE, 1),
        (r"\b(?:on|since|until|by|from|before|after)\s+the\s+((?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th))\b", re.IGNORECASE, 1),
        (r"\b(?:born|birth(?:\s+year)?|DOB|deceased|died)\b\W{0,3}(?:in\s+|year\s+)?((?:18|19|20)\d\d)\b", re.IGNORECASE, 1),
        (
            r"\b(?:Christmas|Xmas|New Year(?:['\u2019]s)?|Thanksgiving|Easter|Halloween|Independence Day|Labor Day|Memorial Day"
            r"|Valentine(?:['\u2019]s)? Day|Hanukkah|Ramadan|Passover|Diwali|Fourth of July|4th of July|Good Friday)(?: (?:Eve|Day|Sunday))?"
            r"(?:,? (?:of )?(?:18|19|20)\d\d)?\b", re.IGNORECASE, 0,
        ),
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A date in a text; `day` is None when it cannot be moved."""

    start: int
    end: int
    day: date | None


def _year(text: str) -> int:
    digits = text.lstrip("'\u2019")
    if len(digits) == 4:
        return int(digits)
    return int(digits) + (2000 if int(digits) < 50 else 1900)


def _whole(found: re.Match[str]) -> date | None:
    parts = found.groupdict()
    month = int(parts["m"]) if parts.get("m") else _MONTHS.get(fold(parts.get("name") or ""), 0)
    return _day(_year(parts["y"]), month, int(parts["d"]))


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _numbers(found: re.Match[str]) -> date | None:
    """Return the day that numbers mean, None when they may be read two ways: day first or month first."""
    first, second, year = int(found["a"]), int(found["b"]), _year(found["y"])
    readings = {_day(year, second, first), _day(year, first, second)} - {None}
    return readings.pop() if len(readings) == 1 else None


def find(text: str) -> Iterator[Found]:
    """Yield the dates of a text; they may overlap, the longer one being meant."""
    for pattern in _WHOLE:
        for found in pattern.finditer(text):
            if (day := _whole(found)) is not None:
                yield Found(found.start(), found.end(), day)
    for found in _NUMBERS.finditer(text):
        yield Found(found.start(), found.end(), _numbers(found))
    for found in _SPACED.finditer(text):
        yield Found(found.start(), found.end(), None)
    for part, group in _PARTS:
        for found in part.finditer(text):
            yield Found(found.start(group), found.end(group), None)


def rewritten(text: str, write: Callable[[date], str]) -> str:
    """Return text with every whole date written anew."""
    made, at = [], 0
    for found in sorted((each for each in find(text) if each.day), key=lambda each: (each.start, -each.end)):
        if found.start >= at and found.day is not None:
            made += [text[at : found.start], write(found.day)]
            at = found.end
    return "".join([*made, text[at:]])


def forms(day: date) -> list[str]:
    """Return the ways to write a day in six or eight digits."""
    return [day.strftime(form) for form in ("%Y%m%d", "%d%m%Y", "%m%d%Y", "%d%m%y", "%m%d%y", "%y%m%d")]
