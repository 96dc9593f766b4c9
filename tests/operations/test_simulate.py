"""`PlanDefinition/$simulate`: what a rule would have done, for who sees the records; at once for some, later for everybody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from profiles.psych.rules import RULES, plan
from tests.http.client import Caller, caller
from tests.operations.test_alert_rules import criterion, floating
from tests.operations.test_own_parameters import run_async
from tests.operations.twin_fixtures import demo, parts, put, value, work
from tests.subscriptions import subscribing as given
from tests.workers.rules.made import filled
from workers.rules.override import Override, basic

Json = dict[str, Any]
WINDOW = "start=2026-05-02&end=2026-06-30"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


def rule(name: str, unique: str) -> Json:
    made = floating(plan(next(each for each in RULES if each.name == name)))
    return made | {"id": unique, "url": f"https://rules.example/{unique}", "status": "draft"}


async def patient(tenant: Tenant, settings: Settings, unique: str) -> None:
    """Store a demo patient with a twin, and a year earlier two answers about self-harm."""
    resources = demo(2, unique)
    resources += [filled(unique, datetime(2025, 6, day, 9, tzinfo=UTC), [0] * 8 + [1]) for day in (1, 3)]
    await put(tenant, resources)
    await work(tenant, settings)


async def test_a_stored_rule_over_one_patient(
    http: httpx.AsyncClient, tenant: Tenant, settings: Settings, unique: str
) -> None:
    await patient(tenant, settings, unique)
    client = await caller(http, tenant)
    assert (await client.put(f"PlanDefinition/{unique}", rule("self-harm", unique))).status == 201
    found = await client.get(f"PlanDefinition/{unique}/$simulate?start=2025-06-01&end=2025-06-30&patient={unique}")
    assert found.status == 200, found.text
    assert [each["valueInteger"] for each in parts(found.json, "alerts")] == [1], "the second answer met an open alert"
    [who] = parts(found.json, "patient")
    assert value(who, "reference") == {"reference": f"Patient/{unique}"}
    alert = value(who, "alert")
    assert value(alert, "at").startswith("2025-06-01")
    assert value(alert, "criterion") == "answered"
    [days] = parts(found.json, "patientDays")
    assert days["valueInteger"] == 30
    assert parts(found.json, "alertsPerPatientWeek")[0]["valueDecimal"] == pytest.approx(7 / 30, abs=1e-3)
    off = floating(basic(unique, Override(f"{unique}-off", f"https://rules.example/{unique}", True, "Known.")))
    await put(tenant, [json.decode_trusted(json.encode(off))])
    found = await client.get(f"PlanDefinition/{unique}/$simulate?start=2025-06-01&end=2025-06-30&patient={unique}")
    assert parts(found.json, "alerts")[0]["valueInteger"] == 0
    assert value(parts(found.json, "held")[0], "reason") == "override"


async def test_a_rule_that_is_not_stored_over_everybody_later(
    http: httpx.AsyncClient, tenant: Tenant, settings: Settings, unique: str
) -> None:
    await patient(tenant, settings, unique)
    client = await caller(http, tenant)
    sent = rule("inactivity", unique)
    criterion(sent, "value", valueQuantity={"value": 0, "system": "http://unitsofmeasure.org", "code": "1"})
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "rule", "resource": sent},
        {"name": "start", "valueDate": "2026-05-02"}, {"name": "end", "valueDate": "2026-06-30"},
    ]}  # fmt: skip
    kicked = await client.post("PlanDefinition/$simulate", body)
    assert kicked.status == 202, kicked.text
    await run_async(tenant, kicked, settings)
    answer = (await client.get(kicked.headers["content-location"])).json["entry"][0]["resource"]
    [patients] = parts(answer, "patients")
    assert patients["valueInteger"] >= 1
    listed = [each for who in parts(answer, "patient") for each in who["part"] if each["name"] == "alert"]
    assert parts(answer, "alerts")[0]["valueInteger"] == len(listed)
    assert len(parts(answer, "patient")) == parts(answer, "patientsWithAlerts")[0]["valueInteger"]
    assert parts(answer, "judged")[0]["valueDecimal"] > 0


async def test_who_does_not_see_the_record_learns_nothing_of_it(
    http: httpx.AsyncClient, tenant: Tenant, settings: Settings, unique: str
) -> None:
    await patient(tenant, settings, unique)
    everything = await caller(http, tenant)
    assert (await everything.put(f"PlanDefinition/{unique}", rule("self-harm", unique))).status == 201
    url = f"PlanDefinition/{unique}/$simulate?start=2025-06-01&end=2025-06-30&patient={unique}"
    half = "system/PlanDefinition.rs system/Patient.rs system/Observation.rs?category=vital-signs system/QuestionnaireResponse.rs"
    seen = await (await caller(http, tenant, half)).get(url)
    assert seen.status == 200
    assert parts(seen.json, "patients")[0]["valueInteger"] == 0
    assert not parts(seen.json, "patient")
    none = await (await caller(http, tenant, "system/PlanDefinition.rs system/Patient.rs")).get(url)
    assert none.status in (403, 404)
    blind = await (
        await caller(http, tenant, "system/Patient.rs system/Observation.rs system/QuestionnaireResponse.rs")
    ).get(url)
    assert blind.status == 403


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("start=2026-05-02&end=2026-05-01&patient=x", 400), ("start=yesterday&patient=x", 400), ("start=1800-01-01&patient=x", 400),
        ("patient=nobody-of-this-name", 404), ("days=3", 400), ("start=2000-01-01&end=2026-01-01&patient=x", 400),
    ],
)  # fmt: skip
async def test_what_is_asked_wrongly(
    http: httpx.AsyncClient, tenant: Tenant, unique: str, query: str, status: int
) -> None:
    client = await caller(http, tenant)
    assert (await client.put(f"PlanDefinition/{unique}", rule("inactivity", unique))).status == 201
    assert (await client.get(f"PlanDefinition/{unique}/$simulate?{query}")).status == status


async def test_a_rule_that_cannot_be_evaluated(system: Caller, unique: str) -> None:
    broken = rule("inactivity", unique)
    criterion(broken, "metric", valueCode="mood")
    body = {"resourceType": "Parameters", "parameter": [{"name": "rule", "resource": broken}]}
    assert (await system.post("PlanDefinition/$simulate", body)).status == 422
    assert (await system.post("PlanDefinition/$simulate", {"resourceType": "Parameters"})).status == 400
    other = {"resourceType": "PlanDefinition", "id": unique, "status": "draft"}
    assert (await system.put(f"PlanDefinition/{unique}", other)).status == 201
    assert (await system.get(f"PlanDefinition/{unique}/$simulate?patient=x")).status == 422
