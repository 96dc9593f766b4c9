"""Alert rules and overrides over HTTP: what could not be evaluated is 422 with the place; what can is stored."""

from __future__ import annotations

import json as plain
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fhir_server.auth.people.roles import ROLES, may_lend
from fhir_server.auth.tokens import mint
from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant
from profiles.psych.alerting import EXTENSIONS
from profiles.psych.rules import RULES, plan, shipped
from tests.http.client import Caller, caller, entry
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


async def test_who_may_not_decide_stores_drafts_and_changes_nothing_that_is_in_effect(
    http: httpx.AsyncClient, tenant: Tenant, unique: str
) -> None:
    """Every way to write is the same way: create, update, patch, delete, transaction, and Meta that makes it a rule or none."""
    anybody = await caller(http, tenant, "system/PlanDefinition.cruds")
    decides = await caller(http, tenant, "system/PlanDefinition.cruds __alert-rules")

    def right(answer: Any) -> bool:
        """Tell whether it was refused for the right alone."""
        assert answer.status < 300 or (answer.status, answer.issue) == (403, "alert-rule-right"), answer.text
        return bool(answer.status == 403)

    made = rule(unique)
    refused = await anybody.post("PlanDefinition", made)
    assert right(refused)
    assert refused.expressions == ["PlanDefinition.status"]
    draft = await anybody.post("PlanDefinition", made | {"status": "draft"})
    assert not right(draft)
    at = f"PlanDefinition/{draft.id}"
    assert right(await anybody.put(at, draft.json | {"status": "active"}))
    assert not right(await decides.put(at, draft.json | {"status": "active"}))
    current = (await anybody.get(at)).json
    assert right(await anybody.put(at, current | {"status": "retired"}))
    assert right(await anybody.put(at, current | {"status": "draft"}))
    assert right(await anybody.put(at, current | {"title": "Another"}))
    assert right(await anybody.put(at, {k: v for k, v in current.items() if k != "meta"}))
    patch = [{"op": "replace", "path": "/status", "value": "retired"}]
    assert right(await anybody.send("PATCH", at, patch, content_type="application/json-patch+json"))
    assert right(await anybody.delete(at))
    assert right(await anybody.transaction(entry("DELETE", at)))
    assert right(await anybody.transaction(entry("POST", "PlanDefinition", made)))
    profile = {"parameter": [{"name": "meta", "valueMeta": {"profile": current["meta"]["profile"]}}]}
    profile["resourceType"] = "Parameters"  # type: ignore[assignment]
    assert right(await anybody.post(f"{at}/$meta-delete", profile))
    plain = await anybody.post("PlanDefinition", {k: v for k, v in made.items() if k != "meta"})
    assert right(await anybody.post(f"PlanDefinition/{plain.id}/$meta-add", profile))
    assert (await anybody.get(at)).json == current, "nothing has changed"
    assert not right(await decides.put(at, current | {"title": "Another"}))
    assert not right(await decides.delete(at))


async def test_a_person_needs_the_role_and_lends_it(http: httpx.AsyncClient, tenant: Tenant, unique: str) -> None:
    assert {name for name in ROLES if may_lend("__alert-rules", [name])} == {"psychiatrist", "administrator"}
    await (await caller(http, tenant)).put(f"Practitioner/{unique}", {"resourceType": "Practitioner", "id": unique})
    for scope, status in (("user/*.cruds", 403), ("user/*.cruds __alert-rules", 201)):
        app = Caller(http, tenant, await mint(tenant, scope, user=f"Practitioner/{unique}"))
        answer = await app.post("PlanDefinition", rule(unique))
        assert answer.status == status, answer.text
        assert status == 201 or answer.issue == "alert-rule-right"


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


async def test_who_is_treated_does_not_silence_what_is_about_them(
    http: httpx.AsyncClient, tenant: Tenant, unique: str
) -> None:
    client = await _with_rule(http, tenant, unique)
    await client.put(f"Patient/{unique}", {"resourceType": "Patient", "id": unique})
    off = {
        k: v for k, v in basic(unique, Override("", f"https://rules.example/{unique}", True, "x")).items() if k != "id"
    }
    for token in (
        await mint(tenant, "patient/*.cruds", patient=unique),
        await mint(tenant, "user/*.cruds", user=f"Patient/{unique}"),
    ):
        answer = await Caller(http, tenant, token).post("Basic", off)
        assert (answer.status, answer.issue) == (403, "alert-override-person"), answer.text
        plain = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": f"Patient/{unique}"}}
        assert (await Caller(http, tenant, token).post("Basic", plain)).status == 201
    await client.put(f"Practitioner/{unique}", {"resourceType": "Practitioner", "id": unique})
    cared = {"resourceType": "Patient", "id": unique, "generalPractitioner": [{"reference": f"Practitioner/{unique}"}]}
    await client.put(f"Patient/{unique}", cared)
    staff = Caller(http, tenant, await mint(tenant, "user/*.cruds", user=f"Practitioner/{unique}"))
    assert (await staff.post("Basic", off)).status == 201


def test_what_the_rules_write_is_described() -> None:
    assert {name for name, *_ in EXTENSIONS} == {"alert-criterion", "alert-policy", "alert-evidence", "alert-override"}
