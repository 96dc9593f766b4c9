"""`$everything`: the record of one patient and what it refers to, in pages, as far as the caller may see, and nobody else's."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.conformance.naive import bundles, resources
from tests.http.client import Answer, Caller, caller, observation
from tests.shared_data import shared

Json = dict[str, Any]


async def whole(client: Caller, path: str) -> list[Answer]:
    """Return all pages."""
    pages = [await client.get(path)]
    while following := next(
        (each["url"] for each in pages[-1].json.get("link", []) if each["relation"] == "next"), None
    ):
        assert "start" not in following
        assert pages[-1].json["entry"], "an empty page that has a next one"
        pages.append(await client.get(following))
    assert all(page.status == 200 for page in pages), pages[-1].text[:2000]
    return pages


def found(pages: list[Answer]) -> dict[str, str]:
    """Return Type/id -> search mode; nothing may come twice."""
    entries = [entry for page in pages for entry in page.json.get("entry", [])]
    out = {f"{e['resource']['resourceType']}/{e['resource']['id']}": e["search"]["mode"] for e in entries}
    assert len(out) == len(entries)
    return out


async def everything(client: Caller, path: str) -> dict[str, str]:
    return found(await whole(client, path))


class Ward:
    """Patients A and B, a doctor and a clinic, and what refers to what; names are Type/id."""

    def __init__(self, system: Caller) -> None:
        self.system = system
        self.names: dict[str, str] = {}

    async def add(self, key: str, type_: str, **more: Any) -> str:
        body = {name.rstrip("_"): value for name, value in more.items()}
        answer = await self.system.post(type_, {"resourceType": type_, **body})
        assert answer.status == 201, answer.text
        self.names[key] = f"{type_}/{answer.id}"
        return self.names[key]

    def ref(self, key: str) -> Json:
        return {"reference": self.names[key]}

    def id(self, key: str) -> str:
        return self.names[key].split("/")[1]

    def keys(self, found: dict[str, str]) -> set[str]:
        back = {name: key for key, name in self.names.items()}
        return {back[name] for name in found}


@pytest.fixture
async def ward(system: Caller) -> Ward:
    w = Ward(system)
    await w.add("unused", "Organization", name="Unused")
    await w.add("clinic", "Organization", name="Clinic")
    await w.add("doctor", "Practitioner")
    await w.add("drug", "Medication")
    for who in ("a", "b"):
        await w.add(who, "Patient", birthDate="1970-01-01", managingOrganization=w.ref("clinic"))
        of = {"subject": w.ref(who)}
        await w.add(f"{who} visit", "Encounter", status="finished", class_={"code": "AMB"}, **of,
                    participant=[{"individual": w.ref("doctor")}], period={"start": "2020-01-10", "end": "2020-01-12"})  # fmt: skip
        await w.add(f"{who} pulse", "Observation", **observation(**of, effectiveDateTime="2020-01-11",
                    encounter=w.ref(f"{who} visit")))  # fmt: skip
        await w.add(f"{who} drug", "MedicationRequest", status="active", intent="order", **of,
                    medicationReference=w.ref("drug"), authoredOn="2021-05-01")  # fmt: skip
        await w.add(f"{who} allergy", "AllergyIntolerance", patient=w.ref(who))
    await w.add("visit in b's", "Encounter", status="finished", class_={"code": "AMB"}, subject=w.ref("a"),
                partOf=w.ref("b visit"))  # fmt: skip
    await w.add("both", "Group", type="person", actual=True, member=[{"entity": w.ref(who)} for who in ("a", "b")])
    await w.add("list", "List", status="current", mode="working", subject=w.ref("a"),
                entry=[{"item": w.ref("b pulse")}, {"item": w.ref("b")}])  # fmt: skip
    return w


RECORD = {"a", "a visit", "a pulse", "a drug", "a allergy", "visit in b's", "both", "list"}
AROUND = {"clinic", "doctor", "drug"}


async def test_a_record_and_what_it_refers_to(ward: Ward) -> None:
    answer = await ward.system.get(f"Patient/{ward.id('a')}/$everything")
    assert (answer.status, answer.json["type"], answer.json["total"]) == (200, "searchset", len(RECORD))
    modes = found([answer])
    assert ward.keys(modes) == RECORD | AROUND
    assert ward.keys({name: mode for name, mode in modes.items() if mode == "include"}) == AROUND
    first = answer.json["entry"][0]
    assert first["fullUrl"] == f"{ward.system.tenant.base}/{ward.names['a']}"
    assert first["resource"] == (await ward.system.get(ward.names["a"])).json


@pytest.mark.parametrize("count", [1, 2, 3, 7, 11, 12])
async def test_pages_are_the_whole_each_once(ward: Ward, count: int) -> None:
    pages = await whole(ward.system, f"Patient/{ward.id('a')}/$everything?_count={count}&start=2000-01-01")
    assert [len(page.json["entry"]) for page in pages[:-1]] == [count] * (len(pages) - 1)
    assert ward.keys(found(pages)) == RECORD | AROUND


async def test_types_and_since(ward: Ward) -> None:
    path = f"Patient/{ward.id('a')}/$everything"
    assert ward.keys(await everything(ward.system, f"{path}?_type=Observation,Practitioner")) == {"a pulse", "doctor"}
    assert ward.keys(await everything(ward.system, f"{path}?_type=Observation&_type=Patient")) == {"a", "a pulse"}
    moment = (await ward.system.get(ward.names["list"])).json["meta"]["lastUpdated"]
    assert await everything(ward.system, f"{path}?_since={moment}") == {}
    moment = (await ward.system.get(ward.names["both"])).json["meta"]["lastUpdated"]
    assert ward.keys(await everything(ward.system, f"{path}?_since={moment}")) <= {"list"}


@pytest.mark.parametrize(
    ("dates", "gone"),
    [
        ("start=2020-01-12", {"a pulse"}),
        ("start=2020-01-13", {"a visit", "a pulse", "doctor"}),
        ("end=2020-01-09", {"a visit", "a pulse", "doctor", "a drug", "drug"}),
        ("end=2020-01-11", {"a drug", "drug"}),
        ("start=2021&end=2021", {"a visit", "a pulse", "doctor"}),
        ("start=2021-05&end=2021-05-01", {"a visit", "a pulse", "doctor"}),
    ],
)
async def test_dates_of_care(ward: Ward, dates: str, gone: set[str]) -> None:
    """What has no date of care (the patient, an allergy) is in any range; what only left-out members refer to is left out too."""
    seen = ward.keys(await everything(ward.system, f"Patient/{ward.id('a')}/$everything?{dates}"))
    assert seen == (RECORD | AROUND) - gone


async def test_posted_parameters_page_like_a_query(ward: Ward) -> None:
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "_count", "valueInteger": 2}, {"name": "_type", "valueCode": "Encounter"}, {"name": "start", "valueDate": "2020"},
    ]}  # fmt: skip
    first = await ward.system.post(f"Patient/{ward.id('a')}/$everything", body)
    assert first.status == 200, first.text
    assert ward.keys(found([first])) == {"a visit", "visit in b's"}


async def test_an_encounter(ward: Ward) -> None:
    seen = await everything(ward.system, f"Encounter/{ward.id('a visit')}/$everything")
    assert ward.keys(seen) == {"a visit", "a pulse", "a", "doctor"}
    other = await everything(ward.system, f"Encounter/{ward.id(chr(98) + ' visit')}/$everything")
    assert ward.keys(other) == {"b visit", "b pulse", "b", "doctor"}, (
        "another patient's part of the same visit is not swept in"
    )


async def test_what_is_refused(ward: Ward) -> None:
    path = f"Patient/{ward.id('a')}/$everything"
    for query, issue in (
        ("_type=Nothing", "parameter-value"), ("start=yesterday", "parameter-value"), ("_count=0", "parameter-value"),
        ("_count=x", "parameter-type"), ("_elements=id", "parameter-unknown"), ("start=2020&start=2021", "parameter-repeated"),
        ("_cursor=AAAA", "search-cursor"),
    ):  # fmt: skip
        answer = await ward.system.get(f"{path}?{query}")
        assert (answer.status, answer.issue) == (400, issue), query
    first = await ward.system.get(f"{path}?_count=1")
    following = next(each["url"] for each in first.json["link"] if each["relation"] == "next")
    elsewhere = following.replace(ward.id("a"), ward.id("b"))
    assert (await ward.system.get(elsewhere)).status == 400
    await ward.system.delete(ward.names["b"])
    assert (await ward.system.get(f"Patient/{ward.id('b')}/$everything")).status == 410
    assert (await ward.system.get("Patient/never-was/$everything")).status == 404


async def test_attack_9_the_record_of_somebody_else(ward: Ward, http: httpx.AsyncClient) -> None:
    """`$everything` on B, and on A with all that links to B: only A, and hidden is absent."""
    person = await caller(http, ward.system.tenant, "patient/*.cruds", ward.id("a"))
    hidden = await person.get(f"Patient/{ward.id('b')}/$everything")
    absent = await person.get("Patient/never-was/$everything")
    assert (hidden.status, hidden.text) == (absent.status, absent.text)
    assert hidden.status == 404
    for query in ("", "?_since=2000-01-01T00:00:00Z", "?_type=Encounter,Observation,Patient,Group,List", "?_count=1"):
        seen = await everything(person, f"Patient/{ward.id('a')}/$everything{query}")
        assert not {ward.names[key] for key in ward.names if key.startswith("b ") or key == "b"} & seen.keys()
    assert ward.keys(await everything(person, f"Patient/{ward.id('a')}/$everything")) == RECORD, (
        "targets are not a patient's to read"
    )
    assert ward.keys(await everything(person, "Patient/$everything")) == RECORD
    assert (await person.get(f"Encounter/{ward.id('b visit')}/$everything")).status == 404
    # Links of B's pages are no use to A.
    first = await ward.system.get(f"Patient/{ward.id('b')}/$everything?_count=1")
    following = next(each["url"] for each in first.json["link"] if each["relation"] == "next")
    assert (await person.get(following)).status in (400, 404)


async def test_attack_55_lists_and_groups_sweep_nobody_in(ward: Ward) -> None:
    """A's List and Group point at B: even who may see both gets of B only what belongs to A too."""
    seen = ward.keys(await everything(ward.system, f"Patient/{ward.id('a')}/$everything"))
    assert not {key for key in seen if key == "b" or key.startswith("b ")}
    composition = {
        "resourceType": "Composition", "status": "final", "type": {"text": "x"}, "date": "2020", "title": "x",
        "author": [ward.ref("doctor")], "subject": ward.ref("a"), "section": [{"entry": [ward.ref("b pulse")]}],
    }  # fmt: skip
    made = await ward.system.post("Composition", composition)
    found_now = await everything(ward.system, f"Patient/{ward.id('a')}/$everything")
    assert f"Composition/{made.id}" in found_now
    assert ward.names["b pulse"] not in found_now


async def test_scopes_cut_types_and_what_they_lead_to(ward: Ward, http: httpx.AsyncClient) -> None:
    """A hidden member leads nowhere: the doctor is known by the visit only."""
    path = f"Patient/{ward.id('a')}/$everything"
    some = await caller(http, ward.system.tenant, "system/Patient.rs system/Encounter.rs system/Practitioner.r")
    assert ward.keys(await everything(some, path)) == {"a", "a visit", "visit in b's", "doctor"}
    fewer = await caller(http, ward.system.tenant, "system/Patient.rs system/Observation.rs system/Practitioner.rs")
    assert ward.keys(await everything(fewer, path)) == {"a", "a pulse"}
    none = await caller(http, ward.system.tenant, "system/Observation.rs")
    assert (await none.get(path)).status == 403
    filtered = await caller(
        http, ward.system.tenant, "system/Patient.rs system/Observation.rs?code=http://loinc.org|1-8"
    )
    assert ward.keys(await everything(filtered, path)) == {"a"}


async def test_all_patients_for_who_may(ward: Ward, http: httpx.AsyncClient) -> None:
    modes = await everything(ward.system, "Patient/$everything?_type=Patient,Encounter,Practitioner,Organization")
    mine = {name: mode for name, mode in modes.items() if name in ward.names.values()}
    assert ward.keys(mine) == {"a", "b", "a visit", "b visit", "visit in b's", "doctor", "clinic"}
    assert mine[ward.names["doctor"]] == "include"
    small = await caller(http, ward.system.tenant, "system/Observation.rs")
    assert (await small.get("Patient/$everything")).status == 403


async def test_the_audit_names_the_patient(ward: Ward) -> None:
    await everything(ward.system, f"Patient/{ward.id('a')}/$everything?_type=Organization")
    answer = await ward.system.get(f"AuditEvent?patient={ward.names['a']}&_count=1")
    event = answer.json["entry"][0]["resource"]
    assert event["entity"][0]["what"]["reference"] == ward.names["a"]


# ---- a real population ----


@pytest.fixture(scope="module")
async def synthea(http: httpx.AsyncClient, services: Any) -> tuple[Caller, dict[str, set[str]]]:
    """The two smallest Synthea patients with all hospitals and practitioners: what belongs to each, read from the files."""
    client = await caller(http, services.tenants["second"])
    known: dict[str, str] = {}
    expected: dict[str, set[str]] = {}
    files = list(bundles(shared("synthea-120")))
    for bundle in files[:2] + sorted(files[2:], key=len)[:2]:
        answer = await client.post("", bundle)
        assert answer.status == 200, answer.text[:2000]
        read = list(resources(bundle))
        names = ["/".join(each["response"]["location"].split("/")[-4:-2]) for each in answer.json["entry"]]
        for entry, name in zip(json.loads(bundle)["entry"], names, strict=True):
            known[entry["fullUrl"]] = name
        for (resource, _), name in zip(read, names, strict=True):
            for each in resource.get("identifier", []):
                known[f"{resource['resourceType']}?identifier={each['system']}|{each['value']}"] = name
        patients = [name for name in names if name.startswith("Patient/")]
        if patients:
            outside = {known[text] for resource, _ in read for text in references(resource) if text in known}
            expected[patients[0]] = {*names, *outside}
    assert len(expected) == 2
    return client, expected


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {text for each in value for text in references(each)}
    if not isinstance(value, dict):
        return set()
    own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
    return own.union(*(references(each) for each in value.values())) if value else own


@pytest.mark.parametrize("count", [37, 1000])
async def test_the_union_of_pages_is_the_bundle_file_and_what_it_refers_to(
    synthea: tuple[Caller, dict[str, set[str]]], count: int
) -> None:
    client, expected = synthea
    for patient, wanted in expected.items():
        seen = await everything(client, f"{patient}/$everything?_count={count}")
        assert set(seen) == wanted
