"""When deviations cross a stated threshold: the rules for which a RiskAssessment is written. A table and one function.

A deviation counts when |z| >= 3 and its 95 % interval excludes 0 (`baseline.STRONG`). A rule that holds is a crossing only
when it held on none of the seven days before, so that an episode is told once, at its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from workers.twin.baseline import Direction
from workers.twin.state import FeatureState, State

QUIET: Final = 7
"""Days before during which the rule must not have held."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`features`: how many features of different domains must deviate on the day; `days`: on how many of the day and the
    three before, the day included, one feature must deviate in one direction; `level`: it is a change of level that counts."""

    code: str
    display: str
    features: int
    days: int
    level: bool = False


RULES: Final = (
    Rule("several-features", "Features of at least two domains deviate strongly on the same day", 2, 1),
    Rule("sustained-deviation", "One feature deviates strongly on three of four days in the same direction", 1, 3),
    Rule("level-change", "A feature lies on another level than before, by change point detection", 1, 1, level=True),
)
SPAN: Final = 4


@dataclass(frozen=True, slots=True)
class Crossing:
    """A rule that begins to hold on a day, with the features that make it hold and their direction."""

    rule: Rule
    day: date
    features: tuple[tuple[str, Direction], ...]


def crossings(state: State) -> list[Crossing]:
    """Return the rules that hold on the state's day and held on none of the QUIET days before."""
    out = []
    for rule in RULES:
        found = _holding(rule, state, 0)
        if found and not any(_holding(rule, state, back) for back in range(1, QUIET + 1)):
            out.append(Crossing(rule, state.day, tuple(found)))
    return out


def _holding(rule: Rule, state: State, back: int) -> list[tuple[str, Direction]]:
    """Return the features by which a rule holds on the day `back` days ago; none when it does not hold."""
    found = []
    for feature in state.features:
        if rule.level:
            found += [feature] if _shifted(feature, back) else []
            continue
        direction = _direction(feature, back)
        days = [_direction(feature, back + i) for i in range(SPAN)]
        if direction != "within" and days.count(direction) >= rule.days:
            found.append(feature)
    if len({feature.feature.domain for feature in found}) < rule.features:
        return []
    return [(feature.feature.code, _towards(feature) if rule.level else _direction(feature, back)) for feature in found]


def _shifted(feature: FeatureState, back: int) -> bool:
    """Return whether a change of level was told some days ago."""
    if back == 0:
        return feature.change is not None and feature.change.told
    return back <= len(feature.told) and feature.told[back - 1]


def _towards(feature: FeatureState) -> Direction:
    """Return to which side the level of the day has changed."""
    return "above" if feature.change is not None and feature.change.shift > 0 else "below"


def _direction(feature: FeatureState, back: int) -> Direction:
    """Return the direction of a feature's deviation some days ago; a day without a number deviates nowhere."""
    if not feature.feature.alerting:
        return "within"
    history = (feature.deviation, *feature.earlier)
    far = history[back] if back < len(history) else None
    return "within" if far is None else far.direction
