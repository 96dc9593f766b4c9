"""What is left of a sentence when everything that the checker understood, and every neutral word, is taken out.

The burden of proof is the sentence's: a word that is no number, day, medicine, direction, status, label of a cited resource or
word of `data/neutral.json` asserts something that nobody has checked. Causes and judgements are in no table: they are always left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from workers.notes.claims import Claims, Number, number_spans, same_day
from workers.notes.evidence import Evidence
from workers.notes.lexicon import drugs_in, table

_WORD: Final = re.compile(r"[^\W\d_]{2,}")


@cache
def neutral() -> frozenset[str]:
    """Return the words that assert nothing by themselves, English and German."""
    return frozenset(word for words in table("neutral").values() for word in words.split())


@cache
def _understood() -> re.Pattern[str]:
    """Return a pattern of the words that other parts of the checker compare: directions, statuses, negation, degrees, how often."""
    found = table("claims")
    parts = [
        word for kind in ("directions", "statuses", "negation") for words in found[kind].values() for word in words
    ]
    parts += [word for words in found["frequencies"].values() for word in words]
    parts += [re.escape(word) for words in found["bands"].values() for word in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(parts, key=len, reverse=True))})(?!\w)", re.IGNORECASE)


def left_over(claimed: Claims, known: Sequence[Evidence]) -> list[str]:
    """Return the words of a sentence that nothing accounts for."""
    text = claimed.rest
    for start, end in reversed([(start, end) for _, start, end in drugs_in(text)]):
        text = text[:start] + " " * (end - start) + text[end:]
    text = _understood().sub(" ", number_spans(text))
    own = {word for what in known for word in what.words}
    return [word for word in _WORD.findall(text) if word not in neutral() and word not in own]


def causal(claimed: Claims, known: Sequence[Evidence]) -> bool:
    """Tell whether a direction and a medicine stand in one sentence, which says without saying it that one made the other."""
    own = [what for what in known if what.drugs.intersection(claimed.drugs) and not what.directions]
    return bool(claimed.directions and own) and len(known) > 1


# ---- what belongs together ----


def mixed(claimed: Claims, known: Sequence[Evidence]) -> bool:
    """Tell whether a number and the day beside it stand in different cited resources."""
    numbers = [
        (n.start, n) for n in claimed.numbers if not n.behind_of and any(_says(what, n) for what in known if what.days)
    ]
    days = [(place, day) for place, day in claimed.placed if any(same_day(day, d) for what in known for d in what.days)]
    if len(known) < 2 or not days or not numbers:
        return False
    return any(
        not any(_says(what, number) and any(same_day(day, each) for each in what.days) for what in known)
        for number, day in _pairs(numbers, days, claimed.rest)
    )


def _says(what: Evidence, claimed: Number) -> bool:
    return any(abs(each.value - claimed.value) <= abs(claimed.value) / 50 for each in what.numbers) or any(
        each.unit != claimed.unit and claimed.unit for each in what.numbers
    )


Day = tuple[int, int, int]


def _pairs(
    numbers: Sequence[tuple[int, Number]], days: Sequence[tuple[int, Day]], text: str
) -> Iterable[tuple[Number, Day]]:
    """Yield each day with its number: in order where there are as many, else the one before it, else the next that is no `from`."""
    if len(numbers) == len(days):
        yield from ((number, day) for (_, number), (_, day) in zip(numbers, days, strict=True))
        return
    for index, (place, day) in enumerate(days):
        start = days[index - 1][0] if index else -1
        end = days[index + 1][0] if index + 1 < len(days) else 1 << 30
        before = [n for at, n in numbers if start < at < place]
        after = [n for at, n in numbers if place < at < end]
        after = [n for n in after if not text[: n.start].rstrip().endswith((" from", " von"))] or after
        if before or after:
            yield before[-1] if before else after[0], day


def other_measure(claimed: Claims, known: Sequence[Evidence]) -> bool:
    """Tell whether a bare number behind the name of a questionnaire is that of another cited resource only."""
    for number in claimed.numbers:
        names = [(place, title) for place, title in claimed.titles if place < number.start]
        if number.unit or number.behind_of or not names:
            continue
        title = max(names)[1]
        holders = [what for what in known if any(each.value == number.value for each in what.numbers)]
        scored = [what for what in holders if what.score]
        if scored and scored == holders and not any(title in what.titles for what in holders):
            return True
    return False
