"""`$stats` against numpy on generated measurements; units, components, time, policy, and what is refused."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from fhir_server.kit import clock
from fhir_server.operations.stats import STATISTICS, SYSTEM
from tests.http.client import Answer, Caller, caller
from tests.operations.test_lastn import LOINC, add, coded, observation, patient

Json = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
WEIGHT = (LOINC, "29463-7")
ONE = "subject=Patient/1&code=1-8"
ALL = "&".join(f"statistic={name}" for name in STATISTICS)


def quantity(value: Any, code: str = "kg", system: str | None = UCUM, **more: Any) -> Json:
    return {"value": value, "unit": code} | ({"system": system, "code": code} if system else {}) | more


def measured(who: str, value: Any, at: datetime | str | None, code: tuple[str, str] = WEIGHT, **more: Any) -> Json:
    moment = at.isoformat().replace("+00:00", "Z") if isinstance(at, datetime) else at
    given = value if isinstance(value, dict) else quantity(value)
    return observation(who, coded(code), moment, valueQuantity=given, **more)


def of(answer: Answer, position: int = 0) -> dict[str, Any]:
    """Return the components by statistic code; several of one code as a list."""
    assert answer.status == 200, answer.text
    found = [each["resource"] for each in answer.json["parameter"] if each["name"] == "statistics"][position]
    out: dict[str, Any] = {}
    for each in found["component"]:
        [coding] = each["code"]["coding"]
        assert coding["system"] == SYSTEM
        value = each.get("valueQuantity")
        out[coding["code"]] = [out[coding["code"]], value] if coding["code"] in out else value
    return out


async def stats(client: Caller, who: str, query: str = ALL, code: tuple[str, str] = WEIGHT) -> Answer:
    return await client.get(f"Observation/$stats?subject={who}&system={code[0]}&code={code[1]}&{query}")


def expected(values: list[float], days: list[float]) -> dict[str, Any]:
    x, t = np.array(values), np.array(days)
    spread, mean = float(x.std()), x.mean()
    slope, level = np.polyfit(t - t.min(), x, 1)
    at = {name: float(np.percentile(x, p)) for name, p in (
        ("20-percent", 20), ("80-percent", 80), ("4-lower", 25), ("4-upper", 75), ("5-1", 20), ("5-2", 40), ("5-3", 60),
        ("5-4", 80), ("median", 50),
    )}  # fmt: skip
    return at | {
        "average": mean, "maximum": x.max(), "minimum": x.min(), "count": len(x), "total-count": len(x), "sum": x.sum(),
        "std-dev": spread, "variance": x.var(), "4-dev": (at["4-upper"] - at["4-lower"]) / 2,
        "skew": ((x - mean) ** 3).mean() / spread**3, "kurtosis": ((x - mean) ** 4).mean() / spread**4,
        "regression": [slope, level],
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
async def test_against_numpy(system: Caller, seed: int) -> None:
    rng = random.Random(seed)
    who, other = await patient(system), await patient(system)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    values = [round(rng.gauss(70, 12), rng.choice((0, 1, 3))) for _ in range(rng.choice((3, 40, 90)))]
    moments = [start + timedelta(minutes=rng.randrange(10**6)) for _ in values]
    await add(system, *(measured(who, value, at) for value, at in zip(values, moments, strict=True)))
    await add(system, measured(other, 1000, start), measured(who, 500, start, code=(LOINC, "3141-9")))
    found = of(await stats(system, who))
    days = [(at - start) / timedelta(days=1) for at in moments]
    wanted = expected(values, days)
    assert set(found) == set(wanted) == set(STATISTICS)
    for name, value in wanted.items():
        mine = found[name]
        got = [each["value"] for each in mine] if isinstance(mine, list) else mine["value"]
        assert got == pytest.approx(value, rel=1e-9, abs=1e-9), name
    assert found["average"]["code"] == "kg"
    assert found["variance"]["code"] == "(kg)2"
    assert found["regression"][0]["code"] == "(kg)/d"
    assert set(found["count"]) == set(found["kurtosis"]) == {"value"}


async def test_what_is_exact_stays_exact(system: Caller) -> None:
    who = await patient(system)
    await add(system, *(measured(who, value, "2020") for value in (0.1, 0.2, 0.3)))
    found = of(await stats(system, who, "statistic=sum,average,min,max,median"))
    assert {name: each["value"] for name, each in found.items()} == {
        "sum": 0.6, "average": 0.2, "minimum": 0.1, "maximum": 0.3, "median": 0.2,
    }  # fmt: skip


async def test_units_become_one(system: Caller) -> None:
    who = await patient(system)
    values = (70, quantity(80), quantity(75000, "g"), quantity(165.3466966, "[lb_av]"))
    await add(system, *(measured(who, value, "2020") for value in values))
    found = of(await stats(system, who, "statistic=average&statistic=sum&statistic=maximum"))
    assert [found[name]["value"] for name in ("average", "sum", "maximum")] == pytest.approx([75, 300, 80], rel=1e-8)
    assert {found[name]["code"] for name in found} == {"kg"}
    warm = (LOINC, "8310-5")
    heats = (quantity(36, "Cel"), quantity(38, "Cel"), quantity(40, "Cel"), quantity(98.6, "[degF]"))
    await add(system, *(measured(who, heat, "2020", warm) for heat in heats))
    heat = of(await stats(system, who, "statistic=average&statistic=std-dev", warm))
    assert heat["average"]["value"] == pytest.approx(37.75)
    assert heat["std-dev"]["value"] == pytest.approx(float(np.std([36, 38, 40, 37])))
    assert heat["average"]["code"] == "Cel"


async def test_what_cannot_be_compared_is_refused(system: Caller) -> None:
    who = await patient(system)
    await add(system, measured(who, 70, "2020"), measured(who, quantity(170, "cm"), "2021"))
    answer = await stats(system, who)
    assert (answer.status, answer.issue) == (422, "stats-units")
    assert "cm, kg" in answer.text
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "subject", "valueUri": who}, {"name": "coding", "valueCoding": {"system": WEIGHT[0], "code": WEIGHT[1]}},
        {"name": "statistic", "valueCode": "average"}, {"name": "period", "valuePeriod": {"end": "2020-12-31"}},
    ]}  # fmt: skip
    assert of(await system.post("Observation/$stats", body))["average"] == {
        "value": 70,
        "unit": "kg",
        "system": UCUM,
        "code": "kg",
    }
    await add(system, *(measured(who, quantity(1, unit, None), "2020", (LOINC, "1-8")) for unit in ("drops", "cups")))
    assert (await stats(system, who, code=(LOINC, "1-8"))).issue == "stats-units"


async def test_what_is_no_measurement_is_counted_only_in_total(system: Caller) -> None:
    who = await patient(system)
    await add(
        system, measured(who, 70, "2020"), measured(who, quantity(200, comparator=">"), "2020"),
        observation(who, coded(WEIGHT), "2020", valueString="heavy"), measured(who, 9, "2020", status="entered-in-error"),
        measured(who, 9, "2020", status="cancelled"), measured(who, 72, None),
    )  # fmt: skip
    found = of(await stats(system, who))
    assert (found["count"]["value"], found["total-count"]["value"], found["average"]["value"]) == (2, 4, 71)
    assert found["regression"] is None, "one moment has no line"
    nothing = of(await stats(system, who, code=(LOINC, "0-0")))
    assert nothing["count"]["value"] == nothing["total-count"]["value"] == 0
    assert all(value is None for name, value in nothing.items() if not name.endswith("count"))


async def test_components_have_statistics_of_their_own(system: Caller) -> None:
    who, panel = await patient(system), (LOINC, "85354-9")
    systolic, diastolic = (LOINC, "8480-6"), (LOINC, "8462-4")

    def pressure(high: int, low: int) -> Json:
        parts = [
            {"code": coded(c), "valueQuantity": quantity(v, "mm[Hg]")} for c, v in ((systolic, high), (diastolic, low))
        ]
        return observation(who, coded(panel), "2020", component=parts)

    await add(system, pressure(120, 80), pressure(140, 90), measured(who, quantity(130, "mm[Hg]"), "2020", systolic))
    found = of(await stats(system, who, code=systolic))
    assert (found["count"]["value"], found["average"]["value"], found["maximum"]["value"]) == (3, 130, 140)
    both = await system.get(
        f"Observation/$stats?subject={who}&system={LOINC}&code=8480-6&code=8462-4&statistic=average&include=true&limit=1"
    )
    assert [of(both, 0)["average"]["value"], of(both, 1)["average"]["value"]] == [130, 85]
    assert [each["name"] for each in both.json["parameter"]] == ["statistics", "source"] * 2
    of_panel = of(await stats(system, who, code=panel))
    assert (of_panel["count"]["value"], of_panel["total-count"]["value"]) == (0, 2)


async def test_duration_goes_back_from_now(system: Caller) -> None:
    who = await patient(system)
    now = clock.now()
    await add(system, measured(who, 70, now - timedelta(minutes=30)), measured(who, 90, now - timedelta(hours=3)))
    assert of(await stats(system, who, "statistic=average&duration=1"))["average"]["value"] == 70
    assert of(await stats(system, who, "statistic=average&duration=3.5"))["average"]["value"] == 80
    whole = await stats(system, who, "statistic=count&include=true")
    assert sum(each["name"] == "source" for each in whole.json["parameter"]) == 2
    found = whole.json["parameter"][0]["resource"]
    assert (found["subject"], found["status"]) == ({"reference": who}, "final")
    assert found["effectivePeriod"]["start"] < found["effectivePeriod"]["end"]


@pytest.mark.parametrize(
    ("query", "issue"),
    [
        ("code=1-8&statistic=average", "parameter-missing"), (f"{ONE}", "parameter-missing"),
        ("subject=Patient/1&statistic=average", "parameter-missing"),
        ("subject=Patient/1&code=&statistic=average", "parameter-missing"), (f"{ONE}&statistic=mode", "parameter-value"),
        (f"{ONE}&statistic=sum&duration=0", "parameter-value"), (f"{ONE}&statistic=sum&duration=x", "parameter-type"),
        (f"{ONE}&statistic=sum&period=2020", "parameter-type"), (f"{ONE}&statistic=sum&include=true&limit=0", "parameter-value"),
    ],
)  # fmt: skip
async def test_what_is_refused(system: Caller, query: str, issue: str) -> None:
    answer = await system.get(f"Observation/$stats?{query}")
    assert (answer.status, answer.issue) == (400, issue)


async def test_the_policy_is_in_the_numbers(system: Caller, http: httpx.AsyncClient) -> None:
    who, other = await patient(system), await patient(system)
    await add(
        system, measured(who, 70, "2020"), measured(who, 90, "2020", category="vital-signs"), measured(other, 100, "2020"),
        measured(who, quantity(1, "cm"), "2021", category="vital-signs"),
    )  # fmt: skip
    some = await caller(http, system.tenant, "system/Observation.rs?category=laboratory")
    found = of(await stats(some, who))
    assert (found["count"]["value"], found["total-count"]["value"], found["maximum"]["value"]) == (1, 1, 70)
    person = await caller(http, system.tenant, "patient/Observation.rs", who.split("/")[1])
    hidden, absent = await stats(person, other), await stats(person, "Patient/never-was")
    assert of(hidden)["total-count"]["value"] == 0
    blank, nobody = json.loads(hidden.text.replace(other, "Patient/never-was")), absent.json
    for answer in (blank, nobody):
        answer["parameter"][0]["resource"].pop("issued")
    assert blank == nobody
    none = await caller(http, system.tenant, "system/Patient.rs")
    assert (await stats(none, who)).status == 403
    event = (await system.get(f"AuditEvent?patient={who}&_count=1")).json["entry"][0]["resource"]
    assert event["action"] == "E"
