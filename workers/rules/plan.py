"""A PlanDefinition of the profile `alert-rule` as a Rule, or everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from fhir_server.errors import Issue
from terminology.ucum import convert
from workers.rules.criterion import ASKED, COMPARATORS, Criterion
from workers.rules.expression import Condition, NotAllowed, compiled
from workers.rules.metrics import METRICS, SIGNALS, Metric
from workers.rules.rule import SEVERITY, Coding, Policy, Rule, Trigger
from workers.twin.codes import BASE, UCUM, profile

Json: TypeAlias = dict[str, Any]
PROFILE: Final = "alert-rule"
CRITERION: Final = "alert-criterion"
POLICY: Final = "alert-policy"
ECA: Final = ("http://terminology.hl7.org/CodeSystem/plan-definition-type", "eca-rule")
LANGUAGE: Final = "text/fhirpath"
ACTION: Final = "PlanDefinition.action[0]"
WAKING: Final = frozenset({"Observation", "QuestionnaireResponse"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_RESERVED: Final = frozenset({"context", "resource", "rootResource", "ucum", "sct", "loinc"})
_LONGEST: Final = 90
_TRIGGERS: Final = frozenset({"data-added", "data-modified", "data-changed", "periodic"})
_UNITS: Final = {"deviation": "1", "age": "d", "measured": "1"}


class _Wrong(ValueError):
    """What is wrong at one place; `id` is our stable id."""

    def __init__(self, id_: str, text: str, where: str) -> None:
        super().__init__(text)
        self.issue = Issue("invalid", f"alert-rule-{id_}", text, where)


def is_rule(resource: Json, base: str = BASE) -> bool:
    """Tell whether a resource claims to be an alert rule."""
    claimed = resource.get("meta", {}).get("profile", ())
    return resource.get("resourceType") == "PlanDefinition" and profile(PROFILE, base) in claimed


def read(resource: Json, base: str = BASE) -> tuple[Rule | None, list[Issue]]:
    """Return the rule, or None and what is wrong with it, place by place."""
    issues: list[Issue] = []
    actions = resource.get("action", [])
    if len(actions) != 1 or "action" in actions[0]:
        text = "An alert rule has exactly one action, without actions below it."
        return None, [Issue("invalid", "alert-rule-action", text, "PlanDefinition.action")]
    action = actions[0]
    issues += list(_whole(resource, action))
    criteria = _criteria(action, base, issues)
    policy = _caught(lambda: _policy(action, base), issues) or Policy()
    triggers = _triggers(action, issues)
    units = {each.name: None if each.comparator else each.unit for each in criteria}
    fires, stops = _condition(action, "applicability", units, issues), _condition(action, "stop", units, issues)
    if issues or fires is None:
        return None, issues
    made = Rule(
        resource.get("id", ""), resource["url"], resource.get("version", ""),
        resource.get("title") or resource.get("name") or resource["url"], _coding(action["reason"][0]), action["priority"],
        tuple(criteria), fires, stops, policy,
        tuple(_coding(each["role"]) for each in action.get("participant", ()) if "role" in each), tuple(triggers),
    )  # fmt: skip
    return made, []


def _whole(resource: Json, action: Json) -> Iterator[Issue]:
    """Yield what is missing of the rule as a whole."""
    codings = resource.get("type", {}).get("coding", ())
    if not any((each.get("system"), each.get("code")) == ECA for each in codings):
        yield Issue(
            "value", "alert-rule-type", f"The type of an alert rule is {ECA[0]}|{ECA[1]}.", "PlanDefinition.type"
        )
    if not resource.get("url"):
        yield Issue("required", "alert-rule-url", "An alert rule needs a url: alerts name it.", "PlanDefinition.url")
    if action.get("priority") not in SEVERITY:
        text = f"The action needs a priority: {', '.join(SEVERITY)}."
        yield Issue("required", "alert-rule-priority", text, f"{ACTION}.priority")
    reasons = action.get("reason", ())
    if not reasons or not any("system" in each and "code" in each for each in reasons[0].get("coding", ())):
        text = "The action needs a reason with system and code: it is all that a message says."
        yield Issue("required", "alert-rule-reason", text, f"{ACTION}.reason")


def _coding(concept: Json) -> Coding:
    found: Json = next((each for each in concept.get("coding", ()) if "code" in each), {})
    return found.get("system", ""), found.get("code", ""), found.get("display") or concept.get("text", "")


def _caught(make: Any, issues: list[Issue]) -> Any:
    try:
        return make()
    except _Wrong as wrong:
        issues.append(wrong.issue)
        return None


def _criteria(action: Json, base: str, issues: list[Issue]) -> list[Criterion]:
    found: list[Criterion] = []
    for place, extension in enumerate(action.get("extension", ())):
        if extension.get("url") != profile(CRITERION, base):
            continue
        where = f"{ACTION}.extension[{place}]"
        made = _caught(lambda e=extension, w=where: criterion(e, w), issues)
        if made is not None and any(each.name == made.name for each in found):
            issues.append(
                Issue("invalid", "alert-rule-criterion", f"There are two criteria of the name {made.name}.", where)
            )
        found += [] if made is None else [made]
    if not found and not issues:
        issues.append(Issue("required", "alert-rule-criterion", "A rule needs a criterion.", ACTION))
    return found


def parts_of(extension: Json) -> dict[str, Any]:
    """Return the values of a complex extension by name."""
    return {
        each["url"]: next((value for name, value in each.items() if name.startswith("value")), None)
        for each in extension.get("extension", ())
    }


def criterion(extension: Json, where: str) -> Criterion:
    """Return a criterion; raises with what is wrong."""
    told = parts_of(extension)
    name = str(told.get("name", ""))
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise _Wrong("criterion", "A criterion has a name: a letter, then letters and digits, 32 at most.", where)
    metric, of = METRICS.get(str(told.get("metric"))), str(told.get("of", "value"))
    if metric is None:
        raise _Wrong("metric", f"There is no such metric. There are: {', '.join(METRICS)}.", where)
    if metric.code in SIGNALS and of == "measured":
        metric = Metric(metric.code, "signal", "1", 0)
    if (metric.kind, of) not in ASKED or (of == "deviation" and not metric.scored):
        known = [each for kind, each in sorted(ASKED) if kind == metric.kind and (each != "deviation" or metric.scored)]
        raise _Wrong("of", f"Of {metric.code} can be asked: {', '.join(known)}.", where)
    unit = _UNITS.get(of, metric.unit)
    comparator, limit, shown = _limit(told, unit, where)
    window, days, over = _days(told, "window", where) or 1, told.get("days", 0), _days(told, "over", where)
    if not isinstance(days, int) or days < 0 or (days > window and metric.kind != "answer"):
        raise _Wrong("days", "days lies between 1 and the days of the window.", where)
    if of == "change" and not over:
        raise _Wrong("over", "A change needs over: how long before the earlier value is, or may be.", where)
    missing = str(told.get("missing", "unknown"))
    if missing not in ("unknown", "unmet"):
        raise _Wrong("missing", "missing is unknown, or unmet: a day without a number does not count.", where)
    return Criterion(name, metric, of, unit, window, comparator, limit, days, over, missing, shown)  # type: ignore[arg-type]


def _limit(told: Mapping[str, Any], unit: str, where: str) -> tuple[str, float, str]:
    """Return comparator, limit in the unit, and the limit as written."""
    comparator, value = told.get("comparator"), told.get("value")
    if comparator is None and value is None:
        return "", 0.0, ""
    if comparator not in COMPARATORS or not isinstance(value, dict) or "value" not in value:
        raise _Wrong(
            "comparator", f"A criterion has comparator ({' '.join(COMPARATORS)}) and valueQuantity, or neither.", where
        )
    number, text = in_unit(value, unit, where)
    return str(comparator), number, text


def in_unit(value: Json, unit: str, where: str) -> tuple[float, str]:
    """Return a Quantity in a unit, and as it is written; raises when its unit measures something else."""
    code = value.get("code", "1" if "unit" not in value else "")
    if value.get("system", UCUM) != UCUM or not code:
        raise _Wrong("unit", f"The value needs a UCUM code that can be converted to '{unit}'.", where)
    found = convert(Decimal(value["value"]), code, unit)
    if found is None:
        raise _Wrong("unit", f"The unit of the value cannot be converted to '{unit}'.", where)
    return float(found), f"{value['value']} {value.get('unit') or code}"


def duration(told: Mapping[str, Any], name: str, where: str) -> timedelta | None:
    """Return a Duration by name; None where there is none."""
    value = told.get(name)
    if value is None:
        return None
    if not isinstance(value, dict) or "value" not in value:
        raise _Wrong("duration", f"{name} is a Duration with a UCUM unit of time.", where)
    seconds = in_unit(value, "s", where)[0]
    if not 0 <= seconds <= _LONGEST * 86400:
        raise _Wrong("duration", f"{name} is {_LONGEST} days at most.", where)
    return timedelta(seconds=seconds)


def _days(told: Mapping[str, Any], name: str, where: str) -> int:
    found = duration(told, name, where)
    if found is None:
        return 0
    if found % timedelta(days=1) or not found:
        raise _Wrong("duration", f"{name} is a number of whole days.", where)
    return found.days


def _policy(action: Json, base: str) -> Policy:
    for place, extension in enumerate(action.get("extension", ())):
        if extension.get("url") == profile(POLICY, base):
            told, where = parts_of(extension), f"{ACTION}.extension[{place}]"
            quiet = told.get("quietStart"), told.get("quietEnd")
            hours = None if quiet == (None, None) else (_time(quiet[0], where), _time(quiet[1], where))
            escalate = duration(told, "escalateAfter", where)
            return Policy(duration(told, "cooldown", where) or timedelta(0), escalate, hours, bool(told.get("renew")))
    return Policy()


def _time(text: Any, where: str) -> time:
    try:
        return time.fromisoformat(text)
    except (TypeError, ValueError):
        raise _Wrong("quiet", "Quiet hours have a start and an end, each a time.", where) from None


def _triggers(action: Json, issues: list[Issue]) -> list[Trigger]:
    found = []
    for place, each in enumerate(action.get("trigger", ())):
        where = f"{ACTION}.trigger[{place}]"
        if each.get("type") not in _TRIGGERS:
            text = f"A trigger is one of {', '.join(sorted(_TRIGGERS))}."
            issues.append(Issue("not-supported", "alert-rule-trigger", text, f"{where}.type"))
        for number, data in enumerate(each.get("data", ())):
            if data.get("type") not in WAKING:
                text = f"Rules wake at {' and '.join(sorted(WAKING))}."
                issues.append(Issue("not-supported", "alert-rule-trigger", text, f"{where}.data[{number}].type"))
            codes = [
                (coding.get("system", ""), coding["code"])
                for filter_ in data.get("codeFilter", ())
                for coding in filter_.get("code", ())
                if "code" in coding
            ]
            found.append(Trigger(data.get("type", ""), tuple(codes)))
    if not action.get("trigger"):
        text = "A rule needs a trigger: data-added of the states or answers that it is about, or periodic."
        issues.append(Issue("required", "alert-rule-trigger", text, f"{ACTION}.trigger"))
    return found


def _condition(action: Json, kind: str, units: Mapping[str, str | None], issues: list[Issue]) -> Condition | None:
    """Return the condition of a kind; several of one kind must all hold (R4: they are joined by and)."""
    texts = []
    for place, each in enumerate(action.get("condition", ())):
        if each.get("kind") != kind:
            continue
        told, where = each.get("expression", {}), f"{ACTION}.condition[{place}].expression"
        if told.get("language") != LANGUAGE or not told.get("expression"):
            issues.append(
                Issue("not-supported", "alert-rule-language", f"Conditions are written in {LANGUAGE}.", where)
            )
            continue
        try:
            compiled(told["expression"], units)
        except NotAllowed as error:
            issues.append(Issue("invalid", "alert-rule-expression", str(error), f"{where}.expression"))
            continue
        texts.append(told["expression"])
    if not texts and kind == "applicability":
        text = "A rule needs a condition of kind applicability."
        issues.append(Issue("required", "alert-rule-expression", text, f"{ACTION}.condition"))
    if not texts or issues:
        return None
    return compiled(texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts), units)
