"""The checker: does what a sentence claims stand in what it cites? It trusts nobody, the drafter by rules as little as a model.

Every problem is a code of PROBLEMS. A sentence is supported when there is none; in doubt it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Final

from workers.notes.claims import Claims, Number, claims, same_day
from workers.notes.evidence import Evidence, evidence
from workers.notes.lexicon import mentions_suicidality, table
from workers.notes.note import Note, Statement, with_statements
from workers.notes.record import Citation, Record, folded
from workers.notes.residue import causal, left_over, mixed, neutral, other_measure

PROBLEMS: Final[Mapping[str, str]] = {
    "citation-missing": "It states something and cites nothing.",
    "citation-invented": "It cites what is not in the record.",
    "citation-value": "The cited value is not what the resource says.",
    "number": "A number is in none of the cited resources, with this unit and rounding.",
    "date": "A day is in none of the cited resources.",
    "medication": "A medicine is named that none of the cited resources is about.",
    "dose": "A dose, or how often, is not that of the cited medication.",
    "direction": "It says that something went another way than the cited values did, or nothing cited tells.",
    "negation": "It denies what the cited resource affirms, or affirms what it denies.",
    "status": "It says of a medication or diagnosis that it is taken, stopped or confirmed, and the resource does not.",
    "severity": "A degree of severity is not that of the cited score.",
    "concept": "A symptom or risk is named that none of the cited resources speaks of.",
    "quote": "Words in quotation marks are not those of the cited resource.",
    "unrelated": "Nothing in it is about what the cited resource is about.",
    "unaccounted": "It asserts something that nobody has checked: no number, day, medicine, direction or name of what it cites.",
    "cause": "It puts a change and a medicine together, as if one made the other.",
    "mixed": "A number is not of the day, or not of the questionnaire, beside which it stands.",
    "risk-words": "It speaks of death or self-harm in words of its own; only the patient's are shown.",
    "changed": "What it rests on was changed, taken away or added to after it was drafted.",
    "risk-rating": "Risk is rated; suicidality is shown in the patient's words, never rated.",
}

CHANGED: Final = "changed"
"""The problem that comes with others when a draft is checked again, before it is signed."""
MODEL: Final = "model"
"""Topic of the sentences that a model wrote."""
_RATED: Final = re.compile(
    r"(?<!\w)(?:low|moderate|medium|high|severe|acute|imminent|elevated|no|minimal|niedrig\w*|gering\w*|hoh\w*|akut\w*|mittler\w*|kein\w*)"
    r"[ -](?:\w+[ -])?(?:suicid\w*|suizid\w*|self-harm|risk|risiko|eigengefährdung)(?!\w)"
    r"|(?:suicid\w*|suizid\w*)[- ]?(?:risk|risiko)\w* (?:is|was|ist|war|remains|bleibt|assessed|rated)",
    re.IGNORECASE,
)


def checked(note: Note, record: Record) -> Note:
    """Return the note with the problems of each statement."""
    return with_statements(note, [check(each, record) for each in note.statements])


def check(statement: Statement, record: Record) -> Statement:
    """Return the statement with what is wrong with it."""
    if statement.form in ("method", "clinician"):
        return replace(statement, problems=())
    return replace(statement, problems=tuple(dict.fromkeys(_problems(statement, record))))


def _problems(statement: Statement, record: Record) -> Iterator[str]:
    found = [evidence(each, record) for each in statement.citations]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        yield "citation-invented"
    yield from (
        "citation-value"
        for each, what in zip(statement.citations, found, strict=True)
        if what is not None and not _value_stands(each, what)
    )
    claimed = claims(statement.text, (label for each in known for label in (*each.labels,)))
    if statement.form != "verbatim" and _RATED.search(statement.text):
        yield "risk-rating"
    if statement.topic == MODEL and mentions_suicidality(statement.text):
        yield "risk-words"
    if not statement.citations:
        if statement.form != "question" or _claims_something(claimed):
            yield "citation-missing"
        return
    yield from _compared(statement, claimed, known)


def _claims_something(claimed: Claims) -> bool:
    return bool(claimed.numbers or claimed.days or claimed.drugs or claimed.quotes or claimed.concepts)


def _value_stands(citation: Citation, what: Evidence) -> bool:
    """Tell whether the value that a citation carries is one that the resource says."""
    if not citation.value or citation.element == "change":
        return True
    said = " ".join((*what.texts, *what.labels)).lower()
    if folded(citation.value).lower() in said:
        return True
    try:
        number = Decimal(citation.value)
    except ArithmeticError:
        return all(word in said or _number_in(word, what) for word in citation.value.lower().split())
    return any(abs(each.value) == abs(number) for each in what.numbers)


def _number_in(word: str, what: Evidence) -> bool:
    try:
        number = Decimal(word.replace(",", "."))
    except ArithmeticError:
        return any(each.unit == table("claims")["units"].get(word, word) for each in what.numbers)
    return any(each.value == number for each in what.numbers)


def _compared(statement: Statement, claimed: Claims, known: Sequence[Evidence]) -> Iterator[str]:
    numbers = [each for what in known for each in what.numbers]
    days = {day for what in known for day in what.days}
    drugs = {drug for what in known for drug in what.drugs}
    said = [text for what in known for text in (*what.texts, *what.labels)]
    most = {number for what in known for number in what.most}
    numbers += _differences(known)
    if any(not _has_number(each, numbers) and not (each.behind_of and each.value in most) for each in claimed.numbers):
        yield "number"
    if any(not any(same_day(each, day) for day in days) for each in claimed.days):
        yield "date"
    if any(drug not in drugs for drug in claimed.drugs):
        yield "medication"
    doses = [each for what in known for each in what.doses]
    if any(not _has_number(number, [n for name, n in doses if name == drug]) for drug, number in claimed.doses) or any(
        count not in what for count in claimed.frequencies for what in [{f for e in known for f in e.frequencies}]
    ):
        yield "dose"
    if any(quote not in said for quote in claimed.quotes) or (
        statement.form == "verbatim" and not claimed.quotes and not _item9(known)
    ):
        yield "quote"
    if claimed.bands - {band for what in known for band in what.bands}:
        yield "severity"
    if any(each.concept not in {c for what in known for c in what.concepts} for each in claimed.concepts):
        yield "concept"
    if statement.form == "fact":
        yield from _turned(claimed, known)
        if not _related(claimed, known, statement.text):
            yield "unrelated"
        if left_over(claimed, known):
            yield "unaccounted"
        if causal(claimed, known):
            yield "cause"
        if mixed(claimed, known) or other_measure(claimed, known):
            yield "mixed"


def _differences(known: Sequence[Evidence]) -> list[Number]:
    """Return by how many points the cited scores of one questionnaire differ."""
    totals = [what.score for what in known if what.score]
    return [Number(abs(a[2] - b[2]), "{points}") for a in totals for b in totals if a[0] == b[0] and a[1] < b[1]]


def _item9(known: Iterable[Evidence]) -> bool:
    return any("item 9" in what.labels for what in known)


def _turned(claimed: Claims, known: Sequence[Evidence]) -> Iterator[str]:
    """Yield what is wrong with directions, negation and statuses."""
    if claimed.directions - _directions(known):
        yield "direction"
    denied = [what.negative for what in known]
    if (claimed.negated and all(each is False for each in denied)) or (not claimed.negated and _denies(claimed, known)):
        yield "negation"
    statuses = {status for what in known for status in what.statuses}
    if claimed.statuses - statuses or (
        "stopped" in statuses and "taking" not in statuses and "taking" in claimed.statuses
    ):
        yield "status"


def _denies(claimed: Claims, known: Sequence[Evidence]) -> bool:
    """Tell whether a sentence without a negation rests on what says that something is not."""
    return any(
        what.negative is True and not (_zero(claimed) and not what.drugs and not what.statuses) for what in known
    )


def _zero(claimed: Claims) -> bool:
    return any(each.value == 0 for each in claimed.numbers)


def _directions(known: Sequence[Evidence]) -> set[str]:
    """Return where the cited values point to: each by itself, two scores or two medians from the earlier to the later."""
    found = {way for what in known for way in what.directions}
    for pairs in ([w.score for w in known if w.score], [w.middle for w in known if w.middle]):
        for name in {each[0] for each in pairs}:
            own = sorted((each for each in pairs if each[0] == name), key=lambda each: each[1])
            if len({each[1] for each in own}) > 1:
                found -= {"up", "down"}
                change = own[-1][2] - own[0][2]
                found |= {"up" if change > 0 else "down" if change < 0 else "same"}
                found |= (
                    ({"worse"} if change > 0 else {"better"} if change < 0 else set())
                    if pairs[0] in [w.score for w in known]
                    else set()
                )
    return found


def _related(claimed: Claims, known: Sequence[Evidence], text: str) -> bool:
    """Tell whether the sentence names what it cites, by a medicine or a word of its name that is no neutral one."""
    own = {word[:5] for word in re.findall(r"\w{3,}", text.lower()) if word not in neutral()}
    said = {
        word[:5]
        for what in known
        for each in (*what.labels, *what.words)
        for word in re.findall(r"\w{3,}", each.lower())
    }
    said |= {word[:5] for what in known for each in what.texts for word in re.findall(r"\w{3,}", each.lower())}
    return bool(own & said) or bool(set(claimed.drugs) & {d for what in known for d in what.drugs})


# ---- numbers ----

_TO_MINUTES: Final = {"min": Decimal(1), "h": Decimal(60), "clock": Decimal(1)}
_TO_MG: Final = {"mg": Decimal(1), "g": Decimal(1000), "ug": Decimal("0.001")}


def _has_number(claimed: Number, known: Iterable[Number]) -> bool:
    return any(_same(claimed, each) for each in known)


def _same(claimed: Number, known: Number) -> bool:
    """Tell whether a number as shown is the known one, converted and rounded to the decimals that are shown."""
    value = known.value
    if known.unit == "{points}" and claimed.unit != "{points}":
        return False
    if claimed.unit not in ("", known.unit) and (claimed.unit, known.unit) != ("{points}", ""):
        for scale in (_TO_MINUTES, _TO_MG):
            if claimed.unit in scale and known.unit in scale:
                value = known.value * scale[known.unit] / scale[claimed.unit]
                break
        else:
            return False
    if claimed.unit == "clock":
        value %= 1440
        return abs(value - claimed.value) <= Decimal("0.5") or abs(value - 1440 - claimed.value) <= Decimal("0.5")
    step = Decimal(1).scaleb(-claimed.decimals)
    return claimed.value in (value.quantize(step, ROUND_HALF_UP), value.quantize(step, ROUND_HALF_EVEN))
