"""The alert rules that come along, as a table, and the PlanDefinitions that follow from it.

Thresholds are ours: conservative readings of the sources that each rule cites, tried on demo cohorts (`docs/rules.md`). They are a
start for a site's own decision, not a standard of care; none of them makes a diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from profiles.psych.alerting import REASONS, reasons
from profiles.psych.codes import BASE, LOINC, SNOMED, UCUM, digital_twin, profile

Resource = dict[str, Any]
VERSION: Final = "1.0.0"
_TYPE: Final = "http://terminology.hl7.org/CodeSystem/plan-definition-type"

PSYCHIATRIST: Final = ("80584001", "Psychiatrist")
PSYCHOLOGIST: Final = ("59944000", "Psychologist")
NURSE: Final = ("224587008", "Community psychiatric nurse")


@dataclass(frozen=True, slots=True)
class Of:
    """A criterion: see `workers/rules/criterion.py`; `value` is number and UCUM unit, window and over are days."""

    name: str
    metric: str
    of: str
    comparator: str
    value: tuple[str, str]
    window: int
    days: int = 0
    over: int = 0


@dataclass(frozen=True, slots=True)
class Shipped:
    """One rule; times are hours, `quiet` says whether messages wait for the morning."""

    name: str
    title: str
    priority: str
    condition: str
    criteria: tuple[Of, ...]
    roles: tuple[tuple[str, str], ...]
    sources: tuple[tuple[str, str], ...]
    stop: str = ""
    cooldown: int = 7 * 24
    escalate: int = 24
    quiet: bool = True
    renew: bool = False
    answers: bool = False


RULES: Final = (
    Shipped(
        "self-harm", "PHQ-9 item 9: thoughts of death or self-harm on any day", "stat", "%answered",
        (Of("answered", "phq-9-item-9", "value", ">", ("0", "{score}"), 14, days=1),
         Of("latest", "phq-9-item-9", "value", "<=", ("0", "{score}"), 14)),
        (PSYCHIATRIST, NURSE),
        (("Kroenke, Spitzer, Williams 2001, J Gen Intern Med 16:606", "https://doi.org/10.1046/j.1525-1497.2001.016009606.x"),
         ("Simon et al. 2013, Psychiatr Serv 64:1195", "https://doi.org/10.1176/appi.ps.201200587")),
        stop="%latest", cooldown=0, escalate=1, quiet=False, renew=True, answers=True,
    ),
    Shipped(
        "sleep-loss", "Much less sleep than usual without less activity, as before mania", "asap",
        "%short and %hours and (%slowed.not() or %fewer.not())",
        (Of("short", "sleep-duration", "deviation", "<=", ("-2", "1"), 4, days=3),
         Of("hours", "sleep-duration", "change", "<=", ("-1.5", "h"), 4, days=3, over=14),
         Of("slowed", "activity-mean", "deviation", "<=", ("-2", "1"), 3, days=2),
         Of("fewer", "steps", "deviation", "<=", ("-2", "1"), 3, days=2),
         Of("slept", "sleep-duration", "deviation", ">", ("-2", "1"), 3, days=2)),
        (PSYCHIATRIST, NURSE),
        (("Wehr, Sack, Rosenthal 1987, Am J Psychiatry 144:201", "https://doi.org/10.1176/ajp.144.2.201"),
         ("Bauer et al. 2006, Bipolar Disord 8:160", "https://doi.org/10.1111/j.1399-5618.2006.00294.x")),
        stop="%slept", escalate=12,
    ),
    Shipped(
        "circadian-collapse", "Nights displaced by hours, or days flatter and less regular than two weeks before", "urgent",
        "(%later and %hoursLater) or (%earlier and %hoursEarlier) or (%flat and %unstable)",
        (Of("later", "sleep-midpoint", "deviation", ">=", ("3", "1"), 4, days=3),
         Of("hoursLater", "sleep-midpoint", "change", ">=", ("2", "h"), 4, days=2, over=14),
         Of("earlier", "sleep-midpoint", "deviation", "<=", ("-3", "1"), 4, days=3),
         Of("hoursEarlier", "sleep-midpoint", "change", "<=", ("-2", "h"), 4, days=2, over=14),
         Of("flat", "relative-amplitude", "change", "<=", ("-0.1", "1"), 3, days=2, over=14),
         Of("unstable", "interdaily-stability", "change", "<=", ("-0.15", "1"), 3, days=2, over=14)),
        (PSYCHIATRIST, NURSE),
        (("Witting et al. 1990, Biol Psychiatry 27:563", "https://doi.org/10.1016/0006-3223(90)90523-5"),
         ("Lyall et al. 2018, Lancet Psychiatry 5:507", "https://doi.org/10.1016/S2215-0366(18)30139-1")),
    ),
    Shipped(
        "inactivity", "Much less activity than usual for days", "urgent", "%still or %few",
        (Of("still", "activity-mean", "deviation", "<=", ("-2", "1"), 4, days=3),
         Of("few", "steps", "deviation", "<=", ("-2", "1"), 4, days=3)),
        (PSYCHIATRIST, NURSE),
        (("Burton et al. 2013, J Affect Disord 145:21", "https://doi.org/10.1016/j.jad.2012.07.001"),),
    ),
    Shipped(
        "resting-heart-rate", "Resting heart rate above usual for days", "routine", "%raised and %beats",
        (Of("raised", "resting-heart-rate", "deviation", ">=", ("3", "1"), 4, days=3),
         Of("beats", "resting-heart-rate", "change", ">=", ("4", "/min"), 4, days=2, over=14)),
        (PSYCHIATRIST, NURSE),
        (("Latvala et al. 2016, JAMA Psychiatry 73:1268", "https://doi.org/10.1001/jamapsychiatry.2016.2717"),),
    ),
    Shipped(
        "score-deterioration", "A symptom score rose by more than it means something", "urgent",
        "(%depressed and %lower) or (%anxious and %calmer)",
        (Of("lower", "phq-9", "change", ">=", ("5", "{score}"), 14, over=42),
         Of("depressed", "phq-9", "value", ">=", ("10", "{score}"), 14),
         Of("calmer", "gad-7", "change", ">=", ("4", "{score}"), 14, over=42),
         Of("anxious", "gad-7", "value", ">=", ("10", "{score}"), 14)),
        (PSYCHIATRIST, PSYCHOLOGIST),
        (("Löwe et al. 2004, Med Care 42:1194", "https://doi.org/10.1097/00005650-200412000-00006"),
         ("Toussaint et al. 2020, J Affect Disord 265:395", "https://doi.org/10.1016/j.jad.2020.01.032")),
        escalate=48, answers=True,
    ),
    Shipped(
        "device-silence", "No device has told anything for three days", "routine", "%silent",
        (Of("silent", "any-signal", "age", ">=", ("3", "d"), 30),),
        (NURSE,),
        (("Kiang et al. 2021, Sci Rep 11:15408", "https://doi.org/10.1038/s41598-021-94516-7"),),
        escalate=0,
    ),
)  # fmt: skip


def shipped(base: str = BASE) -> Iterator[Resource]:
    """Yield the PlanDefinitions."""
    for rule in RULES:
        yield plan(rule, base)


def plan(rule: Shipped, base: str = BASE) -> Resource:
    """Return a rule as a PlanDefinition of the profile `alert-rule`."""
    conditions = [_condition("applicability", rule.condition)] + ([_condition("stop", rule.stop)] if rule.stop else [])
    action: Resource = {
        "extension": [*(_criterion(each, base) for each in rule.criteria), _policy(rule, base)],
        "title": rule.title,
        "priority": rule.priority,
        "reason": [{"coding": [{"system": reasons(base), "code": rule.name, "display": REASONS[rule.name]}]}],
        "trigger": _triggers(rule, base),
        "condition": conditions,
        "participant": [
            {"type": "practitioner", "role": {"coding": [{"system": SNOMED, "code": code, "display": display}]}}
            for code, display in rule.roles
        ],
    }
    return {
        "resourceType": "PlanDefinition",
        "id": f"alert-{rule.name}",
        "meta": {"profile": [profile("alert-rule", base)]},
        "url": f"{base}/PlanDefinition/alert-{rule.name}",
        "version": VERSION,
        "name": "".join(part.capitalize() for part in f"alert-{rule.name}".split("-")),
        "title": rule.title,
        "type": {"coding": [{"system": _TYPE, "code": "eca-rule", "display": "ECA Rule"}]},
        "status": "active",
        "date": "2026-11-25",
        "publisher": "Clarity",
        "relatedArtifact": [{"type": "citation", "citation": text, "url": url} for text, url in rule.sources],
        "action": [action],
    }


def _condition(kind: str, expression: str) -> Resource:
    return {"kind": kind, "expression": {"language": "text/fhirpath", "expression": expression}}


def _criterion(each: Of, base: str) -> Resource:
    number, unit = each.value
    parts: list[Resource] = [
        {"url": "name", "valueCode": each.name},
        {"url": "metric", "valueCode": each.metric},
        {"url": "of", "valueCode": each.of},
        {"url": "comparator", "valueCode": each.comparator},
        {"url": "value", "valueQuantity": {"value": _number(number), "unit": unit, "system": UCUM, "code": unit}},
        {"url": "window", "valueDuration": _span(each.window, "d")},
    ]
    parts += [{"url": "days", "valueInteger": each.days}] if each.days else []
    parts += [{"url": "over", "valueDuration": _span(each.over, "d")}] if each.over else []
    return {"url": profile("alert-criterion", base), "extension": parts}


def _number(text: str) -> Decimal | int:
    return Decimal(text) if "." in text else int(text)


def _span(value: int, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _policy(rule: Shipped, base: str) -> Resource:
    parts: list[Resource] = [{"url": "cooldown", "valueDuration": _span(rule.cooldown, "h")}]
    parts += [{"url": "escalateAfter", "valueDuration": _span(rule.escalate, "h")}] if rule.escalate else []
    if rule.quiet:
        parts += [{"url": "quietStart", "valueTime": "22:00:00"}, {"url": "quietEnd", "valueTime": "07:00:00"}]
    parts += [{"url": "renew", "valueBoolean": True}] if rule.renew else []
    return {"url": profile("alert-policy", base), "extension": parts}


def _triggers(rule: Shipped, base: str) -> list[Resource]:
    """Return what wakes a rule: states of the twin, or answers and scores; and the clock."""
    codes = (
        [{"system": LOINC, "code": code} for code in ("44261-6", "44260-8", "70274-6")]
        if rule.answers
        else [{"system": digital_twin(base), "code": "digital-twin-state"}]
    )
    data: list[Resource] = [{"type": "Observation", "codeFilter": [{"path": "code", "code": codes}]}]
    data += [{"type": "QuestionnaireResponse"}] if rule.answers else []
    daily = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    return [{"type": "data-added", "data": data}, {"type": "periodic", "timingTiming": daily}]
