"""Transactions: all or nothing, in the right order, with references that find each other."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.http.client import Caller, caller, entry, observation

PATIENT = {"resourceType": "Patient"}


def urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


async def test_circular_references_and_order_of_answers(system: Caller) -> None:
    one, other = urn(), urn()
    answer = await system.transaction(
        entry("POST", "Observation", observation(derivedFrom=[{"reference": other}]), one),
        entry("POST", "Observation", observation(hasMember=[{"reference": one}]), other),
        entry("POST", "Patient", PATIENT),
    )
    assert answer.status == 200
    assert answer.json["type"] == "transaction-response"
    names = ["/".join(each["response"]["location"].split("/")[:2]) for each in answer.json["entry"]]
    assert [each["response"]["status"] for each in answer.json["entry"]] == ["201 Created"] * 3
    assert [each["response"]["etag"] for each in answer.json["entry"]] == ['W/"1"'] * 3
    assert (await system.get(names[0])).json["derivedFrom"] == [{"reference": names[1]}]
    assert (await system.get(names[1])).json["hasMember"] == [{"reference": names[0]}]


async def test_every_method_in_one(system: Caller, unique: str) -> None:
    old = (await system.post("Patient", PATIENT)).id
    kept = (await system.post("Patient", PATIENT)).id
    answer = await system.transaction(
        entry("GET", f"Patient/{kept}"),
        entry("PUT", f"Patient/{kept}", PATIENT | {"id": kept, "active": True}, f"{system.tenant.base}/Patient/{kept}"),
        entry("DELETE", f"Patient/{old}"),
        entry("PUT", f"Patient/{unique}", PATIENT | {"id": unique}),
        entry("GET", f"Patient/{kept}/_history/1"),
    )
    entries = answer.json["entry"]
    assert [each["response"]["status"] for each in entries] == [
        "200 OK",
        "200 OK",
        "204 No Content",
        "201 Created",
        "200 OK",
    ]
    assert entries[0]["resource"]["active"] is True
    assert "active" not in entries[4]["resource"]
    assert "resource" not in entries[1]
    assert (await system.get(f"Patient/{old}")).status == 410


async def test_return_representation(system: Caller) -> None:
    answer = await system.transaction(entry("POST", "Patient", PATIENT), prefer="return=representation")
    made = answer.json["entry"][0]
    assert made["fullUrl"] == f"{system.tenant.base}/Patient/{made['resource']['id']}"
    told = await system.transaction(entry("POST", "Patient", PATIENT), prefer="return=OperationOutcome")
    assert told.json["entry"][0]["response"]["outcome"]["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("bad", "status", "expression"),
    [
        (entry("POST", "Observation", {"resourceType": "Observation", "status": "final"}), 422, "Bundle.entry[1].resource"),
        (entry("POST", "Observation", observation(nonsense=1)), 400, "Bundle.entry[1].resource"),
        (entry("POST", "Observation", observation(subject={"reference": urn()})), 422, "Bundle.entry[1].resource.subject"),
        (entry("POST", "Observation", observation(subject={"reference": "Patient?identifier=none-such"})), 422, "Bundle.entry[1]"),
        (entry("PUT", "Patient/1", {"resourceType": "Patient", "id": "2"}), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient/none", {"resourceType": "Patient", "id": "none"}, ifMatch='W/"4"'), 412, "Bundle.entry[1].request"),
        (entry("DELETE", "Patient/none-such"), 404, "Bundle.entry[1]"),
        (entry("PATCH", "Patient/1"), 400, "Bundle.entry[1].resource"),
        (entry("GET", "Nonsense/1"), 400, "Bundle.entry[1].request"),
        (entry("GET", "Patient/none-such"), 404, "Bundle.entry[1].request"),
        (entry("GET", "Patient/none-such/_history/1"), 404, "Bundle.entry[1].request"),
        (entry("GET", "Patient?nonsense=1"), 400, "Bundle.entry[1].request"),
        ({"resource": PATIENT}, 422, "Bundle.entry[1].request"),
        (entry("POST", "Patient"), 400, "Bundle.entry[1].resource"),
    ],
)  # fmt: skip
async def test_one_bad_entry_and_nothing_is_written(
    system: Caller, unique: str, bad: dict[str, object], status: int, expression: str
) -> None:
    good = entry("PUT", f"Patient/{unique}", PATIENT | {"id": unique})
    answer = await system.transaction(good, bad)
    assert answer.status == status, answer.text
    assert answer.expressions[0].startswith(expression)
    assert (await system.get(f"Patient/{unique}")).status == 404


async def test_issues_of_all_entries_are_listed(system: Caller) -> None:
    answer = await system.transaction(
        entry("POST", "Observation", observation(status="nonsense")),
        entry("POST", "Patient", PATIENT),
        entry("POST", "Patient", {"resourceType": "Patient", "gender": "?", "birthDate": "tomorrow"}),
    )
    assert {expression.split("]")[0] for expression in answer.expressions} == {"Bundle.entry[0", "Bundle.entry[2"}
    assert "Bundle.entry[0].resource.status" in answer.expressions
    assert "Bundle.entry[2].resource.birthDate" in answer.expressions


async def test_conditional_create_and_references_to_it(system: Caller, unique: str) -> None:
    person = {"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": unique}]}
    criteria = f"identifier=urn:npi|{unique}"
    name = urn()
    bundle = (
        entry("POST", "Practitioner", person, name, ifNoneExist=criteria),
        entry("POST", "Observation", observation(performer=[{"reference": name}])),
        entry("POST", "Observation", observation(performer=[{"reference": f"Practitioner?{criteria}"}])),
    )
    first = (await system.transaction(*bundle)).json["entry"]
    again = (await system.transaction(*bundle)).json["entry"]
    assert [first[0]["response"]["status"], again[0]["response"]["status"]] == ["201 Created", "200 OK"]
    assert first[0]["response"]["location"] == again[0]["response"]["location"]
    made = "/".join(first[0]["response"]["location"].split("/")[:2])
    for each in (first[1], first[2], again[1], again[2]):
        stored = await system.get(each["response"]["location"])
        assert stored.json["performer"] == [{"reference": made}]


async def test_a_conditional_reference_finds_what_the_bundle_creates(system: Caller, unique: str) -> None:
    person = {"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": unique}]}
    answer = await system.transaction(
        entry(
            "POST", "Observation", observation(performer=[{"reference": f"Practitioner?identifier=urn:npi|{unique}"}])
        ),
        entry("POST", "Practitioner", person),
    )
    stored = await system.get(answer.json["entry"][0]["response"]["location"])
    assert answer.json["entry"][1]["response"]["location"].startswith(stored.json["performer"][0]["reference"])


async def test_several_matches_fail_the_whole(system: Caller, unique: str) -> None:
    person = {"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": unique}]}
    for _ in range(2):
        await system.post("Practitioner", person)
    reference = {"reference": f"Practitioner?identifier=urn:npi|{unique}"}
    answer = await system.transaction(entry("POST", "Observation", observation(performer=[reference])))
    assert (answer.status, answer.issue) == (412, "multiple-matches")


async def test_conditional_update_and_delete_inside(system: Caller, unique: str) -> None:
    path = f"Patient?identifier=urn:x|{unique}"
    person = PATIENT | {"identifier": [{"system": "urn:x", "value": unique}]}
    first = await system.transaction(entry("PUT", path, person))
    same = await system.transaction(entry("PUT", path, person))
    changed = await system.transaction(entry("PUT", path, person | {"active": True}))
    gone = await system.transaction(entry("DELETE", path))
    none = await system.transaction(entry("DELETE", path))
    answers = [each.json["entry"][0]["response"] for each in (first, same, changed, gone, none)]
    assert [each["status"][:3] for each in answers] == ["201", "200", "200", "204", "204"]
    assert [each.get("etag") for each in answers] == ['W/"1"', 'W/"1"', 'W/"2"', 'W/"3"', None]


async def test_delete_and_create_anew_in_one(system: Caller, unique: str) -> None:
    criteria = f"identifier=urn:x|{unique}"
    person = PATIENT | {"identifier": [{"system": "urn:x", "value": unique}]}
    old = await system.post("Patient", person, if_none_exist=criteria)
    answer = await system.transaction(
        entry("POST", "Patient", person, ifNoneExist=criteria), entry("DELETE", f"Patient/{old.id}")
    )
    assert [each["response"]["status"][:3] for each in answer.json["entry"]] == ["201", "204"]


async def test_two_entries_for_one_target_are_refused(system: Caller, unique: str) -> None:
    made = await system.post("Patient", PATIENT | {"identifier": [{"system": "urn:x", "value": unique}]})
    answer = await system.transaction(
        entry("PUT", f"Patient?identifier=urn:x|{unique}", PATIENT | {"active": True}),
        entry("PUT", f"Patient/{made.id}", PATIENT | {"id": made.id}),
    )
    assert (answer.status, answer.issue) == (400, "entry-overlap")


async def test_one_criterion_twice_creates_once(system: Caller, unique: str) -> None:
    person = PATIENT | {"identifier": [{"system": "urn:x", "value": unique}]}
    one = entry("POST", "Patient", person, ifNoneExist=f"identifier=urn:x|{unique}")
    entries = (await system.transaction(one, one)).json["entry"]
    assert [each["response"]["status"][:3] for each in entries] == ["201", "200"]
    assert entries[0]["response"]["location"] == entries[1]["response"]["location"]


async def test_racing_transactions_with_one_criterion_make_one(system: Caller, unique: str) -> None:
    person = PATIENT | {"identifier": [{"system": "urn:x", "value": unique}]}
    name = urn()
    bundle = (
        entry("POST", "Patient", person, name, ifNoneExist=f"identifier=urn:x|{unique}"),
        entry("POST", "Observation", observation(subject={"reference": name})),
    )
    answers = await asyncio.gather(*(system.transaction(*bundle) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["entry"][0]["response"]["location"] for answer in answers}) == 1
    assert len({answer.json["entry"][1]["response"]["location"] for answer in answers}) == 12
    subjects = {
        (await system.get(answer.json["entry"][1]["response"]["location"])).json["subject"]["reference"]
        for answer in answers
    }
    assert len(subjects) == 1


async def test_readers_see_all_of_a_transaction_or_nothing(system: Caller, unique: str) -> None:
    ids = [f"{unique}-{number}" for number in range(40)]
    await system.transaction(*(entry("PUT", f"Basic/{id_}", basic(id_, 0)) for id_ in ids))
    seen: list[set[str]] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            page = (await system.get(f"Basic?identifier=urn:x|{unique}&_count=100")).json
            seen.append({each["resource"]["code"]["text"] for each in page["entry"]})
            assert len(page["entry"]) == len(ids)

    readers = [asyncio.create_task(read()) for _ in range(2)]
    for number in range(1, 6):
        answer = await system.transaction(*(entry("PUT", f"Basic/{id_}", basic(id_, number, unique)) for id_ in ids))
        assert answer.status == 200
    done.set()
    await asyncio.gather(*readers)
    assert {len(texts) for texts in seen} == {1}


def basic(id_: str, number: int, unique: str | None = None) -> dict[str, object]:
    identifier = [{"system": "urn:x", "value": unique or id_.split("-")[0]}]
    return {"resourceType": "Basic", "id": id_, "identifier": identifier, "code": {"text": str(number)}}


async def test_narrative_links_and_own_base(system: Caller) -> None:
    name = urn()
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{name}">p</a></div>'
    subject = {"reference": f"{system.tenant.base}/Patient/elsewhere"}
    answer = await system.transaction(
        entry("POST", "Patient", PATIENT, name),
        entry("POST", "Observation", observation(text={"status": "generated", "div": div}, subject=subject)),
    )
    patient, made = (each["response"]["location"] for each in answer.json["entry"])
    stored = (await system.get(made)).json
    assert f'href="{"/".join(patient.split("/")[:2])}"' in stored["text"]["div"]
    assert stored["subject"] == {"reference": "Patient/elsewhere"}


async def test_a_forbidden_entry_refuses_all(system: Caller, http: object, unique: str) -> None:
    hub = await caller(http, system.tenant, "system/Observation.cruds")  # type: ignore[arg-type]
    answer = await hub.transaction(
        entry("PUT", f"Observation/{unique}", observation(id=unique)), entry("POST", "Patient", PATIENT)
    )
    assert answer.status == 403
    reading = await hub.transaction(
        entry("PUT", f"Observation/{unique}", observation(id=unique)), entry("GET", "Patient/1")
    )
    assert reading.status == 403
    assert (await system.get(f"Observation/{unique}")).status == 404


async def test_an_empty_bundle_is_answered(system: Caller) -> None:
    answer = await system.post("", {"resourceType": "Bundle", "type": "transaction"})
    assert (answer.status, answer.json["type"]) == (200, "transaction-response")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Bundle", "type": "collection"}, 422),
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "Bundle"}, 422),
        ({"resourceType": "Bundle", "type": "transaction", "nonsense": 1}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [1]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": 1}]}, 400),
        ([], 400),
    ],
)
async def test_what_is_no_bundle_to_perform(system: Caller, body: object, status: int) -> None:
    answer = await system.post("", body)
    assert answer.status == status, answer.text
    assert answer.json["resourceType"] == "OperationOutcome"


async def test_reads_know_what_the_transaction_makes_and_takes_away(system: Caller, unique: str) -> None:
    path = f"Patient/{unique}"
    made = await system.transaction(entry("GET", path), entry("PUT", path, PATIENT | {"id": unique}))
    assert [each["response"]["status"][:3] for each in made.json["entry"]] == ["200", "201"]
    gone = await system.transaction(entry("GET", path), entry("DELETE", path))
    assert gone.status == 410
    assert (await system.get(path)).status == 200


async def test_a_kept_bundle_stays_as_it_was_sent(system: Caller) -> None:
    """Its references are resolved by the fullUrls beside them, not by those of the transaction that carries it."""
    inner, elsewhere = urn(), urn()
    references = [inner, elsewhere, "Practitioner?identifier=none-such", f"{system.tenant.base}/Practitioner/1"]
    held = [
        {"fullUrl": inner, "resource": {"resourceType": "Practitioner"}},
        {"resource": observation(performer=[{"reference": reference} for reference in references])},
    ]
    kept = {"resourceType": "Bundle", "type": "collection", "entry": held}
    answer = await system.transaction(
        entry("POST", "Practitioner", {"resourceType": "Practitioner"}, inner), entry("POST", "Bundle", kept)
    )
    stored = await system.get(answer.json["entry"][1]["response"]["location"])
    assert stored.json["entry"] == held


async def test_two_updates_that_would_create_the_same_are_refused(system: Caller, unique: str) -> None:
    """Neither is dropped, and nobody is told to try again what can never succeed."""
    criteria = f"identifier=urn:npi|{unique}"
    person = {"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": unique}]}
    second = entry("PUT", f"Practitioner?{criteria}", person | {"active": True})
    for first in (
        entry("PUT", f"Practitioner?{criteria}", person),
        entry("POST", "Practitioner", person, ifNoneExist=criteria),
    ):
        answer = await system.transaction(first, second)
        assert (answer.status, answer.expressions) == (400, ["Bundle.entry[1].request.url"])
    assert (await system.get(f"Practitioner?{criteria}")).json["total"] == 0


async def test_references_to_versions_stay_references_to_versions(system: Caller, unique: str) -> None:
    """R4 `http.html#trules`: whatever version a client wrote, it becomes the one that the transaction makes or finds."""
    there = await system.post("Patient", PATIENT | {"identifier": [{"system": "urn:v", "value": unique}]})
    same = await system.put(f"Patient/{unique}", PATIENT | {"id": unique})
    urns = [urn() for _ in range(4)]
    focus = [{"reference": f"{each}/_history/{number}"} for number, each in enumerate(urns)]
    done = await system.transaction(
        entry("POST", "Patient", PATIENT, full_url=urns[0]),
        entry("PUT", f"Patient/{unique}", same.json, full_url=urns[1]),
        entry("POST", "Patient", PATIENT, full_url=urns[2], ifNoneExist=f"identifier=urn:v|{unique}"),
        entry("POST", "Observation", observation(focus=focus[:3]), full_url=urns[3]),
    )
    assert done.status == 200, done.text
    made, put, found, last = [each["response"]["location"] for each in done.json["entry"]]
    assert put == f"Patient/{unique}/_history/2"
    assert found == f"Patient/{there.id}/_history/1"
    assert [each["reference"] for each in (await system.get(last)).json["focus"]] == [made, put, found]
    for name in (made, put, found):
        assert (await system.get(name)).status == 200
