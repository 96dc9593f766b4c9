"""`X-Provenance`: one Provenance of the very version that was written, or nothing at all."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.http.client import Answer, Caller, caller, entry, observation

Json = dict[str, Any]
WHO = {"who": {"display": "somebody"}}
JSON_PATCH = "application/json-patch+json"


def header(**more: Any) -> str:
    return json.dumps({"resourceType": "Provenance", "recorded": "2026-01-01T00:00:00Z", "agent": [WHO], **more})


async def of(who: Caller, name: str) -> list[list[str]]:
    """Return the targets of each Provenance of a resource, oldest first."""
    found = (await who.get(f"Provenance?target={name}&_sort=_id")).json.get("entry", [])
    found.sort(key=lambda each: each["resource"]["meta"]["lastUpdated"])
    return [[target["reference"] for target in each["resource"]["target"]] for each in found]


async def test_every_change_is_explained(system: Caller, unique: str) -> None:
    identifier = [{"system": "urn:x", "value": unique}]
    made = await system.post("Observation", observation(identifier=identifier), x_provenance=header())
    assert made.status == 201
    name = f"Observation/{made.id}"
    answers: list[Answer] = [
        await system.put(name, made.json | {"status": "amended"}, x_provenance=header()),
        await system.put(
            f"Observation?identifier=urn:x|{unique}", observation(identifier=identifier), x_provenance=header()
        ),
        await system.send(
            "PATCH",
            name,
            [{"op": "replace", "path": "/status", "value": "amended"}],
            content_type=JSON_PATCH,
            x_provenance=header(),
        ),
        await system.send("DELETE", name, x_provenance=header()),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 204]
    assert await of(system, name) == [[f"{name}/_history/{version}"] for version in range(1, 6)]


async def test_conditional_create_and_upsert(system: Caller, unique: str) -> None:
    identifier = [{"system": "urn:x", "value": unique}]
    criteria = f"identifier=urn:x|{unique}"
    made = await system.post("Basic", {"resourceType": "Basic", "code": {"text": "x"}, "identifier": identifier},
                             if_none_exist=criteria, x_provenance=header())  # fmt: skip
    assert await of(system, f"Basic/{made.id}") == [[f"Basic/{made.id}/_history/1"]]
    # Nothing is written, so there is nothing to explain.
    again = await system.post(
        "Basic", {"resourceType": "Basic", "code": {"text": "x"}}, if_none_exist=criteria, x_provenance=header()
    )
    same = await system.put(f"Basic/{made.id}", made.json, x_provenance=header())
    assert (again.status, same.status) == (200, 200)
    assert len(await of(system, f"Basic/{made.id}")) == 1
    new = await system.put(
        f"Basic/{unique}", {"resourceType": "Basic", "id": unique, "code": {"text": "x"}}, x_provenance=header()
    )
    assert new.status == 201
    assert await of(system, f"Basic/{unique}") == [[f"Basic/{unique}/_history/1"]]


async def test_targets_that_are_given_are_completed(system: Caller, unique: str) -> None:
    name = f"Basic/{unique}"
    given = [
        {"reference": name},
        {"reference": f"{system.tenant.base}/{name}/_history/9"},
        {"reference": "Basic/other"},
    ]
    sent = header(target=given, id="mine")
    await system.put(name, {"resourceType": "Basic", "id": unique, "code": {"text": "x"}}, x_provenance=sent)
    assert await of(system, name) == [["Basic/other", f"{name}/_history/1"]]
    assert (await system.get("Provenance/mine")).status == 404


async def test_a_transaction_is_explained_as_a_whole(system: Caller, unique: str) -> None:
    old = await system.post("Observation", observation())
    urn = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000002"
    done = await system.transaction(
        entry("POST", "Practitioner", {"resourceType": "Practitioner"}, full_url=urn),
        entry("PUT", f"Observation/{old.id}", observation(id=old.id, status="amended")),
        entry("GET", f"Observation/{old.id}"),
        x_provenance=header(agent=[{"who": {"reference": urn}}]),
    )
    assert done.status == 200, done.text
    practitioner = done.json["entry"][0]["response"]["location"]
    assert await of(system, f"Observation/{old.id}") == [[practitioner, f"Observation/{old.id}/_history/2"]]
    kept = (await system.get(f"Provenance?target=Observation/{old.id}")).json["entry"][0]["resource"]
    assert practitioner.startswith(kept["agent"][0]["who"]["reference"])


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("", None), ("x", None), ("[]", None), ('"x"', None), ("{}", None), ('{"resourceType":"Patient"}', "Patient"),
        ('{"resourceType":"Provenance"}', "Provenance.agent"), (header(nonsense=1), "Provenance.nonsense"),
        (header(recorded="yesterday"), "Provenance.recorded"), (header(target=[]), "Provenance.target"),
        (header() + ", " + header(), None), (header(agent=[{"who": {"display": "\udce4"}}]), None),
    ],
)  # fmt: skip
async def test_a_malformed_header_is_400_and_nothing_is_written(
    system: Caller, unique: str, value: str, expression: str | None
) -> None:
    basic = {"resourceType": "Basic", "id": unique, "code": {"text": "x"}}
    for refused in (
        await system.put(f"Basic/{unique}", basic, x_provenance=value),
        await system.transaction(entry("PUT", f"Basic/{unique}", basic), x_provenance=value),
    ):
        assert refused.status == 400, refused.text
        assert "X-Provenance" in refused.text
        assert expression is None or expression in refused.expressions
    assert (await system.get(f"Basic/{unique}")).status == 404


async def test_what_it_does_not_go_with(system: Caller) -> None:
    made = await system.post("Observation", observation())
    for method, path, body in (
        ("GET", f"Observation/{made.id}", None), ("GET", "Observation", None), ("POST", "Observation/$validate", observation()),
        ("POST", "", {"resourceType": "Bundle", "type": "batch"}),
    ):  # fmt: skip
        refused = await system.send(method, path, body, x_provenance=header())
        assert (refused.status, refused.issue) == (400, "provenance-stray")


async def test_the_right_to_create_provenance_is_needed(http: httpx.AsyncClient, system: Caller, unique: str) -> None:
    basic = {"resourceType": "Basic", "id": unique, "code": {"text": "x"}}
    plain = await caller(http, system.tenant, "system/Basic.cruds system/Provenance.r")
    for sent in (header(), "nonsense"):
        refused = await plain.put(f"Basic/{unique}", basic, x_provenance=sent)
        assert (refused.status, "Provenance" in refused.text) == (403, True)
    assert (await system.get(f"Basic/{unique}")).status == 404
    able = await caller(http, system.tenant, "system/Basic.cruds system/Provenance.c")
    assert (await able.put(f"Basic/{unique}", basic, x_provenance=header())).status == 201


async def test_it_stays_inside_the_scope(http: httpx.AsyncClient, system: Caller) -> None:
    """It belongs to whom its targets belong to: a patient's token explains what it writes itself, and nobody else's."""
    patient, other = [(await system.post("Patient", {"resourceType": "Patient"})).json for _ in range(2)]
    who = await caller(http, system.tenant, "patient/*.cruds", patient["id"])
    subject = {"reference": f"Patient/{patient['id']}"}
    theirs = await system.post("Observation", observation(subject={"reference": f"Patient/{other['id']}"}))
    also = header(target=[{"reference": f"Observation/{theirs.id}"}])
    refused = await who.post("Observation", observation(subject=subject), x_provenance=also)
    assert (refused.status, refused.issue) == (403, "write-outside-scope")
    assert (await who.get("Observation?_summary=count")).json["total"] == 0
    made = await who.post("Observation", observation(subject=subject), x_provenance=header())
    assert made.status == 201, made.text
    assert await of(who, f"Observation/{made.id}") == [[f"Observation/{made.id}/_history/1"]]
    gone = await who.send("DELETE", f"Observation/{made.id}", x_provenance=header())
    assert gone.status == 204, gone.text
    assert len(await of(who, f"Observation/{made.id}")) == 2
    own = await who.put(f"Patient/{patient['id']}", patient | {"active": True}, x_provenance=header())
    assert own.status == 200, own.text


async def test_it_is_audited_as_what_it_is(system: Caller) -> None:
    made = await system.post("Observation", observation(), x_provenance=header())
    found = (await system.get(f"Provenance?target=Observation/{made.id}")).json["entry"][0]["resource"]["id"]
    trail = (await system.get(f"AuditEvent?entity=Provenance/{found}&subtype=create")).json["entry"]
    assert [each["resource"]["outcome"] for each in trail] == ["0"]


async def test_words_of_any_language(system: Caller) -> None:
    """As UTF-8 bytes, and as escapes, which every HTTP client can send."""
    for ascii_only in (True, False):
        raw = json.dumps(json.loads(header(agent=[{"who": {"display": "Zo\u00eb \u6797"}}])), ensure_ascii=ascii_only)
        made = await system.post("Observation", observation(), x_provenance=raw.encode())  # type: ignore[arg-type]
        kept = (await system.get(f"Provenance?target=Observation/{made.id}")).json["entry"][0]["resource"]
        assert kept["agent"][0]["who"]["display"] == "Zo\u00eb \u6797"


async def test_stale_writes_explain_nothing(system: Caller) -> None:
    made = await system.post("Observation", observation())
    name = f"Observation/{made.id}"
    refused = await system.put(name, made.json | {"status": "amended"}, if_match='W/"7"', x_provenance=header())
    assert refused.status == 412
    assert await of(system, name) == []
