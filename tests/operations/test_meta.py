"""`$meta`, `$meta-add`, `$meta-delete`: sets that change in place, and who may see and change them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from fhir_server.operations import meta as operation
from fhir_server.search.extract import extract
from fhir_server.storage import reads
from tests.http.client import Answer, Caller, caller, entry, observation

Json = dict[str, Any]
TAG = {"system": "urn:tags", "code": "lost"}
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


def meta(**value: Any) -> Json:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": value}]}


def returned(answer: Answer) -> Json:
    assert answer.status == 200, answer.text
    [parameter] = answer.json["parameter"]
    assert parameter["name"] == "return"
    return parameter.get("valueMeta", {})


async def total(who: Caller, query: str) -> int:
    return (await who.get(f"{query}&_summary=count")).json["total"]


async def test_a_tag_is_added_in_place(system: Caller) -> None:
    made = await system.post("Observation", observation(note=[{"text": "72.50"}], valueQuantity={"value": 1}))
    added = await system.post(f"Observation/{made.id}/$meta-add", meta(tag=[TAG]))
    assert returned(added) == made.json["meta"] | {"tag": [TAG]}
    assert added.headers["etag"] == 'W/"1"'
    now = await system.get(f"Observation/{made.id}")
    assert now.json == made.json | {"meta": made.json["meta"] | {"tag": [TAG]}}
    assert now.headers["last-modified"] == made.headers["last-modified"]
    assert (await system.get(f"Observation/{made.id}/_history")).json["entry"][1:] == []
    assert await total(system, f"Observation?_id={made.id}&_tag=urn:tags|lost") == 1
    taken = await system.post(f"Observation/{made.id}/$meta-delete", meta(tag=[TAG]))
    assert returned(taken) == made.json["meta"]
    assert (await system.get(f"Observation/{made.id}")).text == made.text
    assert await total(system, f"Observation?_id={made.id}&_tag=urn:tags|lost") == 0
    assert await total(system, f"Observation?_id={made.id}&code=8867-4") == 1


async def test_a_tag_that_nobody_ever_wrote_is_found_by_half_of_it(system: Caller, unique: str) -> None:
    """A search by code or system alone asks the dictionary of codings, which has to know it."""
    made = await system.post("Observation", observation())
    await system.post(f"Observation/{made.id}/$meta-add", meta(tag=[{"system": f"urn:{unique}", "code": unique}]))
    for query in (f"_tag={unique}", f"_tag=urn:{unique}|", f"_tag=urn:{unique}|{unique}"):
        assert await total(system, f"Observation?{query}") == 1, query


async def test_sets_have_no_doubles(system: Caller) -> None:
    """A tag or label is told by system and code, version and display aside; a profile by its URL."""
    given = {"tag": [TAG | {"display": "one"}], "security": [LABEL], "profile": ["http://p.example/a"]}
    made = await system.post("Observation", observation(meta=given))
    again = {
        "tag": [TAG | {"version": "2"}],
        "security": [LABEL | {"display": "x"}],
        "profile": ["http://p.example/a", "http://p.example/b"],
    }
    found = returned(await system.post(f"Observation/{made.id}/$meta-add", meta(**again)))
    assert (found["tag"], found["security"]) == (given["tag"], given["security"])
    assert found["profile"] == ["http://p.example/a", "http://p.example/b"]
    other = {
        "tag": [TAG | {"display": "two"}, {"code": "lost"}],
        "profile": ["http://p.example/a", "http://p.example/c"],
    }
    left = returned(await system.post(f"Observation/{made.id}/$meta-delete", meta(**other)))
    assert "tag" not in left
    assert (left["security"], left["profile"]) == ([LABEL], ["http://p.example/b"])
    for query, count in (("_profile=http://p.example/b", 1), ("_profile=http://p.example/a", 0), ("_security=R", 1)):
        assert await total(system, f"Observation?_id={made.id}&{query}") == count


async def test_extensions_of_a_profile_stay_with_it(system: Caller) -> None:
    beside = {"id": "x"}
    given = {"profile": ["http://p.example/a", "http://p.example/b"], "_profile": [None, beside]}
    made = await system.post("Observation", observation(meta=given))
    added = returned(await system.post(f"Observation/{made.id}/$meta-add", meta(profile=["http://p.example/c"])))
    assert (added["profile"][2], added["_profile"]) == ("http://p.example/c", [None, beside, None])
    left = returned(await system.post(f"Observation/{made.id}/$meta-delete", meta(profile=["http://p.example/a"])))
    assert (left["profile"], left["_profile"]) == (["http://p.example/b", "http://p.example/c"], [beside, None])


async def test_versions_in_the_history(system: Caller) -> None:
    made = await system.post("Observation", observation())
    await system.put(f"Observation/{made.id}", made.json | {"status": "amended"})
    old = f"Observation/{made.id}/_history/1"
    assert returned(await system.post(f"{old}/$meta-add", meta(tag=[TAG])))["tag"] == [TAG]
    assert returned(await system.get(f"{old}/$meta"))["tag"] == [TAG]
    assert (await system.get(old)).json["meta"]["tag"] == [TAG]
    assert "tag" not in (await system.get(f"Observation/{made.id}")).json["meta"]
    assert (
        returned(await system.post(f"Observation/{made.id}/_history/2/$meta-add", meta(security=[LABEL])))["versionId"]
        == "2"
    )
    assert (await system.get(f"Observation/{made.id}")).json["meta"]["security"] == [LABEL]
    # What was added in place goes along into the history.
    await system.put(f"Observation/{made.id}", made.json | {"status": "corrected"})
    assert (await system.get(f"Observation/{made.id}/_history/2")).json["meta"]["security"] == [LABEL]
    for path in ("_history/9/$meta", "_history/x/$meta", "_history/1/$validate"):
        assert (await system.get(f"Observation/{made.id}/{path}")).status == 404


async def test_racing_changes_lose_none(system: Caller) -> None:
    made = await system.post("Observation", observation())
    tags = [{"system": "urn:tags", "code": str(number)} for number in range(12)]
    done = await asyncio.gather(*(system.post(f"Observation/{made.id}/$meta-add", meta(tag=[tag])) for tag in tags))
    assert {answer.status for answer in done} == {200}
    found = returned(await system.get(f"Observation/{made.id}/$meta"))
    assert (len(found["tag"]), found["versionId"]) == (12, "1")
    assert await total(system, f"Observation?_id={made.id}&_tag=urn:tags|0&_tag=urn:tags|11") == 1


async def test_a_patch_loses_no_label_that_came_meanwhile(system: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch reads a version, `$meta-add` changes that in place, and only then the patch writes the next one."""
    made = await system.post("Observation", observation())
    read, times = reads.read, 0

    async def overtaken(*args: Any) -> Any:
        nonlocal times
        times += 1
        found = await read(*args)
        if times == 1:
            returned(await system.post(f"Observation/{made.id}/$meta-add", meta(security=[LABEL])))
        return found

    monkeypatch.setattr(reads, "read", overtaken)
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    done = await system.send("PATCH", f"Observation/{made.id}", patch, content_type="application/json-patch+json")
    assert (done.status, times) == (200, 2)
    found = (await system.get(f"Observation/{made.id}")).json
    assert (found["status"], found["meta"]["versionId"], found["meta"]["security"]) == ("amended", "2", [LABEL])


@pytest.mark.parametrize(
    ("body", "status", "issue"),
    [
        (meta(), 400, "shape-empty"),
        (meta(source="urn:x"), 400, "meta-element"),
        (meta(tag=[]), 400, "shape-empty"),
        (meta(nonsense=1), 400, "shape-unknown-element"),
        ({"resourceType": "Parameters"}, 400, "parameter-missing"),
        ({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]}, 400, "parameter-type"),
        (
            {"resourceType": "Parameters", "parameter": [{"name": "other", "valueMeta": {"tag": [TAG]}}]},
            400,
            "parameter-unknown",
        ),
        ({"resourceType": "Parameters", "parameter": meta(tag=[TAG])["parameter"] * 2}, 400, "parameter-repeated"),
        (observation(), 400, "parameters-expected"),
    ],
)
async def test_what_is_no_meta(system: Caller, body: Json, status: int, issue: str) -> None:
    made = await system.post("Observation", observation())
    refused = await system.post(f"Observation/{made.id}/$meta-add", body)
    assert (refused.status, refused.issue) == (status, issue)


async def test_absent_gone_stale_and_wrong_methods(system: Caller, unique: str) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    assert (await system.post(f"{path}/$meta-add", meta(tag=[TAG]), if_match='W/"7"')).status == 412
    assert (await system.get(f"{path}/$meta-add")).status == 405
    assert (await system.post("Observation/$meta-add", meta(tag=[TAG]))).status == 404
    await system.delete(path)
    for at, status in ((path, 410), (f"Observation/{unique}", 404), (f"{path}/_history/2", 410)):
        assert (await system.post(f"{at}/$meta-add", meta(tag=[TAG]))).status == status
        assert (await system.get(f"{at}/$meta")).status == status


async def test_in_a_batch(system: Caller) -> None:
    made = await system.post("Observation", observation())
    done = await system.transaction(
        entry("POST", f"Observation/{made.id}/$meta-add", meta(tag=[TAG])),
        entry("GET", f"Observation/{made.id}/$meta"),
        kind="batch",
    )
    assert [each["resource"]["parameter"][0]["valueMeta"]["tag"] for each in done.json["entry"]] == [[TAG], [TAG]]


# ---- a type, the server ----


async def test_of_a_type_and_of_the_server(system: Caller, http: httpx.AsyncClient, unique: str) -> None:
    tags = [{"system": unique, "code": code} for code in ("b", "a")]
    mine, other = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    for tag, patient in zip(tags, (mine, other), strict=True):
        subject = {"reference": f"Patient/{patient}"}
        await system.post(
            "Observation", observation(subject=subject, meta={"tag": [tag, tags[0]] if patient == mine else [tag]})
        )

    def own(found: Json) -> list[str]:
        return [tag["code"] for tag in found["tag"] if tag.get("system") == unique]

    assert own(returned(await system.get("Observation/$meta"))) == ["a", "b"]
    assert own(returned(await system.post("$meta", None))) == ["a", "b"]
    assert "versionId" not in returned(await system.get("Observation/$meta"))
    who = await caller(http, system.tenant, "patient/*.rs", mine)
    assert own(returned(await who.get("Observation/$meta"))) == ["b"]
    assert own(returned(await who.get("$meta"))) == ["b"]
    assert returned(await who.get("Basic/$meta")) == {}
    writer = await caller(http, system.tenant, "system/Observation.cu")
    for path in ("Observation/$meta", "$meta", f"Observation/{mine}/$meta"):
        assert (await writer.get(path)).status == 403


async def test_too_many_to_look_into(system: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await system.post("Observation", observation())
    monkeypatch.setattr(operation, "MOST", 2)
    refused = await system.get("Observation/$meta")
    assert (refused.status, refused.issue) == (422, "meta-too-costly")


# ---- rights ----


async def test_the_right_is_that_of_an_update(system: Caller, http: httpx.AsyncClient) -> None:
    made = await system.post("Observation", observation())
    for scope, status in (("system/Observation.u", 200), ("system/Observation.rs", 403), ("system/Patient.cruds", 403)):
        who = await caller(http, system.tenant, scope)
        assert (await who.post(f"Observation/{made.id}/$meta-add", meta(tag=[TAG]))).status == status
    trail = await system.post("AuditEvent/x/$meta-add", meta(tag=[TAG]))
    assert trail.status == 404


async def test_hidden_is_absent(system: Caller, http: httpx.AsyncClient, unique: str) -> None:
    mine, other = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    hidden = (await system.post("Observation", observation(subject={"reference": f"Patient/{other}"}))).id
    who = await caller(http, system.tenant, "patient/*.cruds", mine)
    for name in ("$meta-add", "$meta-delete", "_history/1/$meta-add", "$meta", "_history/1/$meta"):
        about, nobody = [
            await who.post(f"Observation/{id_}/{name}", meta(tag=[TAG]) if "-" in name else None)
            for id_ in (hidden, unique)
        ]
        assert (about.status, about.text) == (nobody.status, nobody.text)
        assert about.status == 404
    assert "tag" not in (await system.get(f"Observation/{hidden}")).json["meta"]


async def test_a_filter_on_tags_is_not_left_behind(system: Caller, http: httpx.AsyncClient) -> None:
    made = await system.post("Observation", observation(meta={"tag": [TAG]}))
    who = await caller(http, system.tenant, "system/Observation.cruds?_tag=urn:tags|lost")
    refused = await who.post(f"Observation/{made.id}/$meta-delete", meta(tag=[TAG]))
    assert (refused.status, refused.issue) == (403, "write-outside-scope")


async def test_a_change_is_audited_with_it(system: Caller) -> None:
    made = await system.post("Observation", observation())
    for _ in range(2):
        await system.post(f"Observation/{made.id}/$meta-add", meta(tag=[TAG]))
    trail = (await system.get(f"AuditEvent?entity=Observation/{made.id}&action=E")).json["entry"]
    assert [each["resource"]["outcome"] for each in trail] == ["0", "0"]


def test_what_meta_is_found_by_are_keys_only(tenants: dict[str, Any]) -> None:
    """An amendment replaces keys; were there narrow rows, they would have to be replaced too."""
    full = {"profile": ["http://p.example/a"], "tag": [TAG | {"display": "x"}], "security": [LABEL], "source": "urn:x"}
    bare, rows = (extract(tenants["default"], observation(meta=each)) for each in ({}, full))
    assert set(rows.keys) > set(bare.keys)
    for name in ("dates", "numbers", "strings", "series", "references", "patients"):
        assert getattr(rows, name) == getattr(bare, name), name
