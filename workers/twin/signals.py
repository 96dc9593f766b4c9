"""An Observation as samples: what it says of the signals that are kept, and what it says that cannot be used, with reasons.

Nothing is guessed: a wrong unit, a missing interval, a comparator or a status that withdraws the result contributes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workers.twin.arrays import DAY, Bools, Floats, Ints
from workers.twin.catalogue import Signal, by_code, named
from workers.twin.codes import BASE, origin
from workers.twin.effective import CALENDAR_DAY, Effective, effective, milliseconds
from workers.twin.questionnaires import score
from workers.twin.values import Values, values

RANK = {"preliminary": 1, "final": 2, "amended": 3, "corrected": 4}
"""Statuses that carry a result, the better ones higher; registered, cancelled, entered-in-error, unknown carry none."""

LONGEST_SERIES = 32 * DAY
"""The longest time, in ms, that one SampledData may span: it touches a block for each of its days."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of one signal from one Observation: start and duration in ms, value in the signal's unit.

    `offset` is the minutes east of UTC that the Observation states, or UNKNOWN_OFFSET, or CALENDAR_DAY (see `effective.py`).
    """

    signal: str
    device: str
    offset: int
    start: Ints
    duration: Ints
    value: Floats

    def only(self, chosen: Bools) -> Samples:
        """Return the samples that are chosen."""
        return replace(self, start=self.start[chosen], duration=self.duration[chosen], value=self.value[chosen])


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that could not be used: a reason code, where it stands, how many samples it cost. Never a value."""

    reason: str
    expression: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What an Observation contributes; `issued` (ms) and `rank` decide between two that speak of the same interval."""

    samples: tuple[Samples, ...] = ()
    refused: tuple[Refusal, ...] = ()
    issued: int = 0
    rank: int = 0


NOTHING = Reading()


def signals_of(observation: dict[str, Any], base: str = BASE) -> frozenset[str]:
    """Return the names of the signals that the codes of an Observation and its components stand for."""
    return frozenset(signal.name for _, _, signal in _parts(observation, base))


def read(observation: dict[str, Any], base: str = BASE) -> Reading:
    """Return the samples of an Observation or QuestionnaireResponse and what was refused; of no kept signal NOTHING."""
    if observation.get("resourceType") == "QuestionnaireResponse":
        return _answers(observation, base)
    parts = list(_parts(observation, base))
    if not parts:
        return NOTHING
    status = observation.get("status", "")
    if status not in RANK:
        return Reading(refused=(Refusal("status", "Observation.status"),))
    when = effective(observation)
    if isinstance(when, str):
        return Reading(refused=(Refusal(when, "Observation.effective"),))
    device = _device(observation)
    samples, refused = [], []
    for expression, part, signal in parts:
        found = _samples(part, signal, when, device, base)
        if isinstance(found, str):
            refused.append(Refusal(found, expression))
            continue
        samples.append(found[0])
        if found[1]:
            refused.append(Refusal("sample-not-usable", expression, found[1]))
    return Reading(tuple(samples), tuple(refused), milliseconds(observation.get("issued")), RANK[status])


def _answers(response: dict[str, Any], base: str) -> Reading:
    """Return the scores of a QuestionnaireResponse as samples: its total and, of PHQ-9, the item about self-harm."""
    found = score(response, base)
    if found is None:
        return NOTHING
    when = effective({"effectiveDateTime": response["authored"]}) if "authored" in response else "time-missing"
    if isinstance(when, str):
        return Reading(refused=(Refusal(when, "QuestionnaireResponse.authored"),))
    values = {found.instrument.name: found.total} | {name: found.item(place) for name, place in found.instrument.kept}
    samples = tuple(
        Samples(name, "", when.offset, np.array([when.start]), np.array([when.duration]), np.array([float(value)]))
        for name, value in values.items()
        if value is not None
    )
    refused = (Refusal(found.reason, "QuestionnaireResponse.item"),) if found.reason else ()
    rank = RANK["amended"] if response.get("status") == "amended" else RANK["final"]
    return Reading(samples, refused, when.start, rank if samples else 0)


def _parts(observation: dict[str, Any], base: str) -> Iterator[tuple[str, dict[str, Any], Signal]]:
    """Yield the Observation and its components that are coded as a signal; what the twin wrote, or nobody has
    accepted yet, is never its input."""
    tags = observation.get("meta", {}).get("tag", ())
    if any(tag.get("system") == origin(base) and tag.get("code") in ("twin", "proposed") for tag in tags):
        return
    codes = by_code(base)
    named_parts = [("Observation", observation)]
    named_parts += [(f"Observation.component[{i}]", part) for i, part in enumerate(observation.get("component", ()))]
    for expression, part in named_parts:
        for coding in part.get("code", {}).get("coding", ()):
            signal = codes.get((coding.get("system"), coding.get("code")))
            if signal is not None:
                if expression != "Observation" or _has_value(part):
                    yield expression, part, signal
                break


def _has_value(part: dict[str, Any]) -> bool:
    """Return whether an Observation states something itself: a panel that only has components is judged by those."""
    return "component" not in part or any(key.startswith("value") for key in part)


def _samples(
    part: dict[str, Any], signal: Signal, when: Effective, device: str, base: str
) -> tuple[Samples, int] | str:
    """Return the samples of one part and how many were dropped, or why there are none."""
    found = values(part, signal, when.duration, base)
    if isinstance(found, str):
        return found
    if found.step is not None:
        return _series(found, found.step, signal, when, device)
    when = _answered(when) if signal.shape == "score" else when
    kind = _kind(signal, when)
    if isinstance(kind, str):
        return kind
    offset = when.end_offset if kind.shape in {"session", "stage"} else when.offset
    one = Samples(kind.name, device, offset, np.array([when.start]), np.array([when.duration]), found.numbers)
    return one, 0


def _answered(when: Effective) -> Effective:
    """Return when a questionnaire was filled in: the end of the weeks that it asks about, or the calendar day."""
    if when.end is None or when.offset == CALENDAR_DAY:
        return when
    return Effective(when.end, None, when.end_offset, when.end_offset)


def _kind(signal: Signal, when: Effective) -> Signal | str:
    """Return the signal that a value over this interval is, or why the interval does not fit any."""
    if when.duration > signal.longest and signal.beyond:
        return _kind(named(signal.beyond), when)
    if when.offset == CALENDAR_DAY and signal.shape not in {"day", "session", "score"}:
        return "time-too-coarse"
    if when.duration > signal.longest:
        return "interval-too-long"
    if signal.shape in {"count", "stage"} and when.duration == 0:
        return "interval-missing"
    return signal


def _series(found: Values, step: float, signal: Signal, when: Effective, device: str) -> tuple[Samples, int] | str:
    """Return the samples of a SampledData; its length must agree with the period that the Observation states."""
    if when.offset == CALENDAR_DAY:
        return "time-too-coarse"
    if found.length * step > LONGEST_SERIES:
        return "interval-too-long"
    if when.end is not None and abs(found.length * step - when.duration) > step + 1:
        return "sampled-data-length"
    start = when.start + np.rint(found.places * step).astype(np.int64)
    duration = np.full(len(start), round(step), np.int64)
    return Samples(signal.name, device, when.offset, start, duration, found.numbers), found.dropped


def _device(observation: dict[str, Any]) -> str:
    """Return what names the device: its reference without a version, else its identifier, else nothing."""
    device = observation.get("device", {})
    if "reference" in device:
        return str(device["reference"]).split("/_history/")[0]
    identifier = device.get("identifier", {})
    return f"{identifier.get('system', '')}|{identifier['value']}" if "value" in identifier else ""
