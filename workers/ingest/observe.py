"""A sample as FHIR: Observation, Device and Provenance, under ids that follow from what they are about.

Observations are identified by (patient, source, device, measure, interval), so that a re-sync is the same resource; which of
two that say different things holds is decided by `claim`, by content only, never by the order in which they came.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from fhir_server.kit import json
from profiles.psych.codes import BASE, CATEGORY, GAPS, LOCAL, SNOMED, STATISTICS, UCUM, actigraphy, gaps, profile
from profiles.psych.measures import BY_NAME, PARTS, Measure
from workers.ingest.sample import LARGEST, Number, Origin, Sample, Series, Unusable, Value
from workers.ingest.times import moment

Resource = dict[str, Any]
CONVERTER: Final = "clarity-ingest-1"
RANK: Final[Mapping[str, int]] = {"preliminary": 1, "final": 2, "amended": 3, "corrected": 4}
STATUSES: Final = (*RANK, "registered", "cancelled", "entered-in-error", "unknown")
ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ASSEMBLER: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ALL: Final = 100
_DATA_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def observation(patient: str, sample: Sample, base: str = BASE) -> Resource:
    """Return the Observation of a sample; Unusable when it does not fit its measure."""
    measure = BY_NAME[sample.measure]
    _check(sample, measure)
    id_ = observation_id(patient, sample)
    made: Resource = {
        "resourceType": "Observation",
        "id": id_,
        "meta": {"profile": [profile(measure.name, base)]},
        "identifier": [{"system": f"{base}/NamingSystem/measurement", "value": id_}],
        "status": sample.status,
        "category": [{"coding": [{"system": CATEGORY, "code": measure.category}]}],
        "code": {
            "coding": [{"system": s or actigraphy(base), "code": c, "display": d} for s, c, d in measure.codes],
            "text": measure.title,
        },
        "subject": {"reference": f"Patient/{patient}"},
        "device": {"reference": f"Device/{device_id(patient, sample.origin)}"},
        **_effective(sample),
        **_value(sample, measure, base),
    }
    if sample.issued:
        made["issued"] = sample.issued
    if sample.method:
        made["method"] = {"text": sample.method}
    details = dict(sample.details)
    if sample.statistic and _is_level(sample, measure):
        details["statistic"] = sample.statistic
    extensions = [_detail(name, text, base) for name, text in sorted(details.items())]
    if sample.stated_time:
        part = {"url": "text", "valueString": sample.stated_time}
        extensions.append({"url": profile("source-time", base), "extension": [part]})
    if extensions:
        made["extension"] = extensions
    components = _components(sample, base)
    if components:
        made["component"] = components
    return made


def _check(sample: Sample, measure: Measure) -> None:
    """Refuse a unit or value that the measure cannot have, and an interval where it needs one or ends too early."""
    numbers: list[tuple[Number, str, tuple[str, ...]]] = []
    if sample.value is not None:
        numbers.append((sample.value.number, sample.value.unit, measure.units))
    if sample.series is not None:
        if not measure.sampled:
            raise Unusable("series-not-for-measure", f"{measure.name} does not come as a series.", "values")
        numbers += [(n, sample.series.unit, measure.units) for n in sample.series.numbers if n is not None]
        if not sample.series.numbers or sample.series.period <= 0:
            raise Unusable("series-empty", "A series has values and a period above 0.", "values")
    numbers += [(part.number, part.unit, PARTS[name][1]) for name, part in sample.parts]
    for number, unit, units in numbers:
        if unit not in units:
            raise Unusable("unit", f"{measure.name} is measured in {', '.join(units) or 'no unit'}.", "unit")
        if isinstance(number, Decimal) and not number.is_finite():
            raise Unusable("number", "It is a number.", "value")
        if not -LARGEST <= number <= LARGEST:
            raise Unusable("out-of-range", "Nothing that is measured is so large.", "value")
        if number < measure.low:
            raise Unusable("out-of-range", f"{measure.name} is never below {measure.low:g}.", "value")
        if unit == "%" and number > _ALL:
            raise Unusable("out-of-range", "A percentage is 100 at most.", "value")
    if sample.status not in STATUSES:
        raise Unusable("status", f"A status is one of {', '.join(STATUSES)}.", "status")
    if sample.stated_time is None and sample.end is not None and sample.end.ms < sample.start.ms:
        raise Unusable("period-reversed", "The interval ends before it starts.", "end")
    if measure.kind in {"count", "session", "stage", "gap"} and sample.end is None and not sample.start.whole_day:
        raise Unusable("interval-missing", f"{measure.name} needs an interval.", "end")


def _effective(sample: Sample) -> Resource:
    if sample.stated_time is not None:
        reason = "error" if sample.stated_time else "unknown"
        return {"_effectiveDateTime": {"extension": [{"url": _DATA_ABSENT, "valueCode": reason}]}}
    if sample.end is None:
        return {"effectiveDateTime": sample.start.text}
    return {"effectivePeriod": {"start": sample.start.text, "end": sample.end.text}}


def _value(sample: Sample, measure: Measure, base: str) -> Resource:
    if measure.kind == "gap":
        code = sample.code if sample.code is not None and sample.code in GAPS else "not-told"
        coding = {"system": gaps(base), "code": code, "display": GAPS[code]}
        return {"dataAbsentReason": {"coding": [coding, {"system": ABSENT, "code": "not-performed"}]}}
    if sample.series is not None:
        return {"valueSampledData": sampled(sample.series)}
    if sample.code is not None:
        return {"valueCodeableConcept": {"coding": [_stage(sample.code, base)]}}
    if sample.text is not None:
        return {"valueCodeableConcept": {"text": sample.text}}
    if sample.value is None or (sample.statistic and not _is_level(sample, measure)):
        return {}
    return {"valueQuantity": quantity(sample.value)}


def _is_level(sample: Sample, measure: Measure) -> bool:
    """Tell whether a statistic is still the measure itself: a mean level is a level, a maximum or a daily mean of counts is not."""
    return sample.statistic == "average" and measure.kind == "level"


def _components(sample: Sample, base: str) -> list[Resource]:
    measure, found = BY_NAME[sample.measure], []
    if sample.statistic:
        statistic = {"coding": [{"system": STATISTICS, "code": sample.statistic}]}
        if sample.value is not None and not _is_level(sample, measure):
            found.append({"code": statistic, "valueQuantity": quantity(sample.value)})
    for name, value in sample.parts:
        (system, code, display), _ = PARTS[name]
        coding = {"system": system or actigraphy(base), "code": code, "display": display}
        found.append({"code": {"coding": [coding]}, "valueQuantity": quantity(value)})
    return found


def _stage(code: str, base: str) -> Resource:
    if code not in LOCAL:
        raise Unusable("stage", "There is no such stage of sleep.", "value")
    return {"system": actigraphy(base), "code": code, "display": LOCAL[code]}


def sampled(series: Series) -> Resource:
    """Return SampledData; E where nothing was measured."""
    numbers = " ".join("E" if number is None else f"{number:f}" for number in map(_plain, series.numbers))
    origin = {"value": 0, "unit": series.unit, "system": UCUM, "code": series.unit}
    return {"origin": origin, "period": series.period, "dimensions": 1, "data": numbers}


def _plain(number: Number | None) -> Any:
    return number if number is None or not isinstance(number, int) else _Whole(number)


class _Whole(int):
    """An integer that `:f` writes without a fraction."""

    def __format__(self, _: str) -> str:
        return str(int(self))


def quantity(value: Value) -> Resource:
    """Return a Quantity: the number as it came, its unit in UCUM and as its source writes it."""
    return {"value": value.number, "unit": value.shown or value.unit, "system": UCUM, "code": value.unit}


def _detail(name: str, text: str, base: str) -> Resource:
    parts = [{"url": "name", "valueString": name}, {"url": "text", "valueString": text}]
    return {"url": profile("source-detail", base), "extension": parts}


def device(patient: str, origin: Origin, base: str = BASE) -> Resource:
    """Return the Device of an origin; one that names no hardware is the software that told us."""
    id_ = device_id(patient, origin)
    made: Resource = {
        "resourceType": "Device",
        "id": id_,
        "identifier": [{"system": f"{base}/NamingSystem/source", "value": id_}],
        "deviceName": [{"name": origin.name or origin.model or origin.source, "type": "user-friendly-name"}],
        "patient": {"reference": f"Patient/{patient}"},
        "owner": {"display": origin.source},
    }
    if not (origin.name or origin.model or origin.serial):
        made["type"] = {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]}
    for element, text in (
        ("manufacturer", origin.manufacturer),
        ("modelNumber", origin.model),
        ("serialNumber", origin.serial),
    ):
        if text:
            made[element] = text
    if origin.version:
        made["version"] = [{"value": origin.version}]
    return made


def converter(version: str, base: str = BASE) -> Resource:
    """Return the Device that stands for the software that turned foreign data into Observations."""
    return {
        "resourceType": "Device",
        "id": CONVERTER,
        "meta": {"profile": [profile("software-device", base)]},
        "identifier": [{"system": f"{base}/NamingSystem/software", "value": CONVERTER}],
        "manufacturer": "Clarity",
        "deviceName": [{"name": "Clarity ingestion", "type": "model-name"}],
        "type": {"coding": [{"system": SNOMED, "code": "706687001", "display": "Software"}]},
        "version": [{"value": version}],
    }


def provenance(
    targets: Sequence[str], devices: Sequence[str], recorded: str, payload: bytes, base: str = BASE
) -> Resource:
    """Return who told, who converted, and by its digest from what; `targets` are versions of Observations."""

    def agent(code: str, who: str) -> Resource:
        return {"type": {"coding": [{"system": ASSEMBLER, "code": code}]}, "who": {"reference": f"Device/{who}"}}

    digest = {"system": f"{base}/NamingSystem/payload-sha256", "value": hashlib.sha256(payload).hexdigest()}
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
        "recorded": recorded,
        "agent": [agent("assembler", CONVERTER), *(agent("author", name) for name in devices)],
        "entity": [{"role": "source", "what": {"identifier": digest}}],
    }


def observation_id(patient: str, sample: Sample) -> str:
    """Return the id: what the Observation is about, whatever it says."""
    end = "" if sample.end is None else str(sample.end.ms)
    days = "d" if sample.start.whole_day else ""
    step = "" if sample.series is None else f"{sample.series.period}"
    statistic = sample.statistic or ""
    return hashed("in", patient, *sample.origin.key, sample.measure, statistic, days + str(sample.start.ms), end, step)


@lru_cache(maxsize=4096)
def device_id(patient: str, origin: Origin) -> str:
    """Return the id of a device of a patient; a batch asks for the same one again and again."""
    return hashed("dev", patient, *origin.key)


def hashed(kind: str, *parts: str) -> str:
    """Return an id of a kind that follows from the parts."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{kind}-{base64.b32encode(digest[:20]).decode().rstrip('=').lower()}"


def claim(resource: Resource) -> tuple[int, int, int, bytes]:
    """Return how good the claim of one Observation is against another of the same id.

    Later told, better status, more of a series known, then its bytes.
    """
    issued = _instant(resource.get("issued"))
    said = {name: value for name, value in resource.items() if name != "meta"}
    known = sum(token[0] not in "EUL" for token in resource.get("valueSampledData", {}).get("data", "").split())
    return issued, RANK.get(resource.get("status", ""), 0), known, json.encode(dict(sorted(said.items())))


def _instant(text: str | None) -> int:
    return moment(text).ms if text else 0
