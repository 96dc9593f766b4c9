"""A QuestionnaireResponse as a score: which instrument it is, what was answered, the total, or why there is none.

A missing item gives no total: published rules for filling in differ, and a total of guessed answers says more than the person
did. Answers count by their number (R4 `ordinalValue`, SDC `itemWeight`), an integer, LOINC's codes, or codes of our own system.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from workers.twin.codes import BASE, LOINC, actigraphy
from workers.twin.instruments import ANSWERS, INSTRUMENTS, Instrument, severity

WEIGHTS: Final = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/questionnaire-ordinalValue",
)
ANSWERED: Final = ("completed", "amended")
PLACE: Final = re.compile(r"(?:^|[^0-9])(\d{1,2})$")


@dataclass(frozen=True, slots=True)
class Score:
    """What a response comes to: the total with its band, or the reason why there is none; answers by place."""

    instrument: Instrument
    items: tuple[int | None, ...]
    total: int | None
    reason: str

    def item(self, place: int) -> int | None:
        """Return the answer to one item, from 0."""
        return self.items[place]

    @property
    def severity(self) -> str | None:
        """Return the band of the total."""
        return None if self.total is None else severity(self.instrument, self.total)


def score(response: dict[str, Any], base: str = BASE) -> Score | None:
    """Return the score of a QuestionnaireResponse; None when it is of no questionnaire that is scored."""
    answers = list(_answered(response.get("item", ())))
    instrument = _instrument(response.get("questionnaire", ""), [link for link, _ in answers])
    if instrument is None:
        return None
    blank: tuple[int | None, ...] = (None,) * instrument.items
    if response.get("status") not in ANSWERED:
        return Score(instrument, blank, None, "status")
    found: dict[int, int] = {}
    for link, answer in answers:
        place = _place(instrument, link)
        if place is None:
            continue
        value = _value(answer, base)
        if value is None:
            return Score(instrument, blank, None, "answer-unknown")
        if not 0 <= value <= instrument.highest:
            return Score(instrument, blank, None, "answer-out-of-range")
        if found.get(place, value) != value:
            return Score(instrument, blank, None, "item-repeated")
        found[place] = value
    items = tuple(found.get(place) for place in range(instrument.items))
    known = [item for item in items if item is not None]
    whole = len(known) == instrument.items
    return Score(instrument, items, sum(known) if whole else None, "" if whole else "item-missing")


def _answered(items: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every answer with the linkId of its item, groups and items below answers included."""
    for item in items:
        for answer in item.get("answer", ()):
            yield item.get("linkId", ""), answer
            yield from _answered(answer.get("item", ()))
        yield from _answered(item.get("item", ()))


def _instrument(canonical: str, links: list[str]) -> Instrument | None:
    """Return the instrument by the last segment of the canonical URL, else by LOINC items in the linkIds."""
    name = canonical.split("|")[0].rstrip("/").rpartition("/")[2].lower()
    for each in INSTRUMENTS.values():
        if name in each.panels:
            return each
    for each in INSTRUMENTS.values():
        if each.loinc and sum(_code(link) in each.loinc for link in links) * 2 > each.items:
            return each
    return None


def _code(link: str) -> str:
    return link.rpartition("/")[2]


def _place(instrument: Instrument, link: str) -> int | None:
    """Return which item a linkId is: LOINC's code, or a number at its end from 1 on, such as `isi-3`, `phq9.3`, `3`."""
    code = _code(link)
    if code in instrument.loinc:
        return instrument.loinc.index(code)
    if re.fullmatch(r"\d+-\d", code) or code.lower() in instrument.panels:  # the total, or how hard it made things
        return None
    number = PLACE.search(code)
    place = int(number.group(1)) - 1 if number else -1
    return place if 0 <= place < instrument.items else None


def _value(answer: dict[str, Any], base: str) -> int | None:
    """Return the number of an answer, None where nothing says it."""
    if "valueCoding" in answer:
        return _coded(answer["valueCoding"], base)
    for name in ("valueInteger", "valueDecimal"):
        if name in answer:
            return _whole(answer[name])
    return None


def _coded(coding: dict[str, Any], base: str) -> int | None:
    for extension in coding.get("extension", ()):
        if extension.get("url") in WEIGHTS and "valueDecimal" in extension:
            return _whole(extension["valueDecimal"])
    code, system = coding.get("code", ""), coding.get("system")
    if system == LOINC:
        return ANSWERS.get(code)
    return int(code[-1]) if system == actigraphy(base) and re.fullmatch(r"grade-\d", code) else None


def _whole(number: Any) -> int | None:
    """Return a number that is whole; half an answer is none."""
    return int(number) if int(number) == number else None
