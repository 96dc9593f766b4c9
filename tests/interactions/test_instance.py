"""create, read, vread, update, delete and history of one resource, as R4 `http.html` says, for both tenants."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.http.client import Caller, caller, entry, observation


async def test_create_then_read(system: Caller) -> None:
    made = await system.post("Observation", observation(id="mine", meta={"versionId": "9", "tag": [{"code": "t"}]}))
    assert made.status == 201
    assert made.headers["etag"] == 'W/"1"'
    assert made.headers["location"] == f"{system.tenant.base}/Observation/{made.id}/_history/1"
    assert made.id != "mine"
    assert made.json["meta"]["versionId"] == "1"
    assert made.json["meta"]["tag"] == [{"code": "t"}]
    read = await system.get(f"Observation/{made.id}")
    assert (read.status, read.text, read.headers["etag"]) == (200, made.text, 'W/"1"')
    assert read.headers["last-modified"].endswith("GMT")
    assert read.headers["content-type"] == "application/fhir+json;charset=utf-8"
    assert read.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("prefer", "kind"), [("minimal", None), ("representation", "Basic"), ("OperationOutcome", "OperationOutcome")]
)
async def test_prefer_return(system: Caller, prefer: str, kind: str | None) -> None:
    made = await system.post("Basic", {"resourceType": "Basic", "code": {"text": "x"}}, prefer=f"return={prefer}")
    assert made.status == 201
    assert (made.json["resourceType"] if made.text else None) == kind
    assert made.headers["location"]


async def test_decimals_come_back_as_written(system: Caller) -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":72.50}}'
    made = await system.post("Observation", body)
    assert '"value":72.50' in (await system.get(f"Observation/{made.id}")).text


async def test_update_makes_versions_and_an_equal_one_none(system: Caller) -> None:
    made = await system.post("Observation", observation())
    changed = made.json | {"status": "amended"}
    second = await system.put(f"Observation/{made.id}", changed)
    assert (second.status, second.headers["etag"]) == (200, 'W/"2"')
    assert second.headers["content-location"].endswith("/_history/2")
    again = await system.put(f"Observation/{made.id}", changed)
    assert (again.status, again.headers["etag"]) == (200, 'W/"2"')
    history = (await system.get(f"Observation/{made.id}/_history")).json
    assert [each["response"]["etag"] for each in history["entry"]] == ['W/"2"', 'W/"1"']


@pytest.mark.smart(123)
async def test_update_as_create_keeps_the_id(system: Caller, unique: str) -> None:
    made = await system.put(f"Observation/{unique}", observation(id=unique))
    assert (made.status, made.id, made.headers["etag"]) == (201, unique, 'W/"1"')
    assert (await system.get(f"Observation/{unique}")).status == 200


async def test_ids_must_agree(system: Caller, unique: str) -> None:
    for body in (observation(), observation(id="other")):
        refused = await system.put(f"Observation/{unique}", body)
        assert (refused.status, refused.issue) == (400, "id-mismatch")


async def test_if_match(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    stale = await system.put(path, made.json | {"status": "amended"}, if_match='W/"7"')
    assert (stale.status, stale.issue) == (412, "if-match")
    assert (await system.put(path, made.json | {"status": "amended"}, if_match='W/"1"')).status == 200
    assert (await system.delete(path, if_match='W/"1"')).status == 412
    assert (await system.delete(path, if_match='W/"2"')).status == 204
    assert (await system.put("Observation/never-was", observation(id="never-was"), if_match="*")).status == 412


async def test_if_none_match_star_creates_only(system: Caller, unique: str) -> None:
    path = f"Observation/{unique}"
    assert (await system.put(path, observation(id=unique), if_none_match="*")).status == 201
    refused = await system.put(path, observation(id=unique, status="amended"), if_none_match="*")
    assert (refused.status, refused.issue) == (412, "if-none-match")


async def test_conditional_read(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    same = await system.get(path, if_none_match='W/"1"')
    assert (same.status, same.text, same.headers["etag"]) == (304, "", 'W/"1"')
    assert (await system.get(path, if_none_match='W/"2"')).status == 200
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert (await system.get(path, if_modified_since=later)).status == 304
    assert (await system.get(path, if_modified_since="Mon, 01 Jan 2001 00:00:00 GMT")).status == 200
    head = await system.send("HEAD", path)
    assert (head.status, head.text) == (200, "")
    assert int(head.headers["content-length"]) == len(made.text.encode())


async def test_delete_and_what_remains(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    gone = await system.delete(path)
    assert (gone.status, gone.headers["etag"]) == (204, 'W/"2"')
    read = await system.get(path)
    assert (read.status, read.issue) == (410, "deleted")
    assert (await system.get(f"{path}/_history/1")).status == 200
    assert (await system.get(f"{path}/_history/2")).status == 410
    assert (await system.delete(path)).status == 204
    back = await system.put(path, observation(id=made.id))
    assert (back.status, back.headers["etag"]) == (201, 'W/"3"')
    history = (await system.get(f"{path}/_history")).json
    assert [each["request"]["method"] for each in history["entry"]] == ["PUT", "DELETE", "POST"]
    assert "resource" not in history["entry"][1]


async def test_absent_is_404_everywhere(system: Caller, unique: str) -> None:
    path = f"Observation/{unique}"
    for method, url in (("GET", path), ("GET", f"{path}/_history/1"), ("GET", f"{path}/_history"), ("DELETE", path)):
        answer = await system.send(method, url)
        assert (answer.status, answer.issue) == (404, "not-found"), url


async def test_versions_that_are_none(system: Caller) -> None:
    made = await system.post("Observation", observation())
    for version in ("0", "2", "x", "99999999999999999999"):
        assert (await system.get(f"Observation/{made.id}/_history/{version}")).status == 404


async def test_history_pages_and_since(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    for status in ("amended", "corrected", "final", "amended"):
        await system.put(path, made.json | {"status": status})
    page = (await system.get(f"{path}/_history?_count=2")).json
    seen = [each["response"]["etag"] for each in page["entry"]]
    while follow := [link["url"] for link in page["link"] if link["relation"] == "next"]:
        page = (await system.get(follow[0])).json
        seen += [each["response"]["etag"] for each in page["entry"]]
    assert seen == [f'W/"{version}"' for version in (5, 4, 3, 2, 1)]
    instant = (await system.get(f"{path}/_history/3")).json["meta"]["lastUpdated"]
    since = (await system.get(f"{path}/_history?_since={instant.replace('+', '%2B')}")).json
    assert len(since["entry"]) == 3
    assert (await system.get(f"{path}/_history?_since=nonsense")).status == 400
    assert (await system.get(f"{path}/_history?_count=-1")).status == 400
    assert (await system.get(f"{path}/_history?_count=1&_count=2")).status == 400
    assert (await system.get(f"{path}/_history?_cursor=AAAA")).issue == "cursor-invalid"


async def test_type_and_system_history(system: Caller) -> None:
    made = await system.post("Slot", {"resourceType": "Slot", "schedule": {"reference": "Schedule/1"}, "status": "free",
                                      "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"})  # fmt: skip
    for path in ("Slot/_history?_count=1", "_history?_count=1"):
        newest = (await system.get(path)).json
        assert newest["type"] == "history"
        assert newest["entry"][0]["fullUrl"] == f"{system.tenant.base}/Slot/{made.id}"
        assert newest["entry"][0]["response"]["status"] == "201"


async def test_views(system: Caller) -> None:
    body = observation(
        note=[{"text": "long"}],
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    )
    made = await system.post("Observation", body)
    path = f"Observation/{made.id}"
    for query, there, absent in (
        ("_summary=true", {"status", "code"}, {"note", "text"}),
        ("_summary=text", {"status", "code", "text"}, {"note"}),
        ("_summary=data", {"status", "note"}, {"text"}),
        ("_elements=note", {"status", "code", "note"}, {"text"}),
    ):
        seen = (await system.get(f"{path}?{query}")).json
        assert there <= seen.keys(), query
        assert not absent & seen.keys(), query
        assert seen["meta"]["tag"][-1]["code"] == "SUBSETTED"
    assert (await system.get(f"{path}?_summary=false")).text == made.text
    assert (await system.get(f"{path}?_summary=some")).status == 400


async def test_racing_updates_lose_none(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    bodies = [made.json | {"note": [{"text": str(number)}]} for number in range(20)]
    answers = await asyncio.gather(*(system.put(path, body) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    history = (await system.get(f"{path}/_history?_count=100")).json
    texts = {each["resource"]["note"][0]["text"] for each in history["entry"][:-1]}
    assert texts == {str(number) for number in range(20)}
    assert [each["response"]["etag"] for each in history["entry"]] == [f'W/"{n}"' for n in range(21, 0, -1)]


async def test_with_if_match_only_one_of_many_wins(system: Caller) -> None:
    made = await system.post("Observation", observation())
    bodies = [made.json | {"note": [{"text": str(number)}]} for number in range(10)]
    answers = await asyncio.gather(*(system.put(f"Observation/{made.id}", body, if_match='W/"1"') for body in bodies))
    assert sorted(answer.status for answer in answers) == [200] + [412] * 9


async def test_a_posted_subscription_waits_to_be_activated(system: Caller) -> None:
    body = {"resourceType": "Subscription", "status": "active", "reason": "x", "criteria": "Observation?code=1",
            "channel": {"type": "rest-hook", "endpoint": "https://hook.test/"}}  # fmt: skip
    made = await system.post("Subscription", body)
    assert (made.status, made.json["status"]) == (201, "requested")
    again = await system.put(f"Subscription/{made.id}", made.json | {"status": "active"})
    assert (again.status, again.headers["etag"]) == (200, 'W/"1"')


async def test_a_patient_scope_sees_and_writes_only_its_own(system: Caller, http: object) -> None:
    mine, other = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    theirs = await system.post("Observation", observation(subject={"reference": f"Patient/{other}"}))
    person = await caller(http, system.tenant, "patient/*.cruds", mine)  # type: ignore[arg-type]
    own = await person.post("Observation", observation(subject={"reference": f"Patient/{mine}"}))
    assert own.status == 201
    hidden, absent = [await person.get(f"Observation/{id_}") for id_ in (theirs.id, "never-was")]
    assert (hidden.status, absent.status) == (404, 404)
    assert hidden.text == absent.text
    for body in (observation(), observation(subject={"reference": f"Patient/{other}"})):
        assert (await person.post("Observation", body)).status == 403
    stolen = await person.put(
        f"Observation/{theirs.id}", observation(id=theirs.id, subject={"reference": f"Patient/{mine}"})
    )
    fresh = await person.put(
        "Observation/never-was", observation(id="never-was", subject={"reference": f"Patient/{mine}"})
    )
    assert (stolen.status, fresh.status) == (404, 404)
    assert stolen.text == fresh.text
    moved = await person.put(f"Observation/{own.id}", own.json | {"subject": {"reference": f"Patient/{other}"}})
    assert moved.status == 403
    assert (await person.delete(f"Observation/{theirs.id}")).status == 404
    assert (await person.get("Practitioner/1")).status in (403, 404)


async def test_several_etags(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    assert (await system.get(path, if_none_match='W/"7", "1"')).status == 304
    assert (await system.get(path, if_none_match='W/"7","8"')).status == 200
    assert (await system.put(path, made.json | {"status": "amended"}, if_match='W/"7", W/"8"')).status == 412
    assert (await system.put(path, made.json | {"status": "amended"}, if_match='W/"7", W/"1"')).status == 200
    assert (await system.get(path, if_none_match='W/"2", x')).status == 400


async def test_a_version_without_quotes_is_read_but_never_written_by(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    assert (await system.get(path, if_none_match="1")).status == 304
    assert (await system.get(path, if_none_match="2")).status == 200
    assert (await system.put(path, made.json, if_match="1")).status == 400


async def test_writes_take_no_parameters(system: Caller) -> None:
    """`POST Type?criteria` is no conditional create in R4: taken for one and ignored, it would make duplicates."""
    made = await system.post("Observation?_format=json", observation())
    assert made.status == 201
    assert (await system.post("Observation?identifier=urn:x|1", observation())).status == 400
    assert (await system.put(f"Observation/{made.id}?status=final", made.json)).status == 400
    assert (await system.delete(f"Observation/{made.id}?_cascade=delete")).status == 400
    entries = [
        entry("POST", "Observation?identifier=urn:x|1", observation()),
        entry("DELETE", f"Observation/{made.id}?_cascade=delete"),
    ]
    refused = await system.transaction(*entries)
    assert (refused.status, refused.expressions) == (400, [f"Bundle.entry[{n}].request.url" for n in (0, 1)])
    each = (await system.transaction(*entries, kind="batch")).json["entry"]
    assert [one["response"]["status"][:3] for one in each] == ["400", "400"]


async def test_history_at_a_time_has_what_was_current_then(system: Caller) -> None:
    made = (await system.post("Observation", observation())).json
    path = f"Observation/{made['id']}"
    for number in (2, 3):
        await system.put(path, {**made, "note": [{"text": str(number)}]})
    await system.delete(path)
    entries = (await system.get(f"{path}/_history")).json["entry"]
    moments = [entry["response"]["lastModified"].replace("+", "%2B") for entry in reversed(entries)]

    async def at(text: str) -> list[str]:
        found = (await system.get(f"{path}/_history?_at={text}")).json.get("entry", [])
        return [entry["response"]["etag"] for entry in found]

    # An instant in milliseconds is the whole of its millisecond; what was current when it began is current in it.
    for version, moment in enumerate(moments, 1):
        assert f'W/"{version}"' in await at(moment)
    assert await at(moments[0][:4]) == ['W/"4"', 'W/"3"', 'W/"2"', 'W/"1"']
    assert await at("2001") == []
    assert await at("2999-01-01") == ['W/"4"']
    paged = (await system.get(f"{path}/_history?_at={moments[0][:4]}&_count=3")).json
    following = next(link["url"] for link in paged["link"] if link["relation"] == "next")
    assert [e["response"]["etag"] for e in (await system.get(following)).json["entry"]] == ['W/"1"']
    assert (await system.get(following.replace("_at=", "_since="))).status == 400
    assert (await system.get(f"{path}/_history?_at=nonsense")).status == 400
