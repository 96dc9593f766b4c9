"""How often would a rule have fired over past days: the same judgement and the same life of an alert, at each noon and answer.

Pages are those that are known now: data that came late count as if they had come in time. Nobody acknowledges in a simulation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta, tzinfo

from workers.rules.chart import Chart, Moment, moments
from workers.rules.ids import alert_id
from workers.rules.lifecycle import Standing, decide
from workers.rules.override import Override, for_rule
from workers.rules.rule import Rule, judge


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert: when, on which evidence, and the criteria that were true."""

    at: Moment
    evidence: str
    criteria: tuple[str, ...]


@dataclass(slots=True)
class Simulated:
    """One person: the days asked about, alerts, how often one was held back, moments at which the rule was unknown by reason."""

    days: int = 0
    asked: int = 0
    known: int = 0
    fired: list[Fired] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def simulate(
    rule: Rule, chart: Chart, days: Sequence[date], zone: tzinfo, overrides: Iterable[Override] = ()
) -> Simulated:
    """Return what the rule would have done on these local days, the first being without history of alerts."""
    out, told, alerts = Simulated(days=len(set(days))), list(overrides), dict[str, Standing]()
    for moment in moments(days, chart, zone):
        own, off = for_rule(rule, told, moment.today)
        verdict = judge(own, chart, moment)
        out.asked += 1
        out.known += verdict.fires is not None
        if verdict.fires is None:
            out.unknown.update(verdict.unknown.values())
        for step in decide(own, verdict, alerts.values(), moment.now, off):
            if step.action == "close":
                old = alerts[step.alert]
                alerts[step.alert] = Standing(old.id, old.evidence, old.raised, ended=True)
            elif step.action == "suppress":
                out.held[step.reason] += 1
            else:
                id_ = alert_id(rule.url, "", verdict.when)
                alerts[id_] = Standing(id_, verdict.when, moment.now)
                met = tuple(name for name, found in verdict.findings.items() if found.holds)
                out.fired.append(Fired(moment, verdict.when, met))
    return out


def span(first: date, last: date) -> list[date]:
    """Return the days from first to last."""
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def look_back(rules: Iterable[Rule]) -> int:
    """Return how many days before a moment the rules may look at."""
    return max((each.window + each.over for rule in rules for each in rule.criteria), default=0) + 2
