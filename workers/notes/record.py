"""What a note is made of: resources that one caller may see, searches over them, and what they say, as plain data.

Everything here is a function of the resources. A citation is the address of one resource, or of a search over the record, with the
element and the value that a sentence rests on; searches carry what nobody wrote down: counts, medians, absences.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from workers.twin.catalogue import SIGNALS, SYMPTOMS, by_code
from workers.twin.codes import BASE
from workers.twin.instruments import ANSWERS, INSTRUMENTS
from workers.twin.questionnaires import score
from workers.twin.resources import Resource

Language = Literal["en", "de"]
Doubt = Literal["outside", "preliminary"]
Statistic = Literal["count", "median", "measured", "high", "low", "scores", "item9"]

TYPES: Final = (
    "Observation", "QuestionnaireResponse", "MedicationStatement", "MedicationRequest", "MedicationAdministration",
    "Condition", "Encounter", "DetectedIssue", "RiskAssessment", "AllergyIntolerance",
)  # fmt: skip
"""Types that notes are made of."""
WRITTEN: Final = (
    "Communication", "DocumentReference", "Flag", "ClinicalImpression", "DiagnosticReport", "Procedure", "ServiceRequest",
    "CarePlan", "AdverseEvent",
)  # fmt: skip
"""Types of which only what they say about death and self-harm is shown, word by word."""
STATE: Final = "digital-twin-state"
SCORES: Final = ",".join(dict.fromkeys(code for row in SIGNALS if row.shape == "score" for _, code in row.codes))
"""Codes of the totals of questionnaires, as a search has them."""
WHEN: Final = (
    "effectivePeriod", "effectiveDateTime", "effectiveInstant", "authored", "period", "identifiedDateTime", "identifiedPeriod",
    "occurrencePeriod", "occurrenceDateTime", "onsetDateTime", "onsetPeriod", "recordedDate", "authoredOn",
    "dateAsserted", "issued", "sent", "received", "date", "performedDateTime", "performedPeriod", "created", "detected",
    "recorded", "started",
)  # fmt: skip
"""Elements that tell when a resource is about, the first that is there."""


@dataclass(frozen=True, slots=True)
class Citation:
    """What a sentence rests on: `target` is Type/id or a search, `element` a component, `value` what stands there."""

    target: str
    element: str = ""
    value: str = ""
    statistic: Statistic | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One total of a questionnaire."""

    day: date
    total: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Item9:
    """What was answered to PHQ-9's question about death and self-harm: number (0 to 3) and words, as far as they are there."""

    day: date
    source: str
    number: int | None
    words: str


@dataclass(frozen=True, eq=False)
class Record:
    """The resources of one patient that a caller sees; `first` to `last` are the local days that the note is about."""

    patient: str
    first: date
    last: date
    resources: Mapping[str, Resource]
    looked: frozenset[str] = frozenset((*TYPES, *WRITTEN))
    """Types that the caller may search: of the others nothing is said, not even that there is nothing."""
    truncated: frozenset[str] = frozenset()
    zone: tzinfo = field(default=UTC)
    base: str = BASE
    signed: date | None = None
    """When the last note was signed; None where there is none."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts of attachments, by the address of the resource that they belong to."""
    unread: frozenset[str] = frozenset()
    """Addresses of resources whose text could not be read, or not whole."""
    behind: bool = False
    """Data were waiting for the twin: what it says is of before them."""

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of some types that are no mistakes, by day and address."""
        return [r for kind, _, r in self._ordered if kind in types]

    @property
    def everything(self) -> list[Resource]:
        """Return all resources that are no mistakes, by day and address."""
        return [r for _, _, r in self._ordered]

    @cached_property
    def _ordered(self) -> list[tuple[str, date, Resource]]:
        """Return type, day (the first there is where none is said) and resource, by day and address."""
        found = [
            (r["resourceType"], day_of(r, self.zone) or date.min, r) for r in self.resources.values() if standing(r)
        ]
        return sorted(found, key=lambda row: (row[1], row[2]["id"]))

    @cached_property
    def _searches(self) -> dict[str, list[Resource] | None]:
        return {}

    @cached_property
    def states(self) -> dict[date, Resource]:
        """Return the twin's states by day."""
        found = ((day_of(r, self.zone), r) for r in self.of("Observation") if codes_of(r) & {STATE})
        return {day: r for day, r in found if day is not None}

    @cached_property
    def item9(self) -> list[Item9]:
        """Return the answers to item 9, the oldest first, incomplete forms too; of a day all that differ."""
        found: dict[tuple[date, int | None], Item9] = {}
        for resource in (*self.of("Observation"), *self.of("QuestionnaireResponse")):
            day, made = day_of(resource, self.zone), _item9(resource)
            if day is not None and made is not None:
                found[day, made[0]] = Item9(day, address(resource), *made)
        return sorted(found.values(), key=lambda each: (each.day, -1 if each.number is None else each.number))

    @property
    def days(self) -> int:
        """Return how many days the note is about."""
        return (self.last - self.first).days + 1

    @cached_property
    def scores(self) -> dict[str, list[Score]]:
        """Return the totals of each questionnaire, the oldest first; one a day, of the Observation before the response."""
        found: dict[str, dict[date, Score]] = {name: {} for name in SYMPTOMS}
        for resource in (*self.of("QuestionnaireResponse"), *self.of("Observation")):
            name, made = _score(resource, self.zone, self.base)
            if name is not None and made is not None and _doubt(resource, name, made) is None:
                found[name][made.day] = made
        return {name: [days[day] for day in sorted(days)] for name, days in found.items()}

    @cached_property
    def doubtful(self) -> list[tuple[str, Score, Doubt]]:
        """Return the totals that are used for nothing: outside the questionnaire's range, or not final, with why."""
        found = []
        for resource in self.of("Observation", "QuestionnaireResponse"):
            name, made = _score(resource, self.zone, self.base)
            why = None if name is None or made is None else _doubt(resource, name, made)
            if name is not None and made is not None and why is not None:
                found.append((name, made, why))
        return found

    def total(self, resource: Resource) -> tuple[str | None, Score | None]:
        """Return the questionnaire and total that a resource says; None where it says none."""
        return _score(resource, self.zone, self.base)

    def in_days(self, type_: str, first: date, last: date, code: str = "") -> str:
        """Return the address of a search over local days."""
        name = "authored" if type_ == "QuestionnaireResponse" else "date"
        text = f"{type_}?patient={self.patient}" + (f"&code={code}" if code else "")
        return f"{text}&{name}=ge{first}&{name}=le{last}"

    def found(self, search: str) -> list[Resource] | None:
        """Return what a search of the forms above finds in the record; None when it is none of those, or was not looked at."""
        if search not in self._searches:
            self._searches[search] = self._find(search)
        return self._searches[search]

    def _find(self, search: str) -> list[Resource] | None:
        type_, _, query = search.partition("?")
        given = parse_qsl(query, keep_blank_values=True)
        values = dict(given)
        if type_ not in self.looked or values.get("patient") != self.patient:
            return None
        if any(name not in ("patient", "code", "date", "authored") for name, _ in given):
            return None
        bounds = [text for name, text in given if name in ("date", "authored")]
        first = next((_iso(text[2:]) for text in bounds if text.startswith("ge")), date.min)
        last = next((_iso(text[2:]) for text in bounds if text.startswith("le")), date.max)
        if first is None or last is None:
            return None
        wanted = set(values["code"].split(",")) if values.get("code") else None
        return [
            r
            for kind, day, r in self._ordered
            if kind == type_ and first <= day <= last and (wanted is None or codes_of(r) & wanted)
        ]


def folded(text: str) -> str:
    """Return a text of the record as a part of one line: no breaks, no control characters, its own quotation marks single."""
    clear = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    clear = "".join(c for c in clear if unicodedata.category(c) != "Cf")
    return re.sub(r"[\"“”„«»]", "'", re.sub(r"\s+", " ", clear))


def address(resource: Resource) -> str:
    """Return Type/id."""
    return f"{resource['resourceType']}/{resource['id']}"


def standing(resource: Resource) -> bool:
    """Tell whether a resource was not entered in error, and does not wait for somebody to accept it."""
    if any(tag.get("code") == "proposed" for tag in resource.get("meta", {}).get("tag", ())):
        return False
    wrong = {c.get("code") for c in resource.get("verificationStatus", {}).get("coding", ())}
    return resource.get("status") != "entered-in-error" and "entered-in-error" not in wrong


def codes_of(resource: Resource) -> set[str]:
    """Return the codes of `code`, without their systems."""
    return {str(c.get("code")) for c in resource.get("code", {}).get("coding", ())}


def title_of(concept: Mapping[str, Any] | None) -> str:
    """Return how a CodeableConcept is called: its text, else a display, else a code."""
    if not concept:
        return ""
    named = [c.get("display") for c in concept.get("coding", ())] + [c.get("code") for c in concept.get("coding", ())]
    return str(concept.get("text") or next((n for n in named if n), ""))


def day_of(resource: Resource, zone: tzinfo) -> date | None:
    """Return the local day on which what a resource tells of was, or began."""
    for name in WHEN:
        if name in resource:
            given = resource[name]
            return local_day(given.get("start") if isinstance(given, dict) else given, zone)
    return None


def local_day(text: str | None, zone: tzinfo) -> date | None:
    """Return the first day of a FHIR dateTime: a moment on the patient's calendar, a date as it stands."""
    if not text:
        return None
    if len(text) > 10:
        return datetime.fromisoformat(text).astimezone(zone).date()
    return _iso(text + "-01-01"[len(text) - 4 :] if len(text) < 10 else text)


def _iso(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _score(resource: Resource, zone: tzinfo, base: str) -> tuple[str | None, Score | None]:
    day = day_of(resource, zone)
    if day is None:
        return None, None
    if resource["resourceType"] == "QuestionnaireResponse":
        made = score(resource, base)
        if made is None or made.total is None:
            return None, None
        return made.instrument.name, Score(day, Decimal(made.total), address(resource))
    known = by_code(base)
    names = [(c.get("system", ""), c.get("code", "")) for c in resource.get("code", {}).get("coding", ())]
    name = next((known[n].name for n in names if n in known and known[n].name in SYMPTOMS), None)
    number = number_of(resource)
    return (None, None) if name is None or number is None else (name, Score(day, number, address(resource)))


def _doubt(resource: Resource, name: str, made: Score) -> Doubt | None:
    """Return why a total is none to rely on."""
    if not 0 <= made.total <= INSTRUMENTS[name].most:
        return "outside"
    return None if resource.get("status") in _FINAL else "preliminary"


_FINAL: Final = frozenset({"final", "amended", "corrected", "completed"})
ITEM9: Final = "44260-8"


def _item9(resource: Resource) -> tuple[int | None, str] | None:
    if resource["resourceType"] == "Observation":
        part = resource if ITEM9 in codes_of(resource) else component(resource, ITEM9)
        number = number_of(part)
        return None if number is None else (int(number), "")
    for item in _items(resource.get("item", ())):
        link = item.get("linkId", "").rpartition("/")[2]
        for answer in item.get("answer", ()) if link == ITEM9 else ():
            coding = answer.get("valueCoding", {})
            number = ANSWERS.get(coding.get("code", ""), answer.get("valueInteger"))
            return number, str(coding.get("display", "") or answer.get("valueString", ""))
    return None


def _items(items: Any) -> Iterator[Resource]:
    for item in items:
        yield item
        yield from _items(item.get("item", ()))


def component(resource: Resource, code: str) -> Resource | None:
    """Return the component of a code."""
    return next((part for part in resource.get("component", ()) if code in codes_of(part)), None)


def number_of(part: Resource | None) -> Decimal | None:
    """Return the number of a component or Observation."""
    if part is None:
        return None
    number = part.get("valueQuantity", {}).get("value", part.get("valueInteger"))
    return None if number is None else Decimal(str(number))


def facts_of(part: Resource) -> dict[str, Any]:
    """Return the sub-extensions of a twin's component, numbers as Decimal."""
    out: dict[str, Any] = {}
    for extension in part.get("extension", ()):
        for each in extension.get("extension", ()):
            value = next((v for k, v in each.items() if k.startswith("value")), None)
            out[each["url"]] = Decimal(str(value)) if isinstance(value, int | float | Decimal) else value
    return out


def direction_of(part: Resource | None) -> str:
    """Return `H`, `L` or `N` as the interpretation says, empty where there is none."""
    codings = [c for i in (part or {}).get("interpretation", ()) for c in i.get("coding", ())]
    return str(next((c.get("code") for c in codings if c.get("code") in ("H", "L", "N", "HH", "LL")), ""))[:1]


def statistic(record: Record, citation: Citation) -> Decimal | None:
    """Return what a citation of a search says, computed from the record; None when nothing can be said."""
    rows = record.found(citation.target)
    if rows is None:
        return None
    if citation.statistic in (None, "count"):
        return Decimal(len(rows))
    if citation.statistic == "scores":
        used = {each.source for each in record.scores.get(citation.element, ())}
        return Decimal(sum(address(row) in used for row in rows))
    if citation.statistic == "item9":
        return Decimal(sum(_item9(row) is not None for row in rows))
    parts = [part for row in rows if (part := component(row, citation.element)) is not None]
    numbers = [number for part in parts if (number := number_of(part)) is not None]
    if citation.statistic == "measured":
        return Decimal(len(numbers))
    if citation.statistic == "median":
        return Decimal(str(statistics.median(numbers))) if numbers else None
    letter = "H" if citation.statistic == "high" else "L"
    return Decimal(sum(direction_of(part) == letter for part in parts))


def before(record: Record) -> tuple[date, date]:
    """Return as many days before those of the note."""
    return record.first - timedelta(days=record.days), record.first - timedelta(days=1)
