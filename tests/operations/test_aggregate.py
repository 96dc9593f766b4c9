"""`Patient/$aggregate`: for who may, small groups hidden, later on request."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from fhir_server.auth.people.roles import AGGREGATE, unlimited
from fhir_server.context import RequestContext
from fhir_server.errors import Forbidden
from fhir_server.operations import aggregate
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.operations.twin_fixtures import parts, put, value, work

START = date(2031, 3, 1)
QUERY = "start=2031-03&end=2031-03&feature=steps"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


@pytest.fixture
async def everybody(tenant: Tenant, settings: Settings, system: Caller) -> None:
    """Twelve women of forty and five men of thirty, with five days of steps each, in a month that nobody else has."""
    if (await system.get(f"Patient/aggregate-{tenant.name}-0")).status == 200:
        return
    made = []
    for number in range(17):
        name = f"aggregate-{tenant.name}-{number}"
        gender, born = ("female", "1990-05-01") if number < 12 else ("male", "2000")
        made.append({"resourceType": "Patient", "id": name, "gender": gender, "birthDate": born})
        for day in range(5):
            made.append({
                "resourceType": "Observation", "id": f"{name}-{day}", "status": "final",
                "subject": {"reference": f"Patient/{name}"},
                "code": {"coding": [{"system": "http://loinc.org", "code": "41950-7"}]},
                "effectiveDateTime": (START + timedelta(days=day)).isoformat(),
                "valueQuantity": {"value": 4000 + 100 * number, "system": "http://unitsofmeasure.org", "code": "{steps}/d"},
            })  # fmt: skip
    await put(tenant, made)
    await work(tenant, settings)


def figures(answer):
    return [
        {part["name"]: value(cell, part["name"]) for part in cell["part"]}
        for each in parts(answer.json, "figures")
        for cell in each["part"]
        if cell["name"] == "cell"
    ]


async def test_figures_over_everybody(system: Caller, everybody: None) -> None:
    answer = await system.get(f"Patient/$aggregate?{QUERY}")
    assert answer.status == 200, answer.text
    (cell,) = figures(answer)
    assert cell["people"] == 17
    assert cell["median"]["value"] == 4800
    assert set(cell) == {"people", "median", "lowerQuartile", "upperQuartile"}


async def test_small_groups_are_hidden_and_what_would_tell_them(system: Caller, everybody: None) -> None:
    for by, names in (("gender", {"female", "male"}), ("age", {"40-49", "30-39"})):
        total, *groups = figures(await system.get(f"Patient/$aggregate?{QUERY}&by={by}"))
        assert total["people"] == 17
        assert {group[by] for group in groups} == names
        assert all(group["suppressed"] and "people" not in group and "median" not in group for group in groups)


async def test_a_month_without_enough_people_says_nothing(system: Caller, everybody: None) -> None:
    (cell,) = figures(await system.get("Patient/$aggregate?start=2031-04&end=2031-04&feature=steps"))
    assert cell == {"suppressed": True}


HRESCH = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}


def consent(patient: str, scope: str, base: str | None, provision: dict[str, Any]) -> dict[str, Any]:
    policy_ = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": base}]}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": scope}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        **({"policyRule": policy_} if base else {}),
        **({"provision": provision} if provision else {}),
    }


@pytest.mark.parametrize(
    ("scope", "base", "provision", "people"),
    [
        ("patient-privacy", "OPTIN", {"type": "permit", "provision": [{"type": "deny", "purpose": [HRESCH]}]}, 16),
        ("research", None, {"type": "deny"}, 16),
        ("research", "OPTOUT", {}, 16),
        ("research", None, {"type": "permit", "provision": [{"type": "deny", "purpose": [HRESCH]}]}, 16),
        ("research", "HIPAA-NPP", {}, 16),  # not understood
        ("research", "OPTIN", {}, 17),
        ("treatment", "OPTOUT", {}, 17),
    ],
)
async def test_whose_consent_keeps_them_from_research_is_not_among_them(
    system: Caller,
    everybody: None,
    tenant: Tenant,
    scope: str,
    base: str | None,
    provision: dict[str, Any],
    people: int,
) -> None:
    patient = f"aggregate-{tenant.name}-16"
    made = await system.post("Consent", consent(patient, scope, base, provision))
    assert made.status == 201, made.text
    (cell,) = figures(await system.get(f"Patient/$aggregate?{QUERY}"))
    assert cell["people"] == people
    if scope == "research":  # it hides the record from nobody
        assert (await system.get(f"Observation?subject=Patient/{patient}&_summary=count")).json["total"] >= 5
    withdrawn = await system.put(f"Consent/{made.json['id']}", {**made.json, "status": "inactive"})
    assert withdrawn.status == 200
    (cell,) = figures(await system.get(f"Patient/$aggregate?{QUERY}"))
    assert cell["people"] == 17


async def test_who_may(http: httpx.AsyncClient, tenant: Tenant, system: Caller, everybody: None) -> None:
    for scope in ("system/Patient.rs", "system/*.rs?_tag=x", "patient/*.rs"):
        other = await caller(
            http, tenant, scope=scope, patient=f"aggregate-{tenant.name}-0" if "patient/" in scope else None
        )
        answer = await other.get(f"Patient/$aggregate?{QUERY}")
        assert (answer.status, answer.issue) == (403, "aggregate-researchers"), scope
    least = await caller(http, tenant, scope="system/Patient.s system/Observation.s")
    assert (await least.get(f"Patient/$aggregate?{QUERY}")).status == 200


async def test_a_researcher_may_and_others_may_not(tenant: Tenant, everybody: None) -> None:
    from fhir_server.auth.scopes import parse_scope
    from fhir_server.context import ANONYMOUS

    person = replace(ANONYMOUS, account="x", scopes=(parse_scope("user/Measure.rs"),), granted={})
    ctx = RequestContext(tenant, person, "r", tenant.base)
    with pytest.raises(Forbidden):
        await aggregate._check(ctx)
    assert unlimited(frozenset({"researcher"})) == {AGGREGATE}
    await aggregate._check(replace(ctx, principal=replace(person, unlimited=frozenset({AGGREGATE}), granted={})))
    without = replace(person, unlimited=frozenset({AGGREGATE}), scopes=(), granted={})
    with pytest.raises(Forbidden):
        await aggregate._check(replace(ctx, principal=without))


@pytest.mark.parametrize(
    "query",
    [
        "start=2031-03-01&end=2031-03-02&feature=steps",
        "start=2031-04&end=2031-03&feature=steps",
        "start=2029-03&end=2031-03&feature=steps",
        "start=2031-03&end=2031-03&feature=sleep-midpoint",
        "start=2031-03&end=2031-03&feature=steps&by=name",
        "start=2031-13&end=2031-13&feature=steps",
        "start=2031-03&end=2031-03",
    ],
)
async def test_what_is_refused(system: Caller, query: str) -> None:
    assert (await system.get(f"Patient/$aggregate?{query}")).status == 400


async def test_later_on_request(system: Caller) -> None:
    answer = await system.get(f"Patient/$aggregate?{QUERY}", prefer="respond-async")
    assert answer.status == 202
    assert "content-location" in answer.headers
