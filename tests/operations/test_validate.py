"""`$validate`: 200 and what is wrong, whatever is sent; `mode` and levels."""

from __future__ import annotations

import httpx

from fhir_server.interactions.publish import publish
from fhir_server.storage.tenants import Tenant
from profiles.psych.artefacts import artefacts
from tests.http.client import Answer, Caller, caller, observation


def severities(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [issue["severity"] for issue in answer.json["issue"]]


def parameters(*pairs: tuple[str, object]) -> dict[str, object]:
    made = []
    for name, value in pairs:
        made.append(
            {"name": name, "resource": value} if isinstance(value, dict) else {"name": name, "valueCode": value}
        )
    return {"resourceType": "Parameters", "parameter": made}


async def test_a_good_resource_alone_and_in_parameters(system: Caller) -> None:
    for body in (
        observation(),
        parameters(("resource", observation())),
        parameters(("mode", "create"), ("resource", observation())),
    ):
        assert severities(await system.post("Observation/$validate", body)) == ["information"]


async def test_everything_wrong_is_listed(system: Caller) -> None:
    body = observation(status="nonsense", subject={"reference": "Practitioner/1"}, nonsense=1)
    for sent in (body, parameters(("resource", body))):
        answer = await system.post("Observation/$validate", sent)
        assert severities(answer).count("error") == 3
        assert {"Observation.status", "Observation.nonsense", "Observation.subject.reference"} == set(
            answer.expressions
        )


async def test_references_in_a_form_that_only_transactions_take(system: Caller) -> None:
    answer = await system.post("Observation/$validate", observation(subject={"reference": "Patient?identifier=1"}))
    assert answer.issue == "reference-conditional"


async def test_against_a_profile_of_ours_and_one_that_somebody_brought(system: Caller, unique: str) -> None:
    await publish(system.tenant, [each for each in artefacts() if each["id"].startswith("heart-rate")])
    url = "https://fhir.clarity.example/StructureDefinition/heart-rate"
    beat = observation(
        code={"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        subject={"reference": "Patient/1"},
        device={"reference": "Device/1"},
        effectiveDateTime="2026-01-05T08:00:00Z",
    )
    beat["valueQuantity"] = {"value": 60, "system": "http://unitsofmeasure.org", "code": "/min"}
    assert severities(await system.post(f"Observation/$validate?profile={url}", beat)) == ["information"]
    sent = parameters(("resource", beat | {"valueQuantity": {"value": 60}}), ("profile", url))
    answer = await system.post("Observation/$validate", sent)
    assert (answer.issue, answer.expressions) == ("profile-code", ["Observation.value"])

    mine = {"resourceType": "StructureDefinition", "url": f"http://x.example/{unique}", "name": "Mine", "status": "active",
            "kind": "resource", "abstract": False, "type": "Observation", "derivation": "constraint",
            "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation",
            "differential": {"element": [{"id": "Observation.issued", "path": "Observation.issued", "min": 1}]}}  # fmt: skip
    assert (await system.post("StructureDefinition", mine)).status == 201
    answer = await system.post(f"Observation/$validate?profile={mine['url']}", beat)
    assert (answer.issue, answer.expressions) == ("profile-required", ["Observation.issued"])
    answer = await system.post(f"Patient/$validate?profile={mine['url']}", {"resourceType": "Patient"})
    assert answer.issue == "type-mismatch"
    deep = [{"id": "Observation.code.text", "path": "Observation.code.text", "min": 1}]
    other = mine | {"url": f"http://x.example/{unique}-deep", "differential": {"element": deep}}
    assert (await system.post("StructureDefinition", other)).status == 201
    assert (await system.post(f"Observation/$validate?profile={other['url']}", beat)).status == 501


async def test_a_profile_is_read_by_who_may_read_it(http: httpx.AsyncClient, tenant: Tenant) -> None:
    blind = await caller(http, tenant, "system/Observation.cruds")
    answer = await blind.post("Observation/$validate?profile=http://x", observation())
    assert answer.status == 403, answer.text


async def test_another_type(system: Caller) -> None:
    assert (await system.post("Patient/$validate", observation())).issue == "type-mismatch"


async def test_modes(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}/$validate"
    assert severities(await system.post(f"{path}?mode=update", made.json)) == ["information"]
    assert (await system.post(f"{path}?mode=update", observation(id="other"))).issue == "id-mismatch"
    assert severities(await system.get(f"{path}?mode=delete")) == ["information"]
    assert (await system.get("Observation/none-such/$validate?mode=delete")).status == 404
    assert (await system.post("Observation/$validate?mode=guess", observation())).status == 400
    assert (await system.post("Observation/$validate?profile=http://x", observation())).status == 422
    assert (await system.get("Observation/$validate")).issue == "parameter-missing"


async def test_broken_json_and_broken_parameters_are_refused(system: Caller) -> None:
    assert (await system.post("Observation/$validate", b"{")).status == 400
    assert (await system.post("Observation/$validate", [])).status == 400
    assert (await system.post("Observation/$validate", {"resourceType": "Parameters", "parameter": 1})).status == 400


async def test_it_needs_the_right_to_write(http: httpx.AsyncClient, system: Caller) -> None:
    reader = await caller(http, system.tenant, "system/Observation.rs")
    assert (await reader.post("Observation/$validate", observation())).status == 403
