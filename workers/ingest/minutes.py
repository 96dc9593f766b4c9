"""Single minutes that became old, folded into one series a day: same numbers, same device, same status, same offset.

Only what loses nothing is folded: a plain number over exactly one whole minute, with nothing else said. Equal rules of conflict
as ever: of two for one minute the one told later, then the greater.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from workers.ingest.observe import hashed
from workers.ingest.sample import Unusable
from workers.ingest.times import Moment, later, moment, of

Resource = dict[str, Any]
MINUTE: Final = 60_000
MINUTES: Final = 1440
_SAID: Final = frozenset(
    {"resourceType", "id", "meta", "identifier", "status", "category", "code", "subject", "device", "effectivePeriod",
     "valueQuantity", "issued", "method"}
)  # fmt: skip
_KEPT: Final = ("status", "category", "code", "subject", "device", "method")


@dataclass(slots=True)
class Day:
    """A series that minutes go into: what they have in common, the number and claim of each minute, and which they were."""

    like: Resource
    start: Moment
    numbers: dict[int, tuple[int, Decimal]] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)

    def take(self, minute: int, issued: int, number: Decimal) -> None:
        """Take a number unless a better one is there."""
        if 0 <= minute < MINUTES and (minute not in self.numbers or (issued, number) > self.numbers[minute]):
            self.numbers[minute] = (issued, number)


def days_of(observations: Iterable[Resource]) -> dict[str, Day]:
    """Return the days by the id of their series, of those among the Observations that can be folded."""
    days: dict[str, Day] = {}
    for each in observations:
        start = _minute(each)
        if start is None:
            continue
        midnight = _midnight(start)
        day = days.setdefault(_id(each, midnight), Day(each, midnight))
        issued = moment(each["issued"]).ms if "issued" in each else 0
        day.take((start.ms - midnight.ms) // MINUTE, issued, Decimal(each["valueQuantity"]["value"]))
        day.folded.append(each["id"])
    return days


def series(id_: str, day: Day, known: Resource | None) -> Resource:
    """Return the Observation of a day, with the minutes that it held already; newer ones hold."""
    if known is not None:
        for minute, token in enumerate(known["valueSampledData"]["data"].split()):
            if token[0] not in "EUL" and minute not in day.numbers:
                day.take(minute, 0, Decimal(token))
    quantity = day.like["valueQuantity"]
    data = " ".join(f"{day.numbers[i][1]:f}" if i in day.numbers else "E" for i in range(MINUTES))
    made = {"resourceType": "Observation", "id": id_, "meta": {"profile": day.like.get("meta", {}).get("profile", [])}}
    made |= {name: day.like[name] for name in _KEPT if name in day.like}
    made["effectivePeriod"] = {"start": day.start.text, "end": later(day.start, MINUTES * MINUTE).text}
    newest = max((issued for issued, _ in day.numbers.values()), default=0)
    told = [known["issued"]] if known is not None and "issued" in known else []
    if newest or told:
        made["issued"] = max([_issued(newest), *told] if newest else told, key=lambda text: moment(text).ms)
    origin = {"value": 0} | {name: quantity[name] for name in ("unit", "system", "code") if name in quantity}
    made["valueSampledData"] = {"origin": origin, "period": MINUTE, "dimensions": 1, "data": data}
    return made


def _issued(ms: int) -> str:
    return later(moment("2000-01-01T00:00:00Z"), ms - 946_684_800_000).text


def _minute(each: Mapping[str, Any]) -> Moment | None:
    """Return the start of an Observation that is one plain minute, else None."""
    period, quantity = each.get("effectivePeriod", {}), each.get("valueQuantity", {})
    if not _SAID.issuperset(each) or "value" not in quantity or "comparator" in quantity or "device" not in each:
        return None
    try:
        start, end = moment(period.get("start")), moment(period.get("end"))
    except Unusable:
        return None
    plain = not start.whole_day and start.ms % MINUTE == 0 and end.ms - start.ms == MINUTE
    return start if plain and quantity["value"] >= 0 else None


def _midnight(start: Moment) -> Moment:
    read = datetime.fromisoformat(start.text).replace(hour=0, minute=0, second=0, microsecond=0)
    return of(read, unknown=start.text.endswith("Z"))


def _id(each: Resource, midnight: Moment) -> str:
    codings = [f"{coding.get('system')}|{coding.get('code')}" for coding in each["code"].get("coding", ())]
    said = [each["status"], each.get("method", {}).get("text", ""), each["valueQuantity"].get("code", ""), *codings]
    return hashed("min", each["subject"]["reference"], each["device"].get("reference", ""), midnight.text, *said)
