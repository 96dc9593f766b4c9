"""Statements about what the clinic wrote: diagnoses, medication with doses, encounters, laboratory values, alerts, allergies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final

from workers.notes import words
from workers.notes.lexicon import drugs_in
from workers.notes.note import Statement
from workers.notes.record import (
    ITEM9,
    STATE,
    Citation,
    Language,
    Record,
    Score,
    address,
    codes_of,
    day_of,
    direction_of,
    number_of,
    title_of,
)
from workers.twin.catalogue import by_code
from workers.twin.instruments import INSTRUMENTS
from workers.twin.medication import TAKEN, exposure
from workers.twin.resources import Resource

MOST: Final = 20
"""Encounters, values and alerts that are told one by one, the newest."""
MEASURED: Final = frozenset({"laboratory", "vital-signs"})
STATUSES: Final = {
    "active": ("active", "aktiv"), "recurrence": ("recurrence", "Rezidiv"), "relapse": ("relapse", "Rückfall"),
    "inactive": ("inactive", "inaktiv"), "remission": ("in remission", "in Remission"), "resolved": ("resolved", "abgeklungen"),
    "provisional": ("provisional", "vorläufig"), "differential": ("differential diagnosis", "Differentialdiagnose"),
    "unconfirmed": ("unconfirmed", "unbestätigt"), "": ("status unknown", "Status unbekannt"),
}  # fmt: skip


def conditions(record: Record, language: Language) -> Iterator[Statement]:
    """Yield the diagnoses on record with their status; those that were ruled out as such."""
    found = [r for r in record.of("Condition") if title_of(r.get("code"))]
    for resource in found:
        coded, began = title_of(resource["code"]), day_of(resource, record.zone)
        name, status = words.told(language, coded), status_of(resource)
        if status == "refuted":
            text = words.sentence(language, "condition-refuted", name=name)
        elif began is None:
            text = words.sentence(language, "condition", name=name, status=STATUSES[status][language == "de"])
        else:
            values = {"name": name, "status": STATUSES[status][language == "de"], "day": words.day(language, began)}
            text = words.sentence(language, "condition-since", **values)
        yield Statement("condition", text, (Citation(address(resource), "code", coded),))
    if not found and "Condition" in record.looked:
        yield Statement("condition", words.sentence(language, "no-condition"), (_no(record, "Condition"),))


def status_of(condition: Resource) -> str:
    """Return what stands of a diagnosis: how sure it is before how it goes, empty when neither is said."""
    sure = _code(condition.get("verificationStatus"))
    return (
        sure
        if sure in ("refuted", "provisional", "differential", "unconfirmed")
        else _code(condition.get("clinicalStatus"))
    )


def _code(concept: Any) -> str:
    code = str(next((c.get("code") for c in (concept or {}).get("coding", ())), ""))
    return code if code in STATUSES or code == "refuted" else ""


def _no(record: Record, type_: str) -> Citation:
    return Citation(f"{type_}?patient={record.patient}", "", "0", "count")


def medication(record: Record, language: Language) -> Iterator[Statement]:
    """Yield what was ordered, stated and given, the newest of each; what is not taken; what nobody says about taking it."""
    told, started = False, []
    for resource in record.of(*TAKEN):
        if statement := _medicine(record, language, resource):
            told = True
            yield statement
            started += _new(record, language, resource)
    yield from started
    stated = {name_of(r).lower() for r in record.of("MedicationStatement", "MedicationAdministration")}
    for resource in record.of("MedicationRequest"):
        if name_of(resource) and name_of(resource).lower() not in stated and resource.get("status") == "active":
            text = words.sentence(language, "ask-taken", name=words.told(language, name_of(resource)))
            yield Statement("ask", text, (Citation(address(resource), "medication", name_of(resource)),), "question")
    if not told and record.looked.issuperset(("MedicationRequest", "MedicationStatement")):
        cited = (_no(record, "MedicationRequest"), _no(record, "MedicationStatement"))
        if all(not record.of(kind) for kind in ("MedicationRequest", "MedicationStatement")):
            yield Statement("medication", words.sentence(language, "no-medication"), cited)


def _medicine(record: Record, language: Language, resource: Resource) -> Statement | None:
    name, dose = name_of(resource), dose_of(resource)
    cited = (Citation(address(resource), "medication", f"{name} {dose}".strip()),)
    name, dose = words.told(language, name), f" {words.told(language, dose)}" if dose else ""
    if name and undated(resource):
        key = (
            f"medication-{'stopped' if resource['status'] != 'active' else TAKEN[resource['resourceType']][0]}-undated"
        )
        return Statement("medication", words.sentence(language, key, name=name, dose=dose), cited)
    if name and resource.get("status") == "not-taken":
        return Statement("medication", words.sentence(language, "medication-not-taken", name=name, dose=dose), cited)
    span = exposure(resource)
    if not name or span is None or span.start > record.last or (span.end is not None and span.end < record.first):
        return None
    ended = span.end is not None and span.basis != "administered"
    end = words.sentence(language, "until", day=words.day(language, span.end)) if ended and span.end else ""
    stopped = span.status in ("stopped", "on-hold")
    key = f"medication-{span.status if stopped else span.basis}"
    text = words.sentence(language, key, name=name, dose=dose, start=words.day(language, span.start), end=end)
    return Statement("medication", text, cited)


def undated(resource: Resource) -> bool:
    """Tell whether a resource says that something is taken, ordered or stopped, and nothing of when."""
    if (
        resource.get("status") not in ("active", "stopped", "on-hold")
        or resource["resourceType"] == "MedicationAdministration"
    ):
        return False
    dated = dict.fromkeys(("effectiveDateTime", "effectivePeriod", "authoredOn"), "1900-01-01") | {
        "effectivePeriod": {"start": "1900-01-01"}
    }
    return exposure(resource) is None and exposure(resource | dated) is not None


def substances(resource: Resource) -> set[str]:
    """Return the generic names of the medicines in a resource, its own name where it is of none that is known."""
    name = name_of(resource)
    return {drug for drug, _, _ in drugs_in(name)} or ({name.lower()} if name else set())


def _known_before(record: Record, resource: Resource) -> bool:
    """Tell whether any resource has the same substance before the time of the note, or does not say since when."""
    own = substances(resource)
    for other in record.of(*TAKEN):
        span = exposure(other)
        if own & substances(other) and (undated(other) or (span is not None and span.start < record.first)):
            return True
    return False


def _new(record: Record, language: Language, resource: Resource) -> list[Statement]:
    span = exposure(resource)
    if _known_before(record, resource):
        return []
    if span is None or span.basis == "administered" or not record.first <= span.start <= record.last:
        return []
    name, start = words.told(language, name_of(resource)), words.day(language, span.start)
    text = words.sentence(language, "new-medication", name=name, start=start)
    return [Statement("medication", text, (Citation(address(resource), "medication", name_of(resource)),))]


def name_of(resource: Resource) -> str:
    """Return how a medication is called in a resource, of one that is only referred to without a name its reference."""
    reference = resource.get("medicationReference", {})
    inside: Resource = next(
        (c for c in resource.get("contained", ()) if reference.get("reference") == f"#{c.get('id')}" and c.get("code")),
        {},
    )
    named = title_of(resource.get("medicationCodeableConcept")) or title_of(inside.get("code"))
    return named or str(reference.get("display") or reference.get("reference", "")).lstrip("#")


def dosages(resource: Resource) -> list[Any]:
    """Return the dosages of a medication resource."""
    given = resource.get("dosage", resource.get("dosageInstruction", []))
    return given if isinstance(given, list) else [given]


def dose_of(resource: Resource) -> str:
    """Return the dose in the words of the resource, else its quantity."""
    for dosage in dosages(resource):
        if dosage.get("text"):
            return str(dosage["text"])
        for rate in [*dosage.get("doseAndRate", ()), {"doseQuantity": dosage.get("dose", {})}]:
            quantity = rate.get("doseQuantity", {})
            if "value" in quantity:
                unit = quantity.get("unit", quantity.get("code", ""))
                return f"{words.plain('en', Decimal(str(quantity['value'])))} {unit}".strip()
    return ""


def encounters(record: Record, language: Language) -> Iterator[Statement]:
    """Yield the encounters of the time, or that there was none."""
    search = record.in_days("Encounter", record.first, record.last)
    found = record.found(search)
    if found is None:
        return
    for resource in found[-MOST:]:
        kind = next((title_of(t) for t in resource.get("type", ()) if title_of(t)), "")
        kind = kind or str(resource.get("class", {}).get("display", resource.get("class", {}).get("code", "")))
        day = day_of(resource, record.zone)
        if day is not None and kind:
            text = words.sentence(language, "encounter", day=words.day(language, day), kind=words.told(language, kind))
            yield Statement("encounter", text, (Citation(address(resource), "type", kind),))
    if not found:
        ends = {"first": words.day(language, record.first), "last": words.day(language, record.last)}
        yield Statement(
            "encounter", words.sentence(language, "no-encounter", **ends), (Citation(search, "", "0", "count"),)
        )


def values(record: Record, language: Language) -> Iterator[Statement]:
    """Yield values of the time that no device streams and no questionnaire gives: the newest of each code, unusual ones first."""
    newest: dict[str, Resource] = {}
    known = by_code(record.base)
    for resource in record.found(record.in_days("Observation", record.first, record.last)) or []:
        kinds = {str(c.get("code")) for each in resource.get("category", ()) for c in each.get("coding", ())}
        codings = [(c.get("system", ""), c.get("code", "")) for c in resource.get("code", {}).get("coding", ())]
        if (
            (kinds & MEASURED or not any(each in known for each in codings))
            and not resource.get("device")
            and ITEM9 not in codes_of(resource)
            and number_of(resource) is not None
            and STATE not in codes_of(resource)
            and title_of(resource.get("code"))
        ):
            newest[title_of(resource["code"])] = resource
    ranked = sorted(
        newest.items(), key=lambda row: (not _odd(row[1]), -(day_of(row[1], record.zone) or date.min).toordinal())
    )
    for name, resource in ranked[:MOST]:
        number, day = number_of(resource), day_of(resource, record.zone)
        if number is None or day is None:
            continue
        quantity = resource.get("valueQuantity", {})
        value = f"{words.plain(language, number)} {quantity.get('unit', quantity.get('code', ''))}".strip()
        text = words.sentence(language, "lab", name=name, value=value, day=words.day(language, day))
        usual = next((r for r in resource.get("referenceRange", ()) if "low" in r and "high" in r), None)
        if usual:
            ends = {end: words.plain(language, Decimal(str(usual[end]["value"]))) for end in ("low", "high")}
            text = words.sentence(language, "lab-range", name=name, value=value, day=words.day(language, day), **ends)
        yield Statement("lab", text, (Citation(address(resource), "value", value),))


def _odd(resource: Resource) -> bool:
    """Tell whether a value is marked, or lies outside its reference range."""
    number = number_of(resource)
    outside = any(
        (end == "low" and number < bound) or (end == "high" and number > bound)
        for usual in resource.get("referenceRange", ())
        for end in ("low", "high")
        if number is not None and (bound := usual.get(end, {}).get("value")) is not None
    )
    return outside or direction_of(resource) in ("H", "L")


def alerts(record: Record, language: Language) -> Iterator[Statement]:
    """Yield what alert rules found and what the twin told, in the words of the resources."""
    found = [
        r
        for r in record.of("DetectedIssue", "RiskAssessment")
        if record.first <= (day_of(r, record.zone) or date.min) <= record.last
    ]
    for resource in found[-MOST:]:
        day = day_of(resource, record.zone)
        said = said_by(resource)
        if said and day is not None:
            rests = _implicated(record, resource)
            shown = [
                words.sentence(language, "alert-score", title=title, total=words.plain(language, each.total),
                               day=words.day(language, each.day))
                for title, each in rests
            ]  # fmt: skip
            key = "rule" if resource["resourceType"] == "RiskAssessment" else "alert-scores" if shown else "alert"
            given = {"day": words.day(language, day), "words": words.told(language, said), "scores": ", ".join(shown)}
            cited = [Citation(each.source, "", str(each.total)) for _, each in rests]
            text = words.sentence(language, key, **given)
            yield Statement("alert", text, (Citation(address(resource), "text", said), *cited), "verbatim")


def _implicated(record: Record, resource: Resource) -> list[tuple[str, Score]]:
    """Return the totals that an alert rests on, with the names of their questionnaires, the oldest first."""
    names = [each.get("reference", "") for each in resource.get("implicated", ())]
    made = [record.total(record.resources[name]) for name in names if name in record.resources]
    days = {(name, each.day) for name, each in made if name is not None and each is not None}
    found = [(INSTRUMENTS[name].title, each) for name, day in days for each in record.scores[name] if each.day == day]
    return sorted(found, key=lambda row: (row[1].day, row[0]))


def said_by(resource: Resource) -> str:
    """Return what an alert or assessment says of itself."""
    if resource["resourceType"] == "DetectedIssue":
        return str(resource.get("detail", "")) or title_of(resource.get("code"))
    return str(next((p["rationale"] for p in resource.get("prediction", ()) if p.get("rationale")), ""))


def allergies(record: Record, language: Language) -> Iterator[Statement]:
    """Yield allergies, or that none is written down."""
    found = [r for r in record.of("AllergyIntolerance") if title_of(r.get("code"))]
    for resource in found:
        name = title_of(resource["code"])
        yield Statement(
            "allergy",
            words.sentence(language, "allergy", name=words.told(language, name)),
            (Citation(address(resource), "code", name),),
        )
    if not found and "AllergyIntolerance" in record.looked:
        yield Statement("allergy", words.sentence(language, "no-allergy"), (_no(record, "AllergyIntolerance"),))
