"""Batches: each entry stands on its own."""

from __future__ import annotations

from tests.http.client import Caller, caller, entry, observation

PATIENT = {"resourceType": "Patient"}


async def test_good_and_bad_side_by_side(system: Caller, unique: str) -> None:
    answer = await system.transaction(
        entry("POST", "Patient", PATIENT),
        entry("POST", "Patient", {"resourceType": "Patient", "nonsense": 1}),
        entry("POST", "Patient", PATIENT),
        entry("PUT", f"Patient/{unique}", PATIENT | {"id": unique}),
        entry("GET", f"Patient/{unique}"),
        entry("GET", "Patient/none-such"),
        entry("DELETE", f"Patient/{unique}"),
        entry("GET", "Nonsense/1"),
        entry("PATCH", "Patient/1"),
        {"resource": PATIENT},
        entry("POST", "/", {"resourceType": "Bundle", "type": "batch"}),
        kind="batch",
    )
    assert answer.status == 200
    assert answer.json["type"] == "batch-response"
    entries = answer.json["entry"]
    statuses = [each["response"]["status"][:3] for each in entries]
    assert statuses == ["201", "400", "201", "201", "200", "404", "204", "400", "400", "400", "400"]
    assert entries[1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert entries[4]["resource"]["id"] == unique
    for each in (entries[0], entries[2]):
        assert (await system.get(each["response"]["location"])).status == 200


async def test_the_same_target_twice_is_done_in_order(system: Caller, unique: str) -> None:
    bodies = [observation(id=unique, note=[{"text": str(number)}]) for number in range(5)]
    answer = await system.transaction(*(entry("PUT", f"Observation/{unique}", body) for body in bodies), kind="batch")
    assert [each["response"]["etag"] for each in answer.json["entry"]] == [f'W/"{n}"' for n in range(1, 6)]
    assert (await system.get(f"Observation/{unique}")).json["note"] == [{"text": "4"}]


async def test_each_entry_is_authorised_by_itself(system: Caller, http: object) -> None:
    hub = await caller(http, system.tenant, "system/Observation.c")  # type: ignore[arg-type]
    answer = await hub.transaction(
        entry("POST", "Observation", observation()),
        entry("POST", "Patient", PATIENT),
        entry("GET", "Observation/1"),
        kind="batch",
    )
    assert [each["response"]["status"][:3] for each in answer.json["entry"]] == ["201", "403", "403"]


async def test_many_creates_with_one_bad(system: Caller) -> None:
    bodies = [observation(note=[{"text": str(number)}]) for number in range(300)]
    bodies[250] = observation(status="nonsense")
    answer = await system.transaction(*(entry("POST", "Observation", body) for body in bodies), kind="batch")
    statuses = [each["response"]["status"][:3] for each in answer.json["entry"]]
    assert statuses[250] == "422"
    assert statuses[:250] + statuses[251:] == ["201"] * 299
    third = await system.get(answer.json["entry"][3]["response"]["location"])
    assert third.json["note"] == [{"text": "3"}]


async def test_searches_and_operations_inside(system: Caller, unique: str) -> None:
    await system.post("Observation", observation(identifier=[{"system": "urn:x", "value": unique}]))
    answer = await system.transaction(
        entry("GET", f"Observation?identifier=urn:x|{unique}"),
        entry("POST", "Observation/$validate", observation()),
        entry("GET", "Observation/_history?_count=1"),
        kind="batch",
    )
    entries = answer.json["entry"]
    assert [each["response"]["status"][:3] for each in entries] == ["200", "200", "200"]
    assert entries[0]["resource"]["total"] == 1 or len(entries[0]["resource"]["entry"]) == 1
    assert entries[1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert entries[2]["resource"]["type"] == "history"


async def test_the_capability_statement_can_be_asked_for(system: Caller) -> None:
    for kind in ("batch", "transaction"):
        answer = await system.transaction(entry("GET", "metadata"), kind=kind)
        assert answer.json["entry"][0]["response"]["status"] == "200 OK"
        assert answer.json["entry"][0]["resource"]["resourceType"] == "CapabilityStatement"
    answer = await system.transaction(entry("POST", "metadata", PATIENT), kind="batch")
    assert answer.json["entry"][0]["response"]["status"][:3] == "405"


async def test_what_a_posted_search_finds_is_answered(system: Caller, unique: str) -> None:
    made = await system.put(f"Patient/{unique}", PATIENT | {"id": unique})
    answer = await system.transaction(entry("POST", f"Patient/_search?_id={unique}"), kind="batch")
    found = answer.json["entry"][0]["resource"]
    assert [each["resource"] for each in found["entry"]] == [made.json]
