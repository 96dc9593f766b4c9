"""Search parameters that are posted: checked, served for what is written from then on, for all after `$reindex`, and no more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.kit import ids as made_ids
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, jobs, own
from fhir_server.storage.tenants import Tenant
from tests.http.client import Answer, Caller, caller, observation
from tests.subscriptions import subscribing as given
from workers.jobs import asynchronous, dispatch, parameters, reindex
from workers.jobs.runner import LEASE

Json = dict[str, Any]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


def parameter(
    code: str, expression: str, kind: str = "token", base: tuple[str, ...] = ("Patient",), **more: Any
) -> Json:
    return {
        "resourceType": "SearchParameter", "url": f"https://params.example/{code}", "name": code, "status": "active",
        "description": "made for a test", "code": code, "base": list(base), "type": kind, "expression": expression, **more,
    }  # fmt: skip


def unique_code() -> str:
    return "x" + made_ids.new_id().replace("-", "")[-12:].lower()


async def work(tenant: Tenant, settings: Settings) -> None:
    """Do what a worker does about SearchParameters: dispatch, and settle what is asked for."""
    while await dispatch.dispatch(tenant, settings):
        pass
    while claimed := await jobs.claim(tenant, [parameters.KIND], LEASE):
        await parameters.run(tenant, claimed[0], settings)
        await jobs.finish(tenant.pool, tenant, claimed[0])


async def reindexed(client: Caller, path: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Ask for `$reindex` and do it as a worker would; return the status when it is done."""
    monkeypatch.setattr(own, "LEARNED_WITHIN", 0.0)
    kicked = await client.post(path, None)
    assert kicked.status == 202, kicked.text
    await run_async(client.tenant, kicked, settings)
    return await client.get(kicked.headers["content-location"])


async def run_async(tenant: Tenant, kicked: Answer, settings: Settings) -> None:
    key = kicked.headers["content-location"].rsplit("/", 1)[1]
    claimed = await jobs.claim(tenant, [async_jobs.QUEUE], LEASE, limit=100)
    for job in claimed:
        if job.key == key:
            await asynchronous.run(tenant, job, settings)
        await jobs.finish(tenant.pool, tenant, job)


def found(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    entries = answer.json.get("entry", [])
    return [entry["resource"]["id"] for entry in entries if entry["search"]["mode"] == "match"]


def warned(answer: Answer) -> bool:
    outcomes = [e["resource"] for e in answer.json.get("entry", []) if e["search"]["mode"] == "outcome"]
    return any(i["details"]["coding"][0]["code"] == "search-parameter-partial" for o in outcomes for i in o["issue"])


COLOUR = "https://ext.example/colour"


def coloured(colour: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "extension": [{"url": COLOUR, "valueCode": colour}], **more}


def colour_path(kind: str = "code") -> str:
    return f"Patient.extension.where(url = '{COLOUR}').value.ofType({kind})"


async def test_the_life_of_a_parameter(system: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, code = system.tenant, unique_code()
    old = (await system.post("Patient", coloured("red"))).id
    assert (await system.get(f"Patient?{code}=red")).issue == "search-unknown-parameter"
    made = await system.post("SearchParameter", parameter(code, colour_path()))
    assert made.status == 201, made.text
    await work(tenant, settings)

    new = (await system.post("Patient", coloured("red"))).id
    answer = await system.get(f"Patient?{code}=red")
    assert (found(answer), warned(answer)) == ([new], True), (
        "new writes at once, with a truthful warning about the others"
    )
    refused = await system.put(f"Patient?{code}=red", coloured("red"))
    assert (refused.status, refused.issue) == (400, "search-parameter-partial")
    assert code not in {each["name"] for each in await listed(system, "Patient")}

    done = await reindexed(system, "Patient/$reindex", settings, monkeypatch)
    assert done.status == 200, done.text
    [entry] = done.json["entry"]
    assert (done.json["type"], entry["response"]["status"]) == ("batch-response", "200")
    answer = await system.get(f"Patient?{code}=red")
    assert (sorted(found(answer)), warned(answer)) == (sorted([old, new]), False)
    [told] = [each for each in await listed(system, "Patient") if each["name"] == code]
    assert (told["definition"], told["type"]) == (f"https://params.example/{code}", "token")
    assert found(await system.get(f"Patient?{code}:not=red&_id={old},{new}")) == []

    await system.put(f"Patient/{old}", coloured("blue", id=old))
    assert found(await system.get(f"Patient?{code}=red")) == [new]
    assert found(await system.get(f"Patient?{code}=blue")) == [old]
    assert (await system.put(f"Patient?{code}=blue", coloured("blue", gender="male"))).status == 200

    await system.delete(f"SearchParameter/{made.id}")
    await work(tenant, settings)
    assert (await system.get(f"Patient?{code}=red")).issue == "search-unknown-parameter"
    assert code not in {each["name"] for each in await listed(system, "Patient")}
    assert (await system.put(f"Patient/{new}", coloured("green", id=new))).status == 200, (
        "entries of a retired one go too"
    )
    assert (await system.delete(f"Patient/{old}")).status in (200, 204)


async def listed(client: Caller, type_: str) -> list[Json]:
    resources = (await client.get("metadata")).json["rest"][0]["resource"]
    return next(each["searchParam"] for each in resources if each["type"] == type_)


async def test_kinds_with_rows_of_their_own(
    system: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dates, numbers, quantities, references and strings: extracted, updated without leftovers, sorted by."""
    tenant = system.tenant
    when, amount, ratio, who, word = (unique_code() for _ in range(5))
    source = f"https://ext.example/{unique_code()}"

    def path(name: str, type_: str) -> str:
        return f"Observation.extension.where(url = '{source}/{name}').value.ofType({type_})"

    def body(day: str, kilos: int, part: str, doctor: str, text: str, **more: Any) -> Json:
        values = {
            "when": {"valueDate": day},
            "amount": {"valueQuantity": {"value": kilos, "system": "http://unitsofmeasure.org", "code": "kg"}},
            "ratio": {"valueDecimal": float(part)}, "who": {"valueReference": {"reference": doctor}}, "word": {"valueString": text},
        }  # fmt: skip
        return observation(extension=[{"url": f"{source}/{name}", **value} for name, value in values.items()], **more)

    doctor = f"Practitioner/{(await system.post('Practitioner', {'resourceType': 'Practitioner'})).id}"
    first = (await system.post("Observation", body("2020-05-01", 5, "0.5", doctor, "Alpha"))).id
    for code, name, kind, type_ in (
        (when, "when", "date", "date"), (amount, "amount", "quantity", "Quantity"), (ratio, "ratio", "number", "decimal"),
        (who, "who", "reference", "Reference"), (word, "word", "string", "string"),
    ):  # fmt: skip
        made = await system.post("SearchParameter", parameter(code, path(name, type_), kind, ("Observation",)))
        assert made.status == 201, made.text
    await work(tenant, settings)
    second = (await system.post("Observation", body("2021-05-01", 7, "0.7", doctor, "Beta"))).id
    await reindexed(system, "Observation/$reindex", settings, monkeypatch)
    queries = {
        f"{when}=2020": [first], f"{when}=ge2021": [second], f"{amount}=5000||g": [], f"{ratio}=gt0.6": [second],
        f"{word}=alph": [first], f"{amount}=5000|http://unitsofmeasure.org|g": [first], f"{who}={doctor}": [first, second],
        f"{who}:missing=false": [first, second], f"{who}={doctor}&_sort=-{when}": [second, first],
        f"{when}=2020,2021&_sort=-{amount}": [second, first],
    }  # fmt: skip
    for query, wanted in queries.items():
        answer = await system.get(f"Observation?{query}")
        assert sorted(found(answer)) == sorted(wanted) if "_sort" not in query else found(answer) == wanted, query
    await system.put(f"Observation/{first}", body("2022-05-01", 9, "0.9", doctor, "Gamma", id=first))
    assert found(await system.get(f"Observation?{when}=2020")) == []
    assert found(await system.get(f"Observation?{when}=2022")) == [first]
    assert found(await system.get(f"Observation?{ratio}=0.5")) == []
    await system.delete(f"Observation/{first}")
    rows = await tenant.pool.fetchval(
        tenant.sql("SELECT count(*) FROM {s}.ix_date d JOIN {s}.resource r USING (rid) WHERE r.fhir_id = $1"), first
    )
    assert rows == 0


async def test_one_tenant_only(
    system: Caller, http: httpx.AsyncClient, tenants: dict[str, Tenant], settings: Settings
) -> None:
    code = unique_code()
    await system.post("SearchParameter", parameter(code, colour_path()))
    await work(system.tenant, settings)
    assert (await system.get(f"Patient?{code}=red")).status == 200
    [other] = [tenant for tenant in tenants.values() if tenant is not system.tenant]
    stranger = await caller(http, other)
    assert (await stranger.get(f"Patient?{code}=red")).issue == "search-unknown-parameter"


REFUSED = [
    ({"code": "birthdate"}, "own-parameter-taken"), ({"code": "_id"}, "own-parameter-code"),
    ({"code": "a b"}, "own-parameter-code"), ({"base": ["Resource"]}, "own-parameter-base"),
    ({"type": "composite"}, "own-parameter-type"), ({"type": "special"}, "own-parameter-type"),
    ({"type": "date"}, "own-parameter-type"),
    ({"expression": "Patient.nothing"}, "own-parameter-expression"), ({"expression": None}, "own-parameter-expression"),
    ({"expression": "Patient.name.where("}, "own-parameter-expression"),
    ({"expression": "Observation.code"}, "own-parameter-expression"),
    ({"expression": "Patient.birthDate.foo()"}, "own-parameter-expression"),
    ({"expression": "Patient.name | " * 500 + "Patient.id"}, "own-parameter-expression"),
    ({"expression": "Patient.birthDate", "type": "quantity"}, "own-parameter-type"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "issue"), REFUSED)
async def test_what_cannot_be_served_is_refused(system: Caller, change: Json, issue: str) -> None:
    body = parameter(unique_code(), "Patient.gender") | change
    body = {name: value for name, value in body.items() if value is not None}
    answer = await system.post("SearchParameter", body)
    assert (answer.status, answer.issue) == (422, issue), answer.text
    assert answer.expressions[0].startswith("SearchParameter.")
    assert (await system.post("SearchParameter", body | {"status": "draft"})).status == 201, (
        "only what is active must be servable"
    )


async def test_two_of_one_code_and_r4s_own(system: Caller, settings: Settings) -> None:
    code = unique_code()
    made = await system.post("SearchParameter", parameter(code, "Patient.gender"))
    await work(system.tenant, settings)
    again = await system.post("SearchParameter", parameter(code, "Patient.gender", url="https://params.example/again"))
    assert (again.status, again.issue) == (422, "own-parameter-taken")
    changed = parameter(code, "Patient.maritalStatus", id=made.id)
    assert (await system.put(f"SearchParameter/{made.id}", changed)).status == 200
    standard = parameter(
        "birthdate", "Patient.birthDate", "date", derivedFrom="http://hl7.org/fhir/SearchParameter/individual-birthdate"
    )
    answer = await system.post("SearchParameter", standard)
    assert answer.status == 201, answer.text


async def test_several_bases_take_their_branches(system: Caller, settings: Settings) -> None:
    code = unique_code()
    body = parameter(code, "Patient.maritalStatus | Encounter.priority | Account.type", base=("Patient", "Encounter"))
    assert (await system.post("SearchParameter", body)).status == 201
    await work(system.tenant, settings)
    married = {"resourceType": "Patient", "maritalStatus": {"coding": [{"system": "urn:x", "code": code}]}}
    one = (await system.post("Patient", married)).id
    assert found(await system.get(f"Patient?{code}=urn:x|{code}")) == [one]
    assert (await system.get(f"Encounter?{code}=1")).status == 200
    assert (await system.get(f"Account?{code}=1")).issue == "search-unknown-parameter"


async def test_chains_and_includes_go_by_own_references(
    system: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, source = unique_code(), f"https://ext.example/{unique_code()}"
    doctor = (await system.post("Practitioner", {"resourceType": "Practitioner", "name": [{"family": code}]})).id
    path = f"Patient.extension.where(url = '{source}').value.ofType(Reference)"
    await system.post("SearchParameter", parameter(code, path, "reference", target=["Practitioner"]))
    await work(system.tenant, settings)
    reference = {"url": source, "valueReference": {"reference": f"Practitioner/{doctor}"}}
    who = (await system.post("Patient", {"resourceType": "Patient", "extension": [reference]})).id
    chained = await system.get(f"Patient?{code}.family={code}")
    assert (found(chained), warned(chained)) == ([who], True), "the warning reaches chains"
    refused = await system.put(f"Patient?{code}.family={code}", {"resourceType": "Patient"})
    assert refused.issue == "search-parameter-partial"
    await reindexed(system, "Patient/$reindex", settings, monkeypatch)
    included = await system.get(f"Patient?_id={who}&_include=Patient:{code}")
    assert {e["resource"]["id"] for e in included.json["entry"]} == {who, doctor}
    assert not warned(included)
    assert found(await system.get(f"Practitioner?_has:Patient:{code}:_id={who}")) == [doctor]
    everything = await system.get(f"Patient/{who}/$everything")
    assert doctor in {e["resource"]["id"] for e in everything.json["entry"]}


async def test_reindex_goes_on_where_it_was(
    system: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies after a batch leaves its place; another one goes on there, and what was written meanwhile is in it too."""
    tenant, code = system.tenant, unique_code()
    monkeypatch.setattr(own, "LEARNED_WITHIN", 0.0)
    monkeypatch.setattr(reindex, "BATCH", 5)
    bundle = [{"resource": coloured(code), "request": {"method": "POST", "url": "Patient"}} for _ in range(23)]
    assert (await system.transaction(*bundle)).status == 200
    await system.post("SearchParameter", parameter(code, colour_path()))
    await work(tenant, settings)
    kicked = await system.post("Patient/$reindex", None)
    where = kicked.headers["content-location"]
    waiting = await system.get(where)
    assert (waiting.status, waiting.headers["retry-after"]) == (202, "1")

    real, calls = reindex.own_index.put, 0

    async def dies(*args: Any) -> int:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise asyncio.CancelledError
        return await real(*args)

    monkeypatch.setattr(reindex.own_index, "put", dies)
    key = where.rsplit("/", 1)[1]
    [job] = [each for each in await jobs.claim(tenant, [async_jobs.QUEUE], timedelta(0), limit=50) if each.key == key]
    with pytest.raises(asyncio.CancelledError):
        await asynchronous.run(tenant, job, settings)
    running = await system.get(where)
    assert running.status == 202
    assert "10 of" in running.headers["x-progress"]
    assert warned(await system.get(f"Patient?{code}={code}"))
    later = (await system.post("Patient", coloured(code))).id
    monkeypatch.setattr(reindex.own_index, "put", real)
    [job] = [each for each in await jobs.claim(tenant, [async_jobs.QUEUE], LEASE, limit=50) if each.key == key]
    await asynchronous.run(tenant, job, settings)
    done = await system.get(where)
    assert done.status == 200
    answer = await system.get(f"Patient?{code}={code}&_count=100")
    assert (len(found(answer)), later in found(answer), warned(answer)) == (24, True, False)


async def test_reindex_while_others_write(system: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers are never refused, and afterwards every resource is found by what it says now, and by nothing else."""
    tenant, code = system.tenant, unique_code()
    monkeypatch.setattr(reindex, "BATCH", 7)
    made = [(await system.post("Patient", coloured(f"{code}-0"))).id for _ in range(30)]
    await system.post("SearchParameter", parameter(code, colour_path()))
    await work(tenant, settings)
    last = dict.fromkeys(made, 0)

    async def write(id_: str) -> None:
        for number in range(1, 6):
            answer = await system.put(f"Patient/{id_}", coloured(f"{code}-{number}", id=id_))
            assert answer.status == 200, answer.text
            last[id_] = number

    await asyncio.gather(
        reindexed(system, "Patient/$reindex", settings, monkeypatch), *(write(id_) for id_ in made[:20])
    )
    for number in range(6):
        answer = await system.get(f"Patient?{code}={code}-{number}&_count=100")
        assert sorted(found(answer)) == sorted(id_ for id_, at in last.items() if at == number)


async def test_one_resource_at_once(system: Caller, settings: Settings) -> None:
    code = unique_code()
    old = (await system.post("Patient", coloured(code))).id
    await system.post("SearchParameter", parameter(code, colour_path()))
    await work(system.tenant, settings)
    assert found(await system.get(f"Patient?{code}={code}")) == []
    assert (await system.post(f"Patient/{old}/$reindex", None)).status == 200
    answer = await system.get(f"Patient?{code}={code}")
    assert (found(answer), warned(answer)) == ([old], True)


async def test_who_may(system: Caller, http: httpx.AsyncClient) -> None:
    assert (await system.get("Patient/$reindex")).status == 405
    cases = (
        ("system/*.rs", "$reindex"),
        ("system/Patient.u", "$reindex"),
        ("system/Observation.u", "Patient/$reindex"),
    )
    for scope, path in cases:
        client = await caller(http, system.tenant, scope)
        assert (await client.post(path, None)).status == 403
    client = await caller(http, system.tenant, "system/Patient.u")
    kicked = await client.post("Patient/$reindex", None)
    assert kicked.status == 202
    where = kicked.headers["content-location"]
    assert (await system.get(where)).status == 404, "only who asked sees its job"
    assert (await system.delete(where)).status == 404
    assert (await client.get(where)).status == 202
    assert (await client.delete(where)).status == 202
    assert (await client.get(where)).status == 404
