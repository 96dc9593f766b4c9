"""An alert rule as it is evaluated, and what it comes to for one person at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from typing import Final, Literal, TypeAlias

from fhir_server.model.fhirpath.quantities import Quantity
from workers.rules.chart import Chart, Moment
from workers.rules.criterion import Criterion, Finding, evaluate
from workers.rules.expression import Condition, quantity

Priority = Literal["routine", "urgent", "asap", "stat"]
SEVERITY: Final[Mapping[str, str]] = {"routine": "low", "urgent": "moderate", "asap": "high", "stat": "high"}
"""Priority of the action: severity of the DetectedIssue."""
LOUD: Final = frozenset({"asap", "stat"})
"""Priorities for which there are no quiet hours."""

Coding: TypeAlias = tuple[str, str, str]
"""System, code, display."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How alerts of a rule behave: `cooldown` after an alert was raised; `escalate` to the next role when nobody acknowledges;
    `quiet` hours of the clinic's clock; `renew`: new evidence after an acknowledgement is a new alert."""

    cooldown: timedelta = timedelta(0)
    escalate: timedelta | None = None
    quiet: tuple[time, time] | None = None
    renew: bool = False


@dataclass(frozen=True, slots=True)
class Trigger:
    """What wakes a rule: a type of resource and, where given, its codes."""

    type: str
    codes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be evaluated; `roles` are told in this order."""

    id: str
    url: str
    version: str
    title: str
    reason: Coding
    priority: Priority
    criteria: tuple[Criterion, ...]
    condition: Condition
    stop: Condition | None = None
    policy: Policy = Policy()
    roles: tuple[Coding, ...] = ()
    triggers: tuple[Trigger, ...] = ()

    @property
    def canonical(self) -> str:
        """Return the canonical URL with the version."""
        return f"{self.url}|{self.version}" if self.version else self.url

    def changed(self, limits: Mapping[str, tuple[float, str]]) -> Rule:
        """Return the rule with other limits (number in the metric's unit, as written) for some of its criteria."""
        made = [
            replace(each, limit=limits[each.name][0], shown=limits[each.name][1]) if each.name in limits else each
            for each in self.criteria
        ]
        return replace(self, criteria=tuple(made))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`fires` and `stops` are None when unknown; `when` is the newest day or instant of what made it fire."""

    fires: bool | None
    stops: bool | None
    findings: Mapping[str, Finding] = field(default_factory=dict)
    when: str = ""

    @property
    def unknown(self) -> dict[str, str]:
        """Return the criteria that are unknown, each with its reason."""
        return {name: found.reason for name, found in self.findings.items() if found.reason}


def judge(rule: Rule, chart: Chart, moment: Moment) -> Verdict:
    """Return what a rule says about one person at one moment: a function of the evidence up to then alone."""
    findings = {each.name: evaluate(each, chart, moment) for each in rule.criteria}
    values: dict[str, bool | Quantity | None] = {
        each.name: findings[each.name].holds if each.comparator else quantity(findings[each.name].number, each.unit)
        for each in rule.criteria
    }
    fires = rule.condition.holds(values)
    stops = rule.stop.holds(values) if rule.stop else None if fires is None else not fires
    newest = max((f.when for f in findings.values() if f.when and (f.holds or f.holds is None)), default="")
    return Verdict(fires, stops, findings, newest or moment.today.isoformat())
