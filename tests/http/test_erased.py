"""A patient whose data key was destroyed: gone for all who might have seen it, on every path, and an error on none."""

from __future__ import annotations

import asyncpg
import pytest

from fhir_server.storage import ident, reads
from fhir_server.storage.keystore import Keystore
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.http.client import Caller, caller, entry, observation

IDENTIFIER = "http://ids.example|erased-"


class Erased:
    """A patient with an Observation, both unreadable, and another patient who is not."""

    patient: str
    observation: str
    stays: str
    rid: int


async def destroy(tenant: Tenant, rid: int, keys_dir) -> None:
    """Destroy a patient's key as another process would: this one has it in its memory."""
    key = await tenant.pool.fetchval(tenant.sql("SELECT key_id FROM {s}.patient_key WHERE patient = $1"), rid)
    Keystore(keys_dir, tenant.name).destroy(key)


@pytest.fixture
async def gone(system: Caller, keys_dir, unique: str) -> Erased:
    made = Erased()
    identifier = {"system": "http://ids.example", "value": f"erased-{unique}"}
    person = {"resourceType": "Patient", "identifier": [identifier], "name": [{"family": f"Longname{unique}"}]}
    made.patient = (await system.post("Patient", person)).id
    subject = {"reference": f"Patient/{made.patient}"}
    made.observation = (await system.post("Observation", observation(subject=subject, note=[{"text": "x"}]))).id
    again = observation(id=made.observation, subject=subject, valueString="second")
    assert (await system.put(f"Observation/{made.observation}", again)).status == 200
    made.stays = (await system.post("Observation", observation(note=[{"text": unique}]))).id
    made.rid = await ident.known_rid(system.tenant, "Patient", made.patient)
    await destroy(system.tenant, made.rid, keys_dir)
    return made


@pytest.mark.parametrize("path", ["Patient/{p}", "Observation/{o}", "Observation/{o}/_history/1", "Patient/{p}/$twin"])
async def test_what_names_it_is_gone(system: Caller, gone: Erased, path: str) -> None:
    path = path.format(p=gone.patient, o=gone.observation)
    answer = await system.get(path)
    assert (answer.status, answer.issue) == (410, "erased")
    assert "etag" in answer.headers
    head = await system.send("HEAD", path)
    assert (head.status, head.text) == (410, "")
    batch = await system.transaction(entry("GET", path), entry("GET", f"Observation/{gone.stays}"), kind="batch")
    assert [each["response"]["status"][:3] for each in batch.json["entry"]] == ["410", "200"]


async def test_writes_do_not_bring_it_back(system: Caller, gone: Erased, unique: str) -> None:
    subject = {"reference": f"Patient/{gone.patient}"}
    changed = observation(id=gone.observation, subject=subject)
    assert (await system.put(f"Observation/{gone.observation}", changed)).status == 410
    assert (await system.delete(f"Observation/{gone.observation}")).status == 410
    whole = await system.transaction(entry("PUT", f"Observation/{gone.observation}", changed))
    assert (whole.status, whole.issue) == (410, "erased")
    new = await system.post("Observation", observation(subject=subject))
    assert (new.status, new.issue) == (422, "erased-owner")
    person = {"resourceType": "Patient", "identifier": [{"system": "http://ids.example", "value": f"erased-{unique}"}]}
    came_again = await system.post("Patient", person, if_none_exist=f"identifier={IDENTIFIER}{unique}")
    assert came_again.status == 201
    assert came_again.id != gone.patient


async def test_searches_leave_it_out_and_histories_keep_its_place(system: Caller, gone: Erased, unique: str) -> None:
    for query in (
        f"Patient?_id={gone.patient}",
        f"Patient?identifier={IDENTIFIER}{unique}",
        f"Patient?family=Longname{unique}",
        f"Observation?subject=Patient/{gone.patient}&_sort=-date",
        f"Patient/{gone.patient}/Observation",
    ):
        found = await system.get(query)
        assert (found.status, found.json.get("entry", [])) == (200, []), query
    history = (await system.get(f"Observation/{gone.observation}/_history")).json
    assert [(each["response"]["status"], "resource" in each) for each in history["entry"]] == [("410", False)] * 2
    assert (await system.get("Observation/_history?_count=5")).status == 200


async def test_who_might_not_have_seen_it_learns_nothing(http, system: Caller, gone: Erased) -> None:
    other = (await system.post("Patient", {"resourceType": "Patient"})).id
    stranger = await caller(http, system.tenant, "patient/*.cruds", patient=other)
    hidden, absent = [await stranger.get(f"Observation/{id_}") for id_ in (gone.observation, "never-there")]
    assert (hidden.status, hidden.text) == (absent.status, absent.text) == (404, absent.text)


async def test_workers_leave_it_out(system: Caller, gone: Erased) -> None:
    tenant = system.tenant
    rid = await ident.known_rid(tenant, "Observation", gone.observation)
    assert await reads.exact(tenant, [(rid, 1), (rid, 2)]) == {}
    assert await reads.fetch(tenant, [rid, gone.rid]) == []


async def test_a_body_that_was_moved_or_changed_is_damaged_not_erased(system: Caller, pool: asyncpg.Pool) -> None:
    tenant = system.tenant
    patient = (await system.post("Patient", {"resourceType": "Patient"})).id
    subject = {"reference": f"Patient/{patient}"}
    one, two = [(await system.post("Observation", observation(subject=subject))).id for _ in range(2)]
    move = """UPDATE {s}.resource SET body = (SELECT body FROM {s}.resource WHERE fhir_id = $2)
    WHERE fhir_id = $1 RETURNING rid"""
    rid = await pool.fetchval(tenant.sql(move), one, two)
    with pytest.raises(reads.Damaged, match=str(rid)):
        await reads.read(tenant, "Observation", one, EVERYTHING)
    assert (await system.get(f"Observation/{two}")).status == 200
    answer = await system.get(f"Observation/{one}")
    assert (answer.status, answer.issue) == (500, "unexpected")
    for damage in ("''", "'\\x00'", "'\\xffffffffffff'", "overlay(body placing '\\x07ff' from 1)"):
        await pool.execute(tenant.sql(f"UPDATE {{s}}.resource SET body = {damage} WHERE rid = $1"), rid)
        with pytest.raises(reads.Damaged):
            await reads.read(tenant, "Observation", one, EVERYTHING)
    assert await reads.exact(tenant, [(rid, 1)]) == {}
    await pool.execute(tenant.sql("DELETE FROM {s}.resource WHERE rid = $1"), rid)  # other tests search here


async def test_patch_and_meta_find_it_gone(system: Caller, gone: Erased) -> None:
    path = f"Observation/{gone.observation}"
    tag = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "t"}]}}]}
    for answer in (
        await system.send("PATCH", path, [], content_type="application/json-patch+json"),
        await system.post(f"{path}/$meta-add", tag),
        await system.post(f"{path}/_history/1/$meta-delete", tag),
        await system.get(f"{path}/$meta"),
    ):
        assert (answer.status, answer.issue) == (410, "erased")
    assert (await system.get("Observation/$meta")).status == 200
