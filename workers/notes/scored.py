"""Statements about questionnaires and risk: totals and their differences, and words about suicidality, shown and never rated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from workers.notes import words
from workers.notes.note import Statement
from workers.notes.record import (
    Citation,
    Item9,
    Language,
    Record,
    Score,
    Statistic,
    address,
    component,
    facts_of,
    number_of,
)
from workers.notes.spoken import Spoken, spoken
from workers.twin.instruments import INSTRUMENTS, severity
from workers.twin.resources import Resource

MOST: Final = 8
"""Totals of one questionnaire before its last two, and answers to item 9, that are told: the newest, and what is not zero."""
_BEGIN: Final = date(1900, 1, 1)
_FORMS: Final = ("Observation", "QuestionnaireResponse")


def scores(record: Record, language: Language) -> Iterator[Statement]:
    """Yield what the totals of each questionnaire were, how they differ from those before, and which are missing."""
    for name, every in record.scores.items():
        inside = [each for each in every if record.first <= each.day <= record.last]
        earlier = [each for each in every if each.day < record.first][-1:]
        if not inside:
            yield from _not_filled(record, language, name, earlier)
            continue
        yield _total(language, name, inside[-1])
        every = [*earlier, *inside]
        if len(every) > 1:
            yield _step(language, name, every[-2], every[-1])
            text = words.sentence(
                language, "score-means", title=INSTRUMENTS[name].title, change=f"{INSTRUMENTS[name].change:g}"
            )
            yield Statement("score", text, (Citation(inside[-1].source),))
        if len(every) > 2:
            yield _course(language, name, every[:-2][-MOST:])


def doubtful(record: Record, language: Language) -> Iterator[Statement]:
    """Yield the totals of the time that nothing is made of, and why."""
    for name, told, why in record.doubtful:
        if record.first <= told.day <= record.last:
            values = {"title": INSTRUMENTS[name].title, "day": words.day(language, told.day)}
            text = words.sentence(language, f"score-{why}", total=words.plain(language, told.total), **values)
            yield Statement("missing", text, (Citation(told.source, "", str(told.total)),))


def _total(language: Language, name: str, told: Score) -> Statement:
    instrument = INSTRUMENTS[name]
    text = words.sentence(
        language,
        "score",
        title=instrument.title,
        total=words.plain(language, told.total),
        most=str(instrument.most),
        day=words.day(language, told.day),
        band=words.band(language, severity(instrument, float(told.total))),
    )
    return Statement("score", text, (Citation(told.source, "", str(told.total)),))


def _step(language: Language, name: str, before: Score, after: Score) -> Statement:
    difference = after.total - before.total
    key = "score-same" if difference == 0 else "score-rose" if difference > 0 else "score-fell"
    text = words.sentence(
        language,
        key,
        title=INSTRUMENTS[name].title,
        before=words.plain(language, before.total),
        earlier=words.day(language, before.day),
        after=words.plain(language, after.total),
        later=words.day(language, after.day),
    )
    cited = (Citation(after.source, "", str(after.total)), Citation(before.source, "", str(before.total)))
    return Statement("score", text, cited)


def _course(language: Language, name: str, before: list[Score]) -> Statement:
    """Return the totals before the last two, the oldest first."""
    totals = [
        words.sentence(language, "score-on", total=words.plain(language, each.total), day=words.day(language, each.day))
        for each in before
    ]
    text = words.sentence(language, "score-before", title=INSTRUMENTS[name].title, totals=", ".join(totals))
    return Statement("score", text, tuple(Citation(each.source, "", str(each.total)) for each in before))


def _none(record: Record, first: date, statistic: Statistic, element: str = "") -> tuple[Citation, ...]:
    return tuple(Citation(record.in_days(kind, first, record.last), element, "0", statistic) for kind in _FORMS)


def _not_filled(record: Record, language: Language, name: str, earlier: list[Score]) -> Iterator[Statement]:
    if not record.looked.issuperset(_FORMS) or not (earlier or name == "phq-9"):
        return
    instrument = INSTRUMENTS[name]
    last = words.day(language, record.last)
    if earlier:
        text = words.sentence(
            language,
            "no-score",
            title=instrument.title,
            first=words.day(language, record.first),
            last=last,
            day=words.day(language, earlier[0].day),
            total=words.plain(language, earlier[0].total),
            most=str(instrument.most),
        )
        told = Citation(earlier[0].source, "", str(earlier[0].total))
        yield Statement("missing", text, (*_none(record, record.first, "scores", name), told))
    else:
        text = words.sentence(language, "no-score-ever", title=instrument.title, last=last)
        yield Statement("missing", text, _none(record, _BEGIN, "scores", name))
    yield Statement("ask", words.sentence(language, "ask-score", title=instrument.title), (), "question")


def trends(record: Record, language: Language) -> Iterator[Statement]:
    """Yield the newest estimate of each symptom's level, with its interval."""
    for name, instrument in INSTRUMENTS.items():
        for day in sorted(record.states, reverse=True):
            part = component(record.states[day], f"{name}-trend")
            value = number_of(part)
            if part is None or value is None or not record.first <= day <= record.last:
                continue
            facts = facts_of(part)
            numbers = {key: words.plain(language, each, 1) for key, each in _interval(value, facts).items()}
            count = words.plain(language, facts["questionnaires"])
            text = words.sentence(
                language, "trend", title=instrument.title, day=words.day(language, day), count=count, **numbers
            )
            yield Statement("trend", text, (Citation(address(record.states[day]), f"{name}-trend", str(value)),))
            break


def _interval(value: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return {"value": value, "low": facts["low"], "high": facts["high"]}


def risk(record: Record, language: Language) -> Iterator[Statement]:
    """Yield what was answered and written about death and self-harm, verbatim; and that nobody asked, where nobody did."""
    passages = spoken(record)
    yield from (_quoted(language, each) for each in passages)
    if passages:
        cited = tuple(Citation(target) for target in dict.fromkeys(each.source for each in passages))
        yield Statement("ask", words.sentence(language, "ask-written"), cited, "question")
    inside = [each for each in record.item9 if record.first <= each.day <= record.last]
    if inside:
        told = [each for each in inside if each.number != 0 or each in inside[-MOST:]]
        yield from (_item9(language, alike) for alike in _alike(told))
        if any(each.number != 0 for each in inside):
            yield Statement("ask", words.sentence(language, "ask-item9"), (Citation(inside[-1].source),), "question")
    elif record.looked.issuperset(_FORMS):
        days = {"first": words.day(language, record.first), "last": words.day(language, record.last)}
        text = words.sentence(language, "no-item9", **days)
        yield Statement("risk", text, _none(record, record.first, "item9"))


def _quoted(language: Language, told: Spoken) -> Statement:
    key = "quote-active" if told.active else "quote"
    key, day = (key, words.day(language, told.day)) if told.day else (f"{key}-undated", "")
    text = words.sentence(language, key, day=day, words=told.words)
    return Statement("risk", text, (Citation(told.source, "text", told.words),), "verbatim")


def _alike(told: list[Item9]) -> list[list[Item9]]:
    """Return the answers to item 9 of one wording together, those that are not zero before those that are."""
    found: dict[tuple[int | None, str], list[Item9]] = {}
    for each in told:
        found.setdefault((each.number, each.words), []).append(each)
    return sorted(found.values(), key=lambda alike: alike[0].number == 0)


def _item9(language: Language, alike: list[Item9]) -> Statement:
    told = alike[0]
    key = "item9" if told.words and told.number is not None else "item9-words" if told.words else "item9-number"
    days = ", ".join(words.day(language, each.day) for each in alike)
    meant = words.told(language, told.words)  # beside what was answered, never instead of it
    number = f"{meant}, {told.number}" if meant != told.words else str(told.number)
    text = words.sentence(language, key, day=days, words=told.words, number=number)
    cited = tuple(Citation(each.source, "item9", each.words or str(each.number)) for each in alike)
    return Statement("risk", text, cited, "verbatim")


def free_text(resource: Resource) -> Iterator[str]:
    """Yield what people wrote into a resource: notes, answers in words, values in words."""
    yield from (str(each["text"]) for each in resource.get("note", ()) if each.get("text"))
    if "valueString" in resource:
        yield str(resource["valueString"])
    if resource.get("detail"):
        yield str(resource["detail"])
    yield from _answers(resource.get("item", ()))


def _answers(items: Any) -> Iterator[str]:
    for item in items:
        for answer in item.get("answer", ()):
            if answer.get("valueString"):
                yield str(answer["valueString"])
            yield from _answers(answer.get("item", ()))
        yield from _answers(item.get("item", ()))
