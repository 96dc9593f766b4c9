"""Alert rules and overrides over HTTP: what could not be evaluated is 422 with the place; what can is stored."""

from __future__ import annotations

import json as plain
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant
from profiles.psych.alerting import EXTENSIONS
from profiles.psych.rules import RULES, plan, shipped
from tests.http.client import Caller, caller
from workers.rules.override import Override, basic

Json = dict[str, Any]
SLEEP = next(each for each in RULES if each.name == "sleep-loss")


def floating(resource: Json) -> Json:
    """Return a resource with numbers that the client can send."""
    made: Json = plain.loads(json.encode(resource))
    return made


def rule(unique: str) -> Json:
    made = floating(plan(SLEEP))
    return {k: v for k, v in made.items() if k != "id"} | {"url": f"https://rules.example/{unique}"}


def criterion(resource: Json, part: str, **value: Any) -> None:
    """Replace a part of the first criterion."""
    parts = resource["action"][0]["extension"][0]["extension"]
    parts[:] = [each for each in parts if each["url"] != part]
    if value:
        parts.append({"url": part, **value})


def condition(text: str) -> Callable[[Json], None]:
    def change(resource: Json) -> None:
        resource["action"][0]["condition"][0]["expression"]["expression"] = text

    return change


MINUTES = {"value": 300, "system": "http://unitsofmeasure.org", "code": "min"}
EXPRESSION = "PlanDefinition.action[0].condition[0].expression.expression"
WRONG: dict[str, tuple[Callable[[Json], None], str, str]] = {
    "unknown metric": (
        lambda r: criterion(r, "metric", valueCode="mood"), "alert-rule-metric", "PlanDefinition.action[0].extension[0]"),
    "unit of another dimension": (
        lambda r: criterion(r, "value", valueQuantity=MINUTES), "alert-rule-unit", "PlanDefinition.action[0].extension[0]"),
    "unit that is no code": (
        lambda r: criterion(r, "value", valueQuantity={"value": 1, "unit": "spoons"}), "alert-rule-unit",
        "PlanDefinition.action[0].extension[0]"),
    "days not a number": (
        lambda r: criterion(r, "days", valueQuantity=MINUTES), "alert-rule-days", "PlanDefinition.action[0].extension[0]"),
    "window too long": (
        lambda r: criterion(r, "window", valueDuration={"value": 2, "system": "http://unitsofmeasure.org", "code": "a"}),
        "alert-rule-duration", "PlanDefinition.action[0].extension[0]"),
    "does not compile": (condition("%short and ("), "alert-rule-expression", EXPRESSION),
    "no such criterion": (condition("%long"), "alert-rule-expression", EXPRESSION),
    "missing would satisfy": (condition("%short.empty()"), "alert-rule-expression", EXPRESSION),
    "a number as a condition": (condition("3"), "alert-rule-expression", EXPRESSION),
    "another language": (
        lambda r: r["action"][0]["condition"][0]["expression"].update(language="text/cql"), "alert-rule-language",
        "PlanDefinition.action[0].condition[0].expression"),
    "no priority": (lambda r: r["action"][0].pop("priority"), "alert-rule-priority", "PlanDefinition.action[0].priority"),
    "no action": (lambda r: r.pop("action"), "alert-rule-action", "PlanDefinition.action"),
    "a trigger that wakes nothing": (
        lambda r: r["action"][0]["trigger"][0].update(type="data-accessed"), "alert-rule-trigger",
        "PlanDefinition.action[0].trigger[0].type"),
    "half of quiet hours": (
        lambda r: r["action"][0]["extension"][-1]["extension"].pop(),
        "alert-rule-quiet", "PlanDefinition.action[0].extension[5]"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_be_evaluated_is_refused(
    http: httpx.AsyncClient, tenant: Tenant, unique: str, name: str
) -> None:
    change, id_, where = WRONG[name]
    resource = rule(unique)
    change(resource)
    answer = await (await caller(http, tenant)).post("PlanDefinition", resource)
    assert answer.status == 422, answer.text
    issues = answer.json["issue"]
    assert [(i["details"]["coding"][0]["code"], i["expression"]) for i in issues][:1] == [(id_, [where])]


async def test_every_shipped_rule_is_accepted_and_a_later_mistake_is_not(
    http: httpx.AsyncClient, tenant: Tenant, unique: str
) -> None:
    client = await caller(http, tenant)
    for each in shipped():
        made = floating(each) | {"url": f"{each['url']}-{unique}", "id": f"{unique}-{each['id'][:40]}"}
        answer = await client.put(f"PlanDefinition/{made['id']}", made)
        assert answer.status == 201, answer.text
        broken = answer.json
        condition("%nothing")(broken)
        assert (await client.put(f"PlanDefinition/{made['id']}", broken)).status == 422
        assert (await client.put(f"PlanDefinition/{made['id']}", broken | {"status": "retired"})).status == 200


async def test_a_plan_that_is_no_alert_rule_is_left_alone(http: httpx.AsyncClient, tenant: Tenant) -> None:
    made = {"resourceType": "PlanDefinition", "status": "active", "title": "Visits"}
    assert (await (await caller(http, tenant)).post("PlanDefinition", made)).status == 201


async def _with_rule(http: httpx.AsyncClient, tenant: Tenant, unique: str) -> Caller:
    client = await caller(http, tenant)
    assert (await client.post("PlanDefinition", rule(unique))).status == 201
    return client


async def test_an_override_needs_rule_reason_and_a_limit_that_fits(
    http: httpx.AsyncClient, tenant: Tenant, unique: str
) -> None:
    client = await _with_rule(http, tenant, unique)
    url, fits = f"https://rules.example/{unique}", {"value": -4, "system": "http://unitsofmeasure.org", "code": "1"}
    good = Override("", url, False, "Sleeps badly before exams.", None, {"short": fits})

    async def refused(override: Override) -> list[str]:
        resource = {k: v for k, v in basic(unique, override).items() if k != "id"}
        answer = await client.post("Basic", resource)
        if answer.status == 201:
            return []
        assert answer.status == 422, answer.text
        return [i["details"]["coding"][0]["code"] for i in answer.json["issue"]]

    assert await refused(good) == []
    assert await refused(Override("", f"{url}-other", False, "x", None, {"short": fits})) == ["alert-override-rule"]
    assert await refused(Override("", url, False, " ", None, {"short": fits})) == ["alert-override-reason"]
    assert await refused(Override("", url, True, "x", None, {"short": fits})) == ["alert-override-limit"]
    assert await refused(Override("", url, False, "x")) == ["alert-override-limit"]
    assert await refused(Override("", url, False, "x", None, {"long": fits})) == ["alert-override-limit"]
    assert await refused(Override("", url, False, "x", None, {"short": MINUTES})) == ["alert-override-limit"]
    about_nobody = basic(unique, good)
    del about_nobody["subject"], about_nobody["id"]
    assert (await client.post("Basic", about_nobody)).status == 422


def test_what_the_rules_write_is_described() -> None:
    assert {name for name, *_ in EXTENSIONS} == {"alert-criterion", "alert-policy", "alert-evidence", "alert-override"}
