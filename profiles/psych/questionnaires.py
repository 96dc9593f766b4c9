"""PHQ-9, GAD-7, ISI and ASRM: items, answers, bands of the total, as Questionnaires and as a score.

PHQ-9 and GAD-7 (Spitzer, Kroenke, Williams et al.) in LOINC, by its names, which are the questions; both are free to reproduce.
ISI (Morin 1993; bands of Bastien et al. 2001) and ASRM (Altman et al. 1997; 6 or more suggests mania or hypomania) by local codes;
their items are named here in words of our own, the licensed wording is the clinic's to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from profiles.psych.codes import BASE, LOCAL, LOINC, actigraphy

Resource = dict[str, Any]
ORDINAL: Final = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
CALCULATED: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"
UNIT: Final = "http://hl7.org/fhir/StructureDefinition/questionnaire-unit"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A questionnaire. Items, total and answers are (system, code, text), the system "" being our own; answers count from 0."""

    name: str
    title: str
    panel: str | None
    total: tuple[str, str, str]
    items: tuple[tuple[str, str, str], ...]
    answers: tuple[tuple[str, str, str], ...]
    bands: tuple[tuple[int, str], ...]
    """(least total, what it is called), ascending."""

    @property
    def most(self) -> int:
        """Return the highest total."""
        return len(self.items) * (len(self.answers) - 1)


@dataclass(frozen=True, slots=True)
class Score:
    """A total with its band; `total` is None when an item has no answer that is known: nothing is filled in."""

    instrument: str
    total: int | None
    band: str | None
    items: tuple[int | None, ...]

    @property
    def missing(self) -> int:
        """Return how many items have no answer."""
        return self.items.count(None)


_FREQUENCY: Final = (
    (LOINC, "LA6568-5", "Not at all"),
    (LOINC, "LA6569-3", "Several days"),
    (LOINC, "LA6570-1", "More than half the days"),
    (LOINC, "LA6571-9", "Nearly every day"),
)
_MOVING: Final = (
    "Moving or speaking so slowly that other people could have noticed. Or the opposite-being so fidgety or restless"
    " that you have been moving around a lot more than usual"
)
_PHQ9: Final = (
    ("44250-9", "Little interest or pleasure in doing things in last 2 weeks"),
    ("44255-8", "Feeling down, depressed, or hopeless in last 2 weeks"),
    ("44259-0", "Trouble falling or staying asleep, or sleeping too much"),
    ("44254-1", "Feeling tired or having little energy"),
    ("44251-7", "Poor appetite or overeating"),
    ("44258-2", "Feeling bad about yourself-or that you are a failure or have let yourself or your family down"),
    ("44252-5", "Trouble concentrating on things, such as reading the newspaper or watching television"),
    ("44253-3", _MOVING),
    ("44260-8", "Thoughts that you would be better off dead, or of hurting yourself in some way"),
)
_GAD7: Final = (
    ("69725-0", "Feeling nervous, anxious or on edge"),
    ("68509-9", "Not being able to stop or control worrying"),
    ("69733-4", "Worrying too much about different things"),
    ("69734-2", "Trouble relaxing"),
    ("69735-9", "Being so restless that it is hard to sit still"),
    ("69689-8", "Becoming easily annoyed or irritable"),
    ("69736-7", "Feeling afraid as if something awful might happen"),
)
_ISI: Final = (
    "Hard to fall asleep", "Hard to stay asleep", "Awake too early", "Content with the sleep", "Seen by others in daily life",
    "Worried about the sleep", "In the way of daily life",
)  # fmt: skip
_ASRM: Final = ("Happier than usual", "Surer of oneself", "In need of less sleep", "Talking more", "More active")


def _loinc(items: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple((LOINC, code, text) for code, text in items)


def _graded(*texts: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(("", f"grade-{number}", text) for number, text in enumerate(texts))


def _own(stem: str, texts: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple(("", f"{stem}-{number}", text) for number, text in enumerate(texts, 1))


PHQ9, GAD7, ISI, ASRM = INSTRUMENTS = (
    Instrument(
        "phq-9", "PHQ-9, depression", "44249-1",
        (LOINC, "44261-6", "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]"), _loinc(_PHQ9), _FREQUENCY,
        ((0, "minimal"), (5, "mild"), (10, "moderate"), (15, "moderately severe"), (20, "severe")),
    ),
    Instrument(
        "gad-7", "GAD-7, anxiety", "69737-5",
        (LOINC, "70274-6", "Generalized anxiety disorder 7 item (GAD-7) total score [Reported.PHQ]"), _loinc(_GAD7), _FREQUENCY,
        ((0, "minimal"), (5, "mild"), (10, "moderate"), (15, "severe")),
    ),
    Instrument(
        "isi", "Insomnia Severity Index", None, ("", "isi-total", LOCAL["isi-total"]), _own("isi", _ISI),
        _graded("None", "Mild", "Moderate", "Severe", "Very severe"),
        ((0, "none"), (8, "subthreshold"), (15, "moderate"), (22, "severe")),
    ),
    Instrument(
        "asrm", "Altman Self-Rating Mania Scale", None, ("", "asrm-total", LOCAL["asrm-total"]), _own("asrm", _ASRM),
        _graded("Not more than usual", "Sometimes", "Often", "Most of the time", "All of the time"),
        ((0, "below the cut-off"), (6, "suggests mania or hypomania")),
    ),
)  # fmt: skip


def questionnaire(instrument: Instrument, base: str = BASE) -> Resource:
    """Return the Questionnaire, with the ordinal value of each answer and the sum that is its total."""
    options = [
        {"valueCoding": _coding(answer, base) | {"extension": [{"url": ORDINAL, "valueDecimal": number}]}}
        for number, answer in enumerate(instrument.answers)
    ]
    items: list[Resource] = [
        {
            "linkId": f"/{code}",
            "code": [_coding((system, code, text), base)],
            "text": text,
            "type": "choice",
            "answerOption": options,
        }
        for system, code, text in instrument.items
    ]
    url = f"{base}/Questionnaire/{instrument.name}"
    found: Resource = {
        "resourceType": "Questionnaire",
        "id": instrument.name,
        "url": url,
        "version": "1.0.0",
        "name": instrument.name.replace("-", "").upper(),
        "title": instrument.title,
        "status": "active",
        "subjectType": ["Patient"],
        "date": "2026-11-25",
        "publisher": "Clarity",
        "item": [*items, _total(instrument, base)],
    }
    if instrument.panel:
        found["code"] = [{"system": LOINC, "code": instrument.panel}]
        found["derivedFrom"] = [f"http://loinc.org/q/{instrument.panel}"]
    return found


def _total(instrument: Instrument, base: str) -> Resource:
    """Return the item of the total: the sum of the ordinals of the answers."""
    expression = f"%resource.item.answer.value.extension('{ORDINAL}').value.sum()"
    calculated = {"language": "text/fhirpath", "expression": expression}
    return {
        "extension": [{"url": CALCULATED, "valueExpression": calculated}],
        "linkId": f"/{instrument.total[1]}",
        "code": [_coding(instrument.total, base)],
        "text": instrument.total[2],
        "type": "integer",
        "readOnly": True,
    }


def instrument_of(response: Resource, base: str = BASE) -> Instrument | None:
    """Return the instrument that a QuestionnaireResponse answers: by canonical URL, ours or LOINC's."""
    url = response.get("questionnaire", "").split("|")[0]
    for instrument in INSTRUMENTS:
        loinc = f"http://loinc.org/q/{instrument.panel}" if instrument.panel else None
        if url in (f"{base}/Questionnaire/{instrument.name}", loinc):
            return instrument
    return None


def score(instrument: Instrument, response: Resource, base: str = BASE) -> Score:
    """Return the score of a QuestionnaireResponse; an item that is missing or not understood gives no total."""
    answers = {item.get("linkId"): item.get("answer", []) for item in response.get("item", ())}
    items = tuple(_grade(instrument, answers.get(f"/{code}", []), base) for _, code, _ in instrument.items)
    if None in items:
        return Score(instrument.name, None, None, items)
    total = sum(item for item in items if item is not None)
    return Score(instrument.name, total, band(instrument, total), items)


def band(instrument: Instrument, total: int) -> str:
    """Return what a total is called."""
    return [name for least, name in instrument.bands if total >= least][-1]


def _grade(instrument: Instrument, answers: list[Resource], base: str) -> int | None:
    """Return the number of the one answer of an item."""
    if len(answers) != 1:
        return None
    coding = answers[0].get("valueCoding", {})
    for number, (system, code, _) in enumerate(instrument.answers):
        if (coding.get("system"), coding.get("code")) == (system or actigraphy(base), code):
            return number
    return None


def _coding(what: tuple[str, str, str], base: str) -> Resource:
    system, code, text = what
    return {"system": system or actigraphy(base), "code": code, "display": text}
