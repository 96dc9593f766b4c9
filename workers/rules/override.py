"""What is different about a rule for one patient: other limits, or off; a Basic that a clinician writes, with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from fhir_server.errors import Issue
from profiles.psych.alerting import actions
from workers.rules.plan import Json, in_unit, parts_of
from workers.rules.rule import Rule
from workers.twin.codes import BASE, profile

CODE: Final = "alert-override"
_WHERE: Final = "Basic.extension"


@dataclass(frozen=True, slots=True)
class Override:
    """`rule` is the url of the rule; `limits` are Quantities by criterion; `until` is the last day on which it holds."""

    id: str
    rule: str
    off: bool
    reason: str
    until: date | None = None
    limits: dict[str, Json] = field(default_factory=dict)


def is_override(resource: Json, base: str = BASE) -> bool:
    """Tell whether a Basic is one."""
    codings = resource.get("code", {}).get("coding", ())
    return any(each.get("system") == actions(base) and each.get("code") == CODE for each in codings)


def read(resource: Json, base: str = BASE) -> Override:
    """Return what an override says; missing parts are empty."""
    told = _told(resource, base)
    limits: dict[str, Json] = {}
    for extension in resource.get("extension", ()):
        for each in extension.get("extension", ()) if extension.get("url") == profile(CODE, base) else ():
            if each.get("url") == "limit":
                inner = parts_of(each)
                limit = inner.get("value")
                limits[str(inner.get("name"))] = limit if isinstance(limit, dict) else {}
    rule = str(told.get("rule", "")).partition("|")[0]
    off, reason = told.get("off") is True, str(told.get("reason") or "")
    return Override(resource.get("id", ""), rule, off, reason, _date(told.get("until")), limits)


def _told(resource: Json, base: str) -> Json:
    url = profile(CODE, base)
    return next((parts_of(each) for each in resource.get("extension", ()) if each.get("url") == url), {})


def _date(text: Any) -> date | None:
    """Return a day; None for one that is none, which `issues` refuses."""
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def issues(resource: Json, rule: Rule | None, base: str = BASE) -> list[Issue]:
    """Return what is wrong with an override; `rule` is the rule that it names, if there is one."""
    told, found = read(resource, base), []
    if not resource.get("subject", {}).get("reference", "").startswith("Patient/"):
        found.append(Issue("required", "alert-override-subject", "An override is about one Patient.", "Basic.subject"))
    if rule is None:
        found.append(Issue("value", "alert-override-rule", "rule is the url of an active alert rule.", _WHERE))
    if not told.reason.strip():
        found.append(Issue("required", "alert-override-reason", "An override needs a reason.", _WHERE))
    if told.until is None and "until" in _told(resource, base):
        found.append(Issue("value", "alert-override-until", "until is a day: YYYY-MM-DD.", _WHERE))
    if told.off == bool(told.limits):
        found.append(Issue("value", "alert-override-limit", "An override has off=true, or a limit, not both.", _WHERE))
    if rule is not None and not told.off:
        try:
            applied(rule, told)
        except ValueError as error:
            found.append(Issue("value", "alert-override-limit", str(error), _WHERE))
    return found


def applied(rule: Rule, override: Override) -> Rule:
    """Return the rule with the limits of an override; ValueError names a criterion or a unit that does not fit."""
    known = {each.name: each for each in rule.criteria if each.comparator}
    limits: dict[str, tuple[float, str]] = {}
    for name, value in override.limits.items():
        if name not in known:
            raise ValueError(f"The rule has no criterion with a limit of this name; it has: {', '.join(known)}.")
        limits[name] = in_unit(value, known[name].unit, _WHERE)
    return rule.changed(limits)


def for_rule(rule: Rule, overrides: Iterable[Override], today: date) -> tuple[Rule, str]:
    """Return the rule as it is for the patient today, and the id of the override that switches it off, "" when none does.

    Of several the last by id holds for each criterion; one whose limits fit the rule no more says nothing.
    """
    made, off = rule, ""
    for each in sorted(overrides, key=lambda one: one.id):
        if each.rule != rule.url or (each.until is not None and each.until < today):
            continue
        if each.off:
            off = each.id
            continue
        try:
            made = applied(made, each)
        except ValueError:
            continue
    return made, off


def basic(patient: str, override: Override, base: str = BASE) -> dict[str, Any]:
    """Return an override as a resource."""
    parts: list[Json] = [
        {"url": "rule", "valueCanonical": override.rule},
        {"url": "reason", "valueString": override.reason},
    ]
    parts += [{"url": "off", "valueBoolean": True}] if override.off else []
    parts += [{"url": "until", "valueDate": override.until.isoformat()}] if override.until else []
    parts += [
        {"url": "limit", "extension": [{"url": "name", "valueCode": name}, {"url": "value", "valueQuantity": value}]}
        for name, value in override.limits.items()
    ]
    return {
        "resourceType": "Basic",
        "id": override.id,
        "code": {"coding": [{"system": actions(base), "code": CODE}]},
        "subject": {"reference": f"Patient/{patient}"},
        "extension": [{"url": profile(CODE, base), "extension": parts}],
    }
