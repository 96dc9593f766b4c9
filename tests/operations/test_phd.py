"""IEEE 11073 Personal Health Devices (HL7/phd): all 29 examples come back equal, and the twin gets the samples that they state."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.kit import json as exact
from tests.http.client import Caller
from tests.shared_data import shared
from workers.twin.signals import read

Json = dict[str, Any]
CASES = shared("ieee-11073-phd")
FILES = sorted(CASES.glob("*.json"))


def raw(path: Path) -> bytes:
    return path.read_bytes()


def decoded(path: Path) -> Json:
    return exact.decode(raw(path))  # type: ignore[no-any-return]


def samples(resource: Json) -> list[tuple[str, int, float]]:
    """Return what the twin reads: signal, instant in ms, value."""
    found = []
    for part in read(resource).samples:
        found += [(part.signal, int(at), float(value)) for at, value in zip(part.start, part.value, strict=True)]
    return found


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def said(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name != "meta"}


@pytest.mark.parametrize(
    "path", [each for each in FILES if not each.name.startswith("bundle")], ids=lambda each: each.stem
)
async def test_a_resource_comes_back_equal(system: Caller, path: Path) -> None:
    resource, sent = decoded(path), raw(path)
    name = f"{resource['resourceType']}/{resource['id']}"
    answer = await system.put(name, sent)
    assert answer.status in (200, 201), answer.text
    back = exact.decode((await system.get(name)).text.encode())
    assert said(back) == said(resource)
    assert back["meta"]["profile"] == resource["meta"]["profile"]


@pytest.mark.parametrize("path", [each for each in FILES if each.name.startswith("bundle")], ids=lambda each: each.stem)
async def test_a_transaction_comes_back_equal_but_for_its_references(system: Caller, path: Path) -> None:
    bundle = decoded(path)
    answer = await system.post("", raw(path))
    assert answer.status == 200, answer.text
    for entry, done in zip(bundle["entry"], answer.json["entry"], strict=True):
        back = exact.decode((await system.get(done["response"]["location"].split("/_history")[0])).text.encode())
        assert _without_references(back) == _without_references(entry["resource"])
        assert samples(back) == samples(entry["resource"])


def _without_references(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {
            name: each for name, each in value.items() if name not in ("reference", "id", "versionId", "lastUpdated")
        }
        return {name: _without_references(each) for name, each in kept.items()}
    return [_without_references(each) for each in value] if isinstance(value, list) else value


def test_all_of_them_are_here() -> None:
    assert len(FILES) == 29


def test_what_each_example_states_for_the_twin() -> None:
    """A pulse is a heart rate; NaN, waves of other signals, compounds of other measures and clocks are none."""
    told = {path.stem: samples(decoded(path)) for path in FILES if not path.name.startswith("bundle")}
    assert {name: found for name, found in told.items() if found} == {
        "numeric-spotnumeric": [("heart-rate", at("2018-11-13T17:59:03-05:00"), 48.0)]
    }
    stream = [
        s for entry in decoded(CASES / "bundle-continuousnonin.json")["entry"] for s in samples(entry["resource"])
    ]
    first = at("2018-11-11T19:07:37-05:00")
    assert stream == [("heart-rate", first + 1000 * i, 53.0 if i == 0 else 54.0) for i in range(12)]


def phd(**more: Any) -> Json:
    """Return an Observation shaped like those of the guide, of a pulse rate in MDC and UCUM."""
    resource = decoded(CASES / "numeric-spotnumeric.json")
    del resource["valueQuantity"]
    return resource | more


def test_sampled_data_with_numbers_that_are_none() -> None:
    origin = {"value": Decimal(10), "system": "http://unitsofmeasure.org", "code": "/min"}
    data = {"origin": origin, "period": 1000, "factor": Decimal("0.5"), "dimensions": 1, "data": "100 E U 120 L"}
    start = at("2018-11-13T17:59:03-05:00")
    found = samples(phd(valueSampledData=data))
    assert found == [("heart-rate", start, 60.0), ("heart-rate", start + 3000, 70.0)]


def test_a_compound_gives_the_part_that_is_a_signal() -> None:
    resource = decoded(CASES / "compound-numeric-blood-pressure.json")
    pulse = {
        "code": phd()["code"],
        "valueQuantity": {"value": 66, "system": "http://unitsofmeasure.org", "code": "/min"},
    }
    resource["component"].append(pulse)
    assert samples(resource) == [("heart-rate", at(resource["effectiveDateTime"]), 66.0)]


def test_units_of_ieee_are_read_and_nan_is_not() -> None:
    value = {"value": 61, "system": "urn:iso:std:iso:11073:10101", "code": "264864"}
    assert [number for _, _, number in samples(phd(valueQuantity=value))] == [61.0]
    absent = json.loads((CASES / "numeric-observation-not-a-number.json").read_text())["dataAbsentReason"]
    assert samples(phd(dataAbsentReason=absent)) == []


async def test_the_metric_of_a_device_is_found_by_its_device(system: Caller) -> None:
    metric = decoded(CASES / "bp-devicemetric-example.json")
    assert (await system.put(f"DeviceMetric/{metric['id']}", metric)).status in (200, 201)
    found = (await system.get(f"DeviceMetric?source={metric['source']['reference']}")).json["entry"]
    assert metric["id"] in [entry["resource"]["id"] for entry in found]
