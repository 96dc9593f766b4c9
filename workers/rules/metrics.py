"""What a criterion may ask about: features of the twin, signals of devices, totals and items of questionnaires.

A metric of a running day counts only from the hour at which the day has it: a sleep from noon on, steps when the day is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from workers.rules.chart import ANSWERED, Moment
from workers.twin.catalogue import NAMES
from workers.twin.features import FEATURES

Kind = Literal["feature", "answer", "signal"]
ANY_SIGNAL: Final = "any-signal"
"""Whatever a device has measured."""
_OVER: Final = 24
_READY: Final[Mapping[str, int]] = {"sleep": 12, "heart": 12}
"""From which hour on a day has what is of a domain; others when the day is over."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that can be asked about: `unit` in UCUM, `ready` is the hour from which a running day has it."""

    code: str
    kind: Kind
    unit: str
    ready: int
    scored: bool = False
    circular: bool = False

    def newest(self, moment: Moment) -> date:
        """Return the newest day that can have it."""
        return moment.today if moment.now.hour >= self.ready else moment.today - timedelta(days=1)


METRICS: Final[Mapping[str, Metric]] = {
    **{name: Metric(name, "signal", "1", 0) for name in (*NAMES, ANY_SIGNAL)},
    **{
        each.code: Metric(
            each.code, "feature", each.unit, _READY.get(each.domain, _OVER), each.scored, each.circular
        )
        for each in FEATURES
    },
    **{name: Metric(name, "answer", "{score}", 0) for name in ANSWERED},
}  # fmt: skip
"""By code. A feature hides the signal of the same name, of which it is the number of the day."""

SIGNALS: Final = frozenset(NAMES) - frozenset(ANSWERED) | {ANY_SIGNAL}
"""Codes for which `measured` and `age` can be asked."""
