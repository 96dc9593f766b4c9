"""`$validate`: 200 and what is wrong, whatever is sent; `mode` and levels."""

from __future__ import annotations

import httpx

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
    assert (await system.post("Observation/$validate?profile=http://x", observation())).status == 501
    assert (await system.get("Observation/$validate")).issue == "parameter-missing"


async def test_broken_json_and_broken_parameters_are_refused(system: Caller) -> None:
    assert (await system.post("Observation/$validate", b"{")).status == 400
    assert (await system.post("Observation/$validate", [])).status == 400
    assert (await system.post("Observation/$validate", {"resourceType": "Parameters", "parameter": 1})).status == 400


async def test_it_needs_the_right_to_write(http: httpx.AsyncClient, system: Caller) -> None:
    reader = await caller(http, system.tenant, "system/Observation.rs")
    assert (await reader.post("Observation/$validate", observation())).status == 403
