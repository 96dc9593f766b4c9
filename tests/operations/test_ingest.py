"""`$ingest` over HTTP: what is taken, refused, repeated and told; whose right it needs; what stands beside each Observation."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import zipfile
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fhir_server.storage import backlog
from tests.http.client import Answer, Caller, caller
from tests.shared_data import shared
from tests.workers.ingest.test_files import MAPPING, fit_file

Json = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
PLAIN = """
source = "study"
[time]
start = "when"
[[value]]
column = "hr"
type = "heart-rate"
"""
WATCH = {"name": "Watch", "manufacturer": "Nimbus", "serial": "A1"}


@pytest.fixture(autouse=True)
def no_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have left in the shared outbox is no reason to be turned away."""

    async def nothing(_: Any) -> float:
        return 0.0

    monkeypatch.setattr(backlog, "age", nothing)


def sample(value: Any = 62, start: str = "2026-01-05T08:00:00+01:00", **more: Any) -> Json:
    return {"type": "heart-rate", "start": start, "value": value, "unit": "/min", "device": WATCH} | more


def batch(*samples: Json, source: str = "app", **more: Any) -> Json:
    return {"format": "clarity", "source": source, "samples": list(samples)} | more


async def somebody(client: Caller, unique: str) -> str:
    assert (await client.put(f"Patient/{unique}", {"resourceType": "Patient", "id": unique})).status in (200, 201)
    return unique


def counts(answer: Answer) -> dict[str, int]:
    assert answer.status == 200, answer.text
    told = {each["name"]: each.get("valueInteger") for each in answer.json["parameter"]}
    return {name: told[name] for name in ("created", "updated", "unchanged", "outdone", "refused") if told[name]}


async def stored(client: Caller, patient: str, **query: str) -> list[Json]:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    answer = await client.get(f"Observation?patient={patient}&_count=1000{asked}")
    return [entry["resource"] for entry in answer.json.get("entry", [])]


async def test_a_sample_becomes_an_observation_with_device_and_provenance(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    answer = await system.post(
        f"Patient/{who}/$ingest", batch(sample(issued="2026-01-05T09:00:00+01:00", status="final"))
    )
    assert counts(answer) == {"created": 1}
    [found] = await stored(system, who, code="8867-4")
    assert found["valueQuantity"] == {
        "value": 62,
        "unit": "/min",
        "system": "http://unitsofmeasure.org",
        "code": "/min",
    }
    assert (found["status"], found["effectiveDateTime"]) == ("final", "2026-01-05T08:00:00+01:00")
    assert found["meta"]["profile"] == ["https://fhir.clarity.example/StructureDefinition/heart-rate"]
    device = (await system.get(found["device"]["reference"])).json
    assert (device["serialNumber"], device["patient"]["reference"]) == ("A1", f"Patient/{who}")
    told = (await system.get(f"Provenance?target=Observation/{found['id']}")).json["entry"][0]["resource"]
    assert told["target"] == [{"reference": f"Observation/{found['id']}/_history/1"}]
    assert {agent["who"]["reference"] for agent in told["agent"]} == {
        "Device/clarity-ingest-1",
        found["device"]["reference"],
    }


async def test_a_night_that_comes_87_times_is_stored_once(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    night = {"type": "sleep-session", "start": "2026-01-05T23:10:00+01:00", "end": "2026-01-06T07:00:00+01:00",
             "value": 430, "unit": "min", "device": WATCH}  # fmt: skip
    assert counts(await system.post(f"Patient/{who}/$ingest", batch(*[night] * 80))) == {"created": 1, "unchanged": 79}
    again = await asyncio.gather(*(system.post(f"Patient/{who}/$ingest", batch(night)) for _ in range(7)))
    assert [counts(answer) for answer in again] == [{"unchanged": 1}] * 7
    [found] = await stored(system, who)
    assert found["meta"]["versionId"] == "1"
    assert len((await system.get(f"Provenance?target=Observation/{found['id']}")).json["entry"]) == 1


async def test_racing_firsts_make_one(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    sent = [batch(sample(value=60 + i, issued=f"2026-01-05T09:0{i}:00Z")) for i in range(8)]
    answers = await asyncio.gather(*(system.post(f"Patient/{who}/$ingest", each) for each in sent))
    assert all(answer.status == 200 for answer in answers)
    [found] = await stored(system, who)
    assert found["valueQuantity"]["value"] == 67


async def test_corrections_end_the_same_in_any_order(system: Caller, unique: str) -> None:
    said = [
        sample(60, issued="2026-01-05T09:00:00Z"),
        sample(61, issued="2026-01-05T10:00:00Z"),
        sample(62, issued="2026-01-05T10:00:00Z", status="corrected"),
        sample(63, start="2026-01-05T07:00:00Z"),
    ]
    ends = set()
    for i, order in enumerate(itertools.permutations(said)):
        who = await somebody(system, f"{unique}-{i}")
        for each in order:
            assert (await system.post(f"Patient/{who}/$ingest", batch(each))).status == 200
        [found] = await stored(system, who)
        ends.add((found["valueQuantity"]["value"], found["status"], found["issued"]))
    assert ends == {(62, "corrected", "2026-01-05T10:00:00Z")}


async def test_one_that_is_wrong_refuses_all_with_its_place(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    wrong = [sample(unit="kg"), sample(value=-3), sample(start="yesterday"), sample(start="2999-01-01T00:00:00Z"), {"type": 7},
             sample(values=[1], value=None), sample(start="2026-01-05T08:00:00"), sample(odd=1)]  # fmt: skip
    answer = await system.post(f"Patient/{who}/$ingest", batch(sample(), *wrong))
    assert answer.status == 422
    places = ["samples[1].unit", "samples[2].value", "samples[3].start", "samples[4].start", "samples[5].type",
              "samples[6].period", "samples[7].start", "samples[8].odd"]  # fmt: skip
    assert answer.expressions == places
    assert "yesterday" not in answer.text
    assert await stored(system, who) == []


async def test_lenient_takes_what_can_be_used_and_tells_the_rest(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    body = batch(
        sample(), sample(unit="kg", start="2026-01-05T09:00:00Z"), {"type": "mood-ring", "start": "2026-01-05"}
    )
    answer = await system.post(f"Patient/{who}/$ingest", body, prefer="handling=lenient")
    assert counts(answer) == {"created": 1, "refused": 1}
    told = {each["name"]: each for each in answer.json["parameter"]}
    assert told["outcome"]["resource"]["issue"][0]["expression"] == ["samples[1].unit"]
    assert told["left"]["part"] == [{"name": "what", "valueString": "mood-ring"}, {"name": "count", "valueInteger": 1}]


@pytest.mark.parametrize(
    ("body", "status", "issue"),
    [
        (b"{", 400, "json-syntax"),
        ([], 422, "ingest-format"),
        ({"samples": 3}, 422, "ingest-payload"),
        ({"format": "fax", "samples": []}, 422, "ingest-format"),
        ("text", 422, "ingest-payload"),
        ({"header": {}, "body": {}}, 422, "ingest-header"),
        ({"resourceType": "Binary", "contentType": "application/json", "data": "e3s="}, 400, "json-syntax"),
        ({"resourceType": "Binary", "contentType": "application/json"}, 400, "binary-empty"),
        (
            {"resourceType": "Parameters", "parameter": [{"name": "colour", "valueCode": "red"}]},
            400,
            "parameter-unknown",
        ),
        ({"samples": [], "zone": "Middle/Earth"}, 422, "ingest-zone"),
        ({"patients": [{"patient": "other", "samples": []}]}, 422, "ingest-patient"),
        ([{"format": "clarity", "patient": "other", "samples": []}], 422, "ingest-payload"),
    ],
)
async def test_what_is_no_payload(system: Caller, unique: str, body: Any, status: int, issue: str) -> None:
    who = await somebody(system, unique)
    answer = await system.post(f"Patient/{who}/$ingest", body)
    assert (answer.status, answer.issue) == (status, issue), answer.text


async def test_binary_and_parameters_carry_it_too(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    data = base64.b64encode(json.dumps({"samples": [sample(start="2026-01-05T08:00:00")]}).encode()).decode()
    binary = {"resourceType": "Binary", "contentType": "application/json", "data": data}
    assert counts(await system.post(f"Patient/{who}/$ingest?zone=Europe/Oslo", binary)) == {"created": 1}
    parameters = {"resourceType": "Parameters", "parameter": [
        {"name": "zone", "valueString": "Europe/Oslo"}, {"name": "payload", "resource": binary}]}  # fmt: skip
    assert counts(await system.post(f"Patient/{who}/$ingest", parameters)) == {"unchanged": 1}
    [found] = await stored(system, who)
    assert found["effectiveDateTime"] == "2026-01-05T08:00:00+01:00"


@pytest.mark.parametrize(
    ("content", "media", "query", "made"),
    [
        (fit_file(), "application/vnd.ant.fit", "", 6),
        (b"when,hr\n2026-01-05T08:00:00+01:00,61\n", "text/csv; charset=utf-8", "?mapping=" + quote(PLAIN), 1),
    ],
)
async def test_a_file_is_sent_as_it_is(
    system: Caller, unique: str, content: bytes, media: str, query: str, made: int
) -> None:
    who = await somebody(system, unique)
    answer = await system.post(f"Patient/{who}/$ingest{query}", content, content_type=media)
    assert counts(answer) == {"created": made}
    assert (await system.post(f"Patient/{who}", content, content_type=media)).status in (404, 405, 415)
    assert (await system.post("Patient/$ingest", content, content_type=media)).status == 422


async def test_a_series_of_counts_says_itself_when_it_ends(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    start = (
        "2026-03-29T01:30:00+01:00"  # in Berlin the clock jumps after half an hour: the offset that was stated stays
    )
    steps = {"type": "steps", "start": start, "values": [3, None, 5], "period": 1200, "device": WATCH}
    assert counts(await system.post(f"Patient/{who}/$ingest", batch(steps))) == {"created": 1}
    [found] = await stored(system, who)
    assert found["effectivePeriod"] == {"start": start, "end": "2026-03-29T02:30:00+01:00"}
    assert counts(await system.post(f"Patient/{who}/$ingest", batch(steps | {"end": "2026-03-29T02:30:00+01:00"}))) == {
        "unchanged": 1
    }
    for period in (0, -1, 10**9, 10**60):
        answer = await system.post(f"Patient/{who}/$ingest", batch(steps | {"period": period}))
        assert answer.status == 422, answer.text


async def test_a_hub_sends_a_minute_of_many_patients(system: Caller, unique: str) -> None:
    people = [await somebody(system, f"{unique}-{i}") for i in range(40)]
    minute = {"format": "clarity", "source": "hub", "patients": [
        {"patient": f"Patient/{who}", "samples": [
            sample(60 + i),
            {"type": "activity-counts", "start": "2026-01-05T08:00:00+01:00", "end": "2026-01-05T08:01:00+01:00",
             "value": i, "unit": "{counts}", "device": WATCH}]}
        for i, who in enumerate(people)]}  # fmt: skip
    assert counts(await system.post("Patient/$ingest", minute)) == {"created": 80}
    assert counts(await system.post("Patient/$ingest", minute)) == {"unchanged": 80}
    for i, who in enumerate(people[:3]):
        [found] = await stored(system, who, code="8867-4")
        assert found["valueQuantity"]["value"] == 60 + i
        provenance = (await system.get(f"Provenance?target=Observation/{found['id']}")).json["entry"]
        assert len(provenance[0]["resource"]["target"]) == 2, "no patient's Provenance names another's data"


async def test_behind_is_429_and_nothing_is_stored(
    system: Caller, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await somebody(system, unique)

    async def waits(_: object) -> float:
        return 500.0

    monkeypatch.setattr(backlog, "age", waits)
    answer = await system.post(f"Patient/{who}/$ingest", batch(sample()))
    assert (answer.status, answer.issue) == (429, "ingest-behind")
    assert int(answer.headers["retry-after"]) > 0
    assert await stored(system, who) == []


async def test_a_patient_that_is_not_there_or_hidden_is_404(
    http: httpx.AsyncClient, system: Caller, unique: str
) -> None:
    who = await somebody(system, unique)
    other = await caller(http, system.tenant, "patient/*.cruds", patient=await somebody(system, f"{unique}-me"))
    absent = await other.post(f"Patient/{unique}-nobody/$ingest", batch(sample()))
    hidden = await other.post(f"Patient/{who}/$ingest", batch(sample()))
    assert (absent.status, absent.json["issue"]) == (hidden.status, hidden.json["issue"])
    assert hidden.status == 404
    several = {
        "patients": [{"patient": f"{unique}-me", "samples": [sample()]}, {"patient": who, "samples": [sample()]}]
    }
    assert (await other.post("Patient/$ingest", several)).status == 404
    assert await stored(system, who) == await stored(system, f"{unique}-me") == []


async def test_a_phone_writes_its_own_patient_with_observation_rights_alone(
    http: httpx.AsyncClient, system: Caller, unique: str
) -> None:
    who = await somebody(system, unique)
    phone = await caller(http, system.tenant, "patient/Patient.r patient/Observation.crus", patient=who)
    assert counts(await phone.post(f"Patient/{who}/$ingest", batch(sample()))) == {"created": 1}
    assert counts(await phone.post(f"Patient/{who}/$ingest", batch(sample()))) == {"unchanged": 1}
    reader = await caller(http, system.tenant, "patient/*.rs", patient=who)
    assert (await reader.post(f"Patient/{who}/$ingest", batch(sample(99)))).status == 403


async def test_get_is_not_the_way(system: Caller, unique: str) -> None:
    assert (await system.get(f"Patient/{await somebody(system, unique)}/$ingest")).status == 405


CASES = shared("open-mhealth")


def points() -> list[Any]:
    found = []
    for path in sorted(CASES.rglob("*.json")) if CASES.is_dir() else []:
        namespace, name, version, verdict = path.parts[-5:-1]
        found.append(
            pytest.param(path, (namespace, name, version), verdict == "shouldPass", id="/".join(path.parts[-5:]))
        )
    return found


CARRIED = {("omh", "body-weight", "3.0"), ("omh", "heart-rate", "2.0"), ("omh", "oxygen-saturation", "2.0"),
           ("omh", "physical-activity", "1.2"), ("omh", "sleep-duration", "2.0"), ("omh", "sleep-episode", "1.1"),
           ("omh", "step-count", "3.0")}  # fmt: skip


@pytest.mark.parametrize(("path", "schema", "good"), points())
async def test_open_mhealth(system: Caller, unique: str, path: Any, schema: tuple[str, str, str], good: bool) -> None:
    """Every body in an IEEE 1752 header: those whose schema is carried get its verdict, all others are named as unknown."""
    who = await somebody(system, unique)
    named = dict(zip(("namespace", "name", "version"), schema, strict=True))
    header = {"uuid": "5b7842fe-978d-4182-a41f-0d07a8617bc2", "schema_id": named,
              "source_creation_date_time": "2026-01-05T08:00:00+01:00", "modality": "sensed"}  # fmt: skip
    body = json.loads(path.read_text())
    answer = await system.post(f"Patient/{who}/$ingest", {"header": header, "body": body})
    if schema not in CARRIED:
        assert (answer.status, answer.issue, answer.expressions) == (422, "ingest-schema-unknown", ["header.schema_id"])
    elif good:
        assert counts(answer) == {"created": 1}
        [found] = await stored(system, who)
        assert found["method"] == {"text": "sensed"}
        assert _numbers(body) <= _numbers(found) | {9, True}, "a stated number is missing"
    else:
        assert answer.status == 422
        assert all(place.startswith("body") for place in answer.expressions)
    assert bool(await stored(system, who)) == (schema in CARRIED and good)


def _numbers(value: Any) -> set[Any]:
    if isinstance(value, dict):
        return set().union(*map(_numbers, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(_numbers, value)) if value else set()
    return {value} if isinstance(value, int | float) else set()


def test_the_cases_are_all_there() -> None:
    if CASES.is_dir():
        schemas = [case.values[1] for case in points()]
        assert len(schemas) == 129
        assert sum(schema in CARRIED for schema in schemas) == 37


def binary(content: bytes, kind: str) -> Json:
    return {"resourceType": "Binary", "contentType": kind, "data": base64.b64encode(content).decode()}


async def test_a_file_is_taken_as_binary(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    sent = binary(fit_file(), "application/vnd.ant.fit")
    assert counts(await system.post(f"Patient/{who}/$ingest", sent)) == {"created": 6}
    assert counts(await system.post(f"Patient/{who}/$ingest", sent)) == {"unchanged": 6}
    unknown = await system.post(f"Patient/{who}/$ingest", binary(b"\x89PNG", "image/png"))
    assert (unknown.status, unknown.issue) == (422, "ingest-file-unknown")


async def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("export.xml", "w", force_zip64=True) as file,
    ):
        for _ in range(600):
            file.write(b" " * 1024 * 1024)
    answer = await system.post(f"Patient/{who}/$ingest", binary(out.getvalue(), "application/zip"))
    assert (answer.status, answer.issue) == (422, "ingest-file-too-large")


async def test_a_csv_comes_with_its_mapping(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    content = b"when,counts,pulse\n05.01.2026 08:00,12,61\n"
    given = {"name": "mapping", "valueString": MAPPING.decode()}
    payload = {"name": "payload", "resource": binary(content, "text/csv")}
    sent = {"resourceType": "Parameters", "parameter": [given, payload]}
    assert counts(await system.post(f"Patient/{who}/$ingest", sent)) == {"created": 2}
    given["valueString"] = "[time"
    assert (await system.post(f"Patient/{who}/$ingest", sent)).issue == "ingest-mapping"


async def test_healthkit(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    common = {"sourceName": "Watch of A", "startDate": "2026-01-05T03:00:00+01:00", "endDate": "2026-01-05T03:10:00+01:00",
              "device": {"name": "Apple Watch", "manufacturer": "Apple Inc.", "hardwareVersion": "Watch6,2"}}  # fmt: skip
    sent = {"format": "healthkit", "source": "app", "samples": [
        common | {"type": "HKQuantityTypeIdentifierHeartRate", "value": 51.5, "unit": "count/min"},
        common | {"type": "HKQuantityTypeIdentifierHeartRateVariabilitySDNN", "value": 40, "unit": "ms"},
        common | {"type": "HKQuantityTypeIdentifierOxygenSaturation", "value": 0.955, "unit": "%"},
        common | {"type": "HKCategoryTypeIdentifierSleepAnalysis", "value": 4},
        common | {"type": "HKQuantityTypeIdentifierNikeFuel", "value": 4, "unit": "count"}]}  # fmt: skip
    answer = await system.post(f"Patient/{who}/$ingest", sent)
    assert counts(answer) == {"created": 4}
    found = {each["code"]["coding"][0]["code"]: each for each in await stored(system, who)}
    assert found["8867-4"]["valueQuantity"] == {"value": 51.5, "unit": "count/min", "system": UCUM, "code": "/min"}
    assert found["80404-7"]["valueQuantity"]["code"] == "ms"
    assert found["2708-6"]["valueQuantity"]["value"] == 95.5
    assert found["sleep-stage"]["valueCodeableConcept"]["coding"][0]["code"] == "deep"


async def test_health_connect(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    metadata = {"dataOrigin": {"packageName": "org.example.app"}, "lastModifiedTime": "2026-01-06T08:00:00Z",
                "recordingMethod": 2, "device": {"manufacturer": "Larch", "model": "Band 2"}}  # fmt: skip
    night = {"startTime": "2026-01-05T22:00:00Z", "startZoneOffset": "+01:00", "endTime": "2026-01-06T06:00:00Z",
             "endZoneOffset": "+01:00", "metadata": metadata}  # fmt: skip
    sent = {"format": "health-connect", "records": [
        night | {"type": "SleepSessionRecord", "stages": [
            {"startTime": "2026-01-05T22:00:00Z", "endTime": "2026-01-05T22:30:00Z", "stage": 1},
            {"startTime": "2026-01-05T22:30:00Z", "endTime": "2026-01-06T06:00:00Z", "stage": 4}]},
        night | {"type": "HeartRateRecord", "samples": [{"time": "2026-01-05T23:00:00Z", "beatsPerMinute": 55}]},
        {"type": "HeartRateVariabilityRmssdRecord", "time": "2026-01-06T05:00:00Z", "heartRateVariabilityMillis": 33.5,
         "metadata": metadata},
        {"type": "NutritionRecord", "metadata": metadata}]}  # fmt: skip
    assert counts(await system.post(f"Patient/{who}/$ingest", sent)) == {"created": 5}
    by = {each["code"]["coding"][0]["code"]: each for each in await stored(system, who)}
    assert by["93832-4"]["valueQuantity"]["value"] == 7.5 * 3600
    assert by["93832-4"]["effectivePeriod"]["start"] == "2026-01-05T23:00:00+01:00"
    assert by["hrv-rmssd"]["effectiveDateTime"] == "2026-01-06T05:00:00Z"
    assert by["8867-4"]["method"] == {"text": "automatically recorded"}
    steps = {"type": "StepsRecord", "count": 3, "time": "2026-01-05T23:00:00Z"}
    wrong = {
        "format": "health-connect",
        "records": [night | {"type": "HeartRateRecord", "samples": [{"time": 3}]}, steps],
    }
    refused = await system.post(f"Patient/{who}/$ingest", wrong)
    assert refused.expressions == ["records[0].samples[0].time", "records[1].end"]


async def test_a_gap_is_kept_with_its_reason(system: Caller, unique: str) -> None:
    who = await somebody(system, unique)
    gap = {"type": "coverage-gap", "start": "2026-01-05T08:00:00+01:00", "end": "2026-01-05T20:00:00+01:00",
           "code": "no-permission", "device": WATCH, "details": {"signal": "sleep-session"}}  # fmt: skip
    assert counts(await system.post(f"Patient/{who}/$ingest", batch(gap))) == {"created": 1}
    [found] = await stored(system, who)
    assert found["dataAbsentReason"]["coding"][0]["code"] == "no-permission"
    assert "valueQuantity" not in found
    refused = await system.post(f"Patient/{who}/$ingest", batch(gap | {"code": "laziness"}))
    assert refused.expressions == ["samples[0].code"]
