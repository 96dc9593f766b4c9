"""What becomes of a verdict: an alert is raised, goes on, is closed, or is not raised for a stated reason. Pure.

The same evidence never raises twice; what is open is not raised again; what was raised lately waits for the cooldown; an alert ends
when the stop condition is known to hold, or, without one, when the condition is known not to hold: unknown ends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal

from workers.rules.rule import LOUD, Rule, Verdict

Action = Literal["raise", "close", "suppress"]
COOLDOWN, OVERRIDE = "cooldown", "override"


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert that was raised: on which evidence, when, whether it has ended and whether somebody has taken note."""

    id: str
    evidence: str
    raised: datetime
    ended: bool = False
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `alert` is the alert that is closed, or by which another is held back."""

    action: Action
    alert: str = ""
    reason: str = ""


def decide(rule: Rule, verdict: Verdict, standing: Iterable[Standing], now: datetime, override: str = "") -> list[Step]:
    """Return what to do; `override` is the id of what switches the rule off for this person, if anything does."""
    alerts = sorted(standing, key=lambda each: (each.raised, each.id))
    open_ = next((each for each in reversed(alerts) if not each.ended), None)
    if verdict.fires is not True:
        return [Step("close", open_.id)] if open_ and verdict.stops else []
    if alerts and verdict.when <= max(each.evidence for each in alerts):
        return [Step("close", open_.id)] if open_ and verdict.stops else []
    renewing = open_ is not None and open_.acknowledged and rule.policy.renew
    if open_ and not renewing:
        return []
    if override:
        return [Step("suppress", override, OVERRIDE)]
    if alerts and not renewing and now < alerts[-1].raised + rule.policy.cooldown:
        return [Step("suppress", alerts[-1].id, COOLDOWN)]
    return [*([Step("close", open_.id)] if open_ else []), Step("raise")]


def quiet_until(rule: Rule, at: datetime) -> datetime:
    """Return when a message due at `at` (on the clinic's clock) may go: then, or at the end of the quiet hours."""
    if rule.policy.quiet is None or rule.priority in LOUD:
        return at
    start, end = rule.policy.quiet
    clock = at.time()
    if not (start <= clock < end if start < end else clock >= start or clock < end):
        return at
    day = at.date() if clock < end else at.date() + timedelta(days=1)
    return datetime.combine(day, time(end.hour, end.minute, end.second), at.tzinfo)


def due(rule: Rule, raised: datetime) -> list[datetime]:
    """Return when each role is to be told as long as nobody acknowledges: the first at once, the next after each wait."""
    steps = len(rule.roles) if rule.policy.escalate else min(1, len(rule.roles))
    wait = rule.policy.escalate or timedelta(0)
    return [quiet_until(rule, raised + step * wait) for step in range(max(1, steps))]
