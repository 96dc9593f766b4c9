"""A demo patient's wearables as FHIR: the Devices and, for each local day, a few Observations of minutes as SampledData."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from workers.demo.codes import coding, loinc
from workers.demo.people import Person, Resource
from workers.demo.signals import Day, live
from workers.twin.arrays import Bools, Floats
from workers.twin.codes import BASE, CATEGORY, UCUM, actigraphy

OFF = "E"
"""What SampledData has for a minute in which the device measured nothing."""

KITS = (("watch",), ("watch", "actigraph"), ("actigraph", "phone"))
"""Which devices a patient has, by number."""

MODELS = {
    "watch": ("Smart watch", ("Nimbus Watch 3", "Halden Fit 7", "Corvid Pulse")),
    "actigraph": ("Wrist actigraph", ("Somnia AG-2",)),
    "phone": ("Smartphone", ("Larch Phone 9", "Tern One")),
}


def kit(who: Person) -> tuple[str, ...]:
    """Return the kinds of device that the person has."""
    return KITS[who.number % len(KITS)]


def devices(who: Person) -> list[Resource]:
    """Return the Device resources."""
    out = []
    for kind in kit(who):
        display, models = MODELS[kind]
        model = models[who.number % len(models)]
        out.append(
            {
                "resourceType": "Device",
                "id": device_id(who, kind),
                "identifier": [{"system": f"{BASE}/NamingSystem/demo-device", "value": f"{kind}-{who.number:05d}"}],
                "status": "active",
                "manufacturer": model.split()[0],
                "serialNumber": f"SN{who.number:04d}{kind[:2].upper()}",
                "deviceName": [{"name": model, "type": "model-name"}],
                "type": {"text": display},
                "patient": who.reference,
            }
        )
    return out


def device_id(who: Person, kind: str) -> str:
    """Return the id of one of the person's devices."""
    return f"{who.id}-{kind}"


def observations(who: Person) -> Iterator[list[Resource]]:
    """Yield the Observations of each day."""
    kinds = kit(who)
    for day in live(who):
        found = []
        if "watch" in kinds:
            found += _watch(who, day)
        if "actigraph" in kinds and day.actigraph_on.any():
            text = _text(day.counts, day.actigraph_on)
            found.append(_series(who, day, "actigraph", "activity-counts", _counts(), "{counts}", 60_000, text))
        if "phone" in kinds:
            found.append(_stepped(who, day, "phone", np.ones(len(day.steps), bool), 60))
        yield found


def _counts() -> Resource:
    """Return the code of activity counts, for which LOINC has none."""
    return {"coding": [coding(actigraphy(BASE), "activity-counts", "Activity counts")], "text": "Activity counts"}


def _watch(who: Person, day: Day) -> list[Resource]:
    """Return heart rate, steps, and after a night that it was worn sleep and resting heart rate."""
    if not day.watch_on.any():
        return []
    text = _text(day.heart, day.watch_on)
    found = [
        _series(who, day, "watch", "heart-rate", loinc("8867-4", "Heart rate"), "/min", 60_000, text),
        _stepped(who, day, "watch", day.watch_on, 15),
    ]
    if day.night_worn:
        found.append(_sleep(who, day))
        slow = float(np.percentile(day.heart[day.watch_on], 3))
        resting = _base(
            who, day, "watch", "resting-heart-rate", loinc("40443-4", "Heart rate --resting"), "vital-signs"
        )
        resting["effectiveDateTime"] = day.day.isoformat()
        resting["valueQuantity"] = _quantity(round(slow), "/min")
        found.append(resting)
    return found


def _stepped(who: Person, day: Day, kind: str, worn: Bools, minutes: int) -> Resource:
    """Return steps in intervals of some minutes."""
    intervals = -(-len(day.steps) // minutes)
    padded, on = np.zeros(intervals * minutes), np.zeros(intervals * minutes, bool)
    padded[: len(day.steps)], on[: len(day.steps)] = np.where(worn, day.steps, 0), worn
    summed = padded.reshape(-1, minutes).sum(axis=1)
    text = _text(summed, np.asarray(on.reshape(-1, minutes).any(axis=1)))
    code = loinc("55423-8", "Number of steps in unspecified time Pedometer")
    return _series(who, day, kind, "steps", code, "{steps}", minutes * 60_000, text)


def _sleep(who: Person, day: Day) -> Resource:
    """Return the sleep that ended on the day, with the minutes slept."""
    zone = day.start.tzinfo
    resource = _base(who, day, "watch", "sleep", loinc("93832-4", "Sleep duration"), "activity")
    resource["effectivePeriod"] = {
        "start": _instant(day.sleep.start.astimezone(zone)),
        "end": _instant(day.sleep.end.astimezone(zone)),
    }
    resource["valueQuantity"] = _quantity(day.sleep.asleep, "min")
    return resource


def _series(
    who: Person, day: Day, device: str, name: str, code: Resource, unit: str, period: int, text: str
) -> Resource:
    """Return an Observation of a day's SampledData."""
    category = "vital-signs" if name == "heart-rate" else "activity"
    resource = _base(who, day, device, name, code, category)
    length = (text.count(" ") + 1) * timedelta(milliseconds=period)
    end = day.start.timestamp() + length.total_seconds()
    resource["effectivePeriod"] = {
        "start": _instant(day.start),
        "end": _instant(datetime.fromtimestamp(end, day.start.tzinfo)),
    }
    resource["valueSampledData"] = {
        "origin": _quantity(0, unit),
        "period": period,
        "dimensions": 1,
        "data": text,
    }
    return resource


def _base(who: Person, day: Day, device: str, name: str, code: Resource, category: str) -> Resource:
    """Return what all of the Observations have; the id says patient, device, signal and day."""
    return {
        "resourceType": "Observation",
        "id": f"{who.id}-{device}-{name}-{day.day:%Y%m%d}",
        "status": "final",
        "category": [{"coding": [coding(CATEGORY, category, category.replace("-", " ").title())]}],
        "code": code,
        "subject": who.reference,
        "device": {"reference": f"Device/{device_id(who, device)}"},
    }


def _quantity(value: int, unit: str) -> dict[str, Any]:
    """Return a Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _text(values: Floats, on: Bools) -> str:
    """Return whole numbers as SampledData, E where the device was off."""
    return " ".join(
        [str(int(value)) if known else OFF for value, known in zip(values.tolist(), on.tolist(), strict=True)]
    )


def _instant(moment: datetime) -> str:
    """Return a dateTime with seconds and offset."""
    return moment.isoformat(timespec="seconds")
