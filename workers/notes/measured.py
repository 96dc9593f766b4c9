"""Statements about what devices measured: changes of level and how sure they are, unusual days, medians, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from workers.notes import words
from workers.notes.note import Statement
from workers.notes.record import (
    STATE,
    Citation,
    Language,
    Record,
    Statistic,
    address,
    before,
    component,
    direction_of,
    facts_of,
    number_of,
    statistic,
    title_of,
)
from workers.twin.features import BY_CODE, FEATURES
from workers.twin.resources import Resource

MEDIANS: Final = ("sleep-duration", "steps", "resting-heart-rate", "activity-mean")
"""Features whose medians are told, of the days of the note and of as many before."""


def changes(record: Record, language: Language) -> Iterator[Statement]:
    """Yield the changes of level that the twin tells of, each once, from the newest state that tells it."""
    told = False
    for feature in FEATURES:
        for day in _inside(record):
            part = component(record.states[day], feature.code)
            facts = facts_of(part) if part else {}
            if "changeDaysAgo" not in facts:
                continue
            began = day - timedelta(days=int(facts["changeDaysAgo"]))
            if began >= record.first:
                told = True
                yield from _change(record, language, feature.code, day, facts)
            break
    days = _inside(record)
    if days and not told:
        text = words.sentence(language, "no-change", day=words.day(language, days[0]))
        yield Statement("change", text, (Citation(address(record.states[days[0]]), "change", "none"),))


def _change(record: Record, language: Language, code: str, day: date, facts: dict[str, Any]) -> Iterator[Statement]:
    shift = facts["changeShift"]
    days = {
        name: words.day(language, day - timedelta(days=int(facts[url])))
        for name, url in (("day", "changeDaysAgo"), ("low", "changeDaysAgoHigh"), ("high", "changeDaysAgoLow"))
    }
    cited = Citation(address(record.states[day]), code, str(shift))
    text = words.sentence(
        language,
        f"{'clock' if BY_CODE[code].circular else 'level'}-{'up' if shift > 0 else 'down'}",
        name=words.name(language, code),
        shift=words.plain(language, abs(shift), 1),
        probability=words.plain(language, facts["changeProbability"], 2),
        **days,
    )
    yield Statement("change", text, (cited,))
    asked = words.sentence(language, "ask-change", day=days["day"], name=_lower(language, words.name(language, code)))
    yield Statement("ask", asked, (cited,), "question")


def _lower(language: Language, name: str) -> str:
    return name[0].lower() + name[1:] if language == "en" and name[1:2].islower() else name


def levels(record: Record, language: Language) -> Iterator[Statement]:
    """Yield medians of the time and of the time before, and on how many days a feature was unusual, with the last such day."""
    search = record.in_days("Observation", record.first, record.last, STATE)
    for code in MEDIANS:
        yield from _median(record, language, code, "median", record.first, record.last)
        yield from _median(record, language, code, "median-before", *before(record))
    for feature in FEATURES:
        if not feature.alerting:
            continue
        for letter in ("high", "low"):
            yield from _unusual(record, language, feature.code, search, "high" if letter == "high" else "low")


def _cited(record: Record, search: str, code: str, kind: Statistic) -> Citation | None:
    value = statistic(record, Citation(search, code, "", kind))
    return None if value is None else Citation(search, code, str(value), kind)


def _median(record: Record, language: Language, code: str, key: str, first: date, last: date) -> Iterator[Statement]:
    search = record.in_days("Observation", first, last, STATE)
    middle, measured = (_cited(record, search, code, kind) for kind in ("median", "measured"))
    if middle is None or measured is None:
        return
    text = words.sentence(
        language,
        key,
        name=words.name(language, code),
        value=words.amount(language, code, Decimal(middle.value)),
        measured=measured.value,
        first=words.day(language, first),
        last=words.day(language, last),
    )
    yield Statement("level", text, (middle, measured))


def _unusual(record: Record, language: Language, code: str, search: str, kind: Statistic) -> Iterator[Statement]:
    count, measured = _cited(record, search, code, kind), _cited(record, search, code, "measured")
    if count is None or measured is None or count.value == "0":
        return
    text = words.sentence(
        language,
        f"{'clock' if BY_CODE[code].circular else 'unusual'}-{kind}",
        name=words.name(language, code),
        count=count.value,
        measured=measured.value,
    )
    yield Statement("level", text, (count, measured))
    letter = "H" if kind == "high" else "L"
    for day in _inside(record):
        part = component(record.states[day], code)
        if part is not None and direction_of(part) == letter:
            yield from _day(record, language, code, day, part)
            return


def _day(record: Record, language: Language, code: str, day: date, part: Resource) -> Iterator[Statement]:
    value, usual = number_of(part), part.get("referenceRange", [{}])[0]
    if value is None or "low" not in usual:
        return
    low, high = (words.amount(language, code, Decimal(str(usual[end]["value"]))) for end in ("low", "high"))
    text = words.sentence(
        language,
        "unusual",
        name=words.name(language, code),
        day=words.day(language, day),
        value=words.amount(language, code, value),
        low=low,
        high=high,
    )
    yield Statement("level", text, (Citation(address(record.states[day]), code, str(value)),))


def coverage(record: Record, language: Language) -> Iterator[Statement]:
    """Yield on how many days there were data, when the newest are of, and which numbers are missing on that day, and why."""
    if "Observation" not in record.looked:
        return
    search = record.in_days("Observation", record.first, record.last, STATE)
    days = _inside(record)
    cited = Citation(search, "", str(len(days)), "count")
    ends = {"first": words.day(language, record.first), "last": words.day(language, record.last)}
    asked = Statement("ask", words.sentence(language, "ask-worn"), (cited,), "question")
    if not days and not record.behind:
        yield Statement("missing", words.sentence(language, "no-data", **ends), (cited,))
        yield asked
    if not days:
        return
    text = words.sentence(language, "coverage", count=str(len(days)), days=str(record.days), **ends)
    yield Statement("coverage", text, (cited,))
    newest = record.states[days[0]]
    if days[0] < record.last and not record.behind:
        stale = words.sentence(language, "stale", day=words.day(language, days[0]))
        yield Statement("missing", stale, (Citation(address(newest)),))
        yield from [asked] if (record.last - days[0]).days > 2 else []
    yield from _absent(newest, language, days[0])


def _absent(state: Resource, language: Language, day: date) -> Iterator[Statement]:
    """Yield which numbers a state does not have, those of one reason together."""
    found: dict[str, list[str]] = {}
    for code in MEDIANS:
        part = component(state, code)
        if part is not None and "dataAbsentReason" in part:
            found.setdefault(title_of(part["dataAbsentReason"]), []).append(code)
    for reason, codes in found.items():
        names = [words.name(language, code) for code in codes]
        names = [names[0], *(_lower(language, each) for each in names[1:])]
        text = words.sentence(
            language, "absent", name=", ".join(names), day=words.day(language, day), reason=words.told(language, reason)
        )
        yield Statement("missing", text, tuple(Citation(address(state), code, reason) for code in codes))


def _inside(record: Record) -> list[date]:
    """Return the days of the note that have a state, the newest first."""
    return sorted((day for day in record.states if record.first <= day <= record.last), reverse=True)
