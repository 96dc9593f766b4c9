"""`$timeline` and `$coverage`: bounded, under the policy, every number from a resource that the caller sees."""

from __future__ import annotations

import statistics
from datetime import timedelta

import httpx
import pytest

from fhir_server.settings import Settings
from fhir_server.storage import ident
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.operations.twin_fixtures import END, demo, parts, put, rows, value, work

SERIES = {"heart-rate", "steps", "sleep-session", "resting-heart-rate", "activity-counts"}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


@pytest.fixture
async def somebody(tenant: Tenant, settings: Settings) -> str:
    """The same patient for all tests that only read."""
    name = f"timeline-{tenant.name}"
    if await ident.known_rid(tenant, "Patient", name) is None:
        await put(tenant, demo(1, name))
        await work(tenant, settings)
    return name


def named(answer, kind):
    return {value(each, "code"): each for each in parts(answer, kind)}


async def test_ninety_days_as_days(system: Caller, somebody: str) -> None:
    answer = await system.get(f"Patient/{somebody}/$timeline")
    assert answer.status == 200, answer.text[:300]
    window = parts(answer.json, "window")[0]
    assert (value(window, "end"), value(window, "resolution"), value(window, "buckets")) == (str(END), "day", 90)
    signals, features = named(answer.json, "signal"), named(answer.json, "feature")
    assert set(signals) >= SERIES - {"activity-counts"}
    steps = rows(features["steps"], "values")
    assert len(steps) == 90
    assert steps[10] == [None, None, None]
    state = (await system.get(f"Patient/{somebody}/$twin")).json
    said = next(c for c in state["component"] if c["code"]["coding"][0]["code"] == "wear-time")
    last = [row for row in rows(features["wear-time"], "values") if row[1] is not None][-1]
    assert last[1] == pytest.approx(said["valueQuantity"]["value"], abs=0.06)
    sources = [part for part in parts(answer.json, "states")[0]["part"] if part["name"] == "source"]
    assert {value(part, "bucket") for part in sources} == {
        place
        for place in range(90)
        if any(rows(f, "values")[place][1] is not None for f in features.values() if value(f, "values"))
    }
    assert value(sources[-1], "reference")["reference"] == f"Observation/{state['id']}"
    assert next(value(gap, "reason") for gap in features["steps"]["part"] if gap["name"] == "gap") == "no-data"
    assert rows(features["steps"], "band")[89][0] is not None
    assert parts(answer.json, "pending")[0]["valueBoolean"] is False


async def test_only_the_parts_that_are_asked_for(system: Caller, somebody: str) -> None:
    whole = (await system.get(f"Patient/{somebody}/$timeline")).json["parameter"]
    for kind in ("signal", "feature", "stream", "states", "questionnaire", "trend", "medication", "encounter"):
        answer = (await system.get(f"Patient/{somebody}/$timeline?include={kind}")).json["parameter"]
        assert {each["name"] for each in answer} == {"window", "pending", kind}
        assert [each for each in answer if each["name"] == kind] == [each for each in whole if each["name"] == kind]
    wrong = await system.get(f"Patient/{somebody}/$timeline?include=weather")
    assert (wrong.status, wrong.issue) == (400, "parameter-value")


async def test_weeks_are_medians_and_means_of_what_the_states_say(system: Caller, somebody: str) -> None:
    first = END - timedelta(days=41)
    url = f"Patient/{somebody}/$timeline?start={first}&end={END}&include=feature,stream&resolution=week"
    answer = (await system.get(url)).json
    found = await system.get(f"Observation?patient={somebody}&code=digital-twin-state&_count=200")
    states = {each["resource"]["effectivePeriod"]["start"][:10]: each["resource"] for each in found.json["entry"]}
    by_week = [[states.get(str(first + timedelta(days=7 * w + d))) for d in range(7)] for w in range(6)]
    for code in ("steps", "sleep-midpoint", "sleep-duration"):
        told = rows(named(answer, "feature")[code], "values")
        for week, (low, middle, high) in zip(by_week, told, strict=True):
            said = [
                part["valueQuantity"]["value"]
                for state in week
                if state
                for part in state["component"]
                if part["code"]["coding"][0]["code"] == code and "valueQuantity" in part
            ]
            expected = (min(said), statistics.median(said), max(said)) if said else (None, None, None)
            assert (low, middle, high) == pytest.approx(expected)
    streams = named(answer, "stream")
    assert streams
    for name, stream in streams.items():
        for week, (measured,) in zip(by_week, rows(stream, "coverage"), strict=True):
            said = [
                each["valueDecimal"]
                for state in week
                if state
                for extension in state["extension"]
                if extension["url"].endswith("/digital-twin-coverage")
                for each in extension["extension"]
                if each["url"] == name
            ]
            assert measured == pytest.approx(sum(said) / 7, abs=0.006)


async def test_every_source_is_there(system: Caller, somebody: str) -> None:
    answer = (await system.get(f"Patient/{somebody}/$timeline?start=2026-06-20")).json
    names = {
        part["valueReference"]["reference"]
        for each in answer["parameter"]
        for one in each.get("part", ())
        for part in [one, *one.get("part", ())]
        if "valueReference" in part
    }
    assert len(names) > 30
    entries = [{"request": {"method": "GET", "url": name}} for name in sorted(names)]
    found = await system.transaction(*entries, kind="batch")
    assert {entry["response"]["status"][:3] for entry in found.json["entry"]} == {"200"}
    search = value(named(answer, "signal")["heart-rate"], "search")
    assert (await system.get(search)).json["total"] >= 10


async def test_questionnaires_trends_medication_and_encounters(system: Caller, somebody: str) -> None:
    answer = (await system.get(f"Patient/{somebody}/$timeline")).json
    scores = parts(answer, "questionnaire")
    assert {value(each, "instrument") for each in scores} == {"phq-9", "gad-7"}
    assert all(value(each, "severity") and value(each, "source") for each in scores)
    assert any(value(each, "item9") is not None for each in scores)
    trend = named(answer, "trend")["phq-9"]
    known = [row for row in rows(trend, "values") if row[1] is not None]
    assert known
    assert all(low <= estimate <= high for low, estimate, high in known)
    assert {value(each, "basis") for each in parts(answer, "medication")} >= {"ordered"}
    assert parts(answer, "encounter")


@pytest.mark.parametrize(
    ("days", "resolution", "points"),
    [(1, "minute", 1440), (7, "hour", 168), (31, "hour", 744), (60, "day", 60), (1000, "week", 143)],
)
async def test_the_resolution_that_fits(system: Caller, somebody: str, days: int, resolution: str, points: int) -> None:
    start = END - timedelta(days=days - 1)
    answer = (await system.get(f"Patient/{somebody}/$timeline?start={start}&end={END}")).json
    window = parts(answer, "window")[0]
    assert (value(window, "resolution"), value(window, "buckets")) == (resolution, points)
    steps = rows(named(answer, "signal")["steps"], "values")
    assert len(steps) == points
    assert any(row[0] is not None for row in steps)
    assert all(low <= middle <= high for low, middle, high in steps if low is not None)


async def test_hours_add_up_to_the_day(system: Caller, somebody: str) -> None:
    day = END - timedelta(days=3)
    url = f"Patient/{somebody}/$timeline?start={day}&end={day}&series=steps&resolution="
    totals = {}
    for resolution in ("minute", "five-minutes", "hour", "day"):
        answer = (await system.get(url + resolution)).json
        totals[resolution] = sum(row[0] or 0 for row in rows(named(answer, "signal")["steps"], "total"))
        assert set(named(answer, "feature")) == {"steps"}
    assert totals["minute"] == pytest.approx(totals["hour"], rel=1e-4) == pytest.approx(totals["day"], rel=1e-4)
    assert totals["five-minutes"] == pytest.approx(totals["day"], rel=1e-4)


async def test_ten_days_of_five_minutes_are_those_of_one_day_each(system: Caller, somebody: str) -> None:
    """An actogram is read in pieces: where one begins and ends changes nothing."""
    first, url = END - timedelta(days=9), f"Patient/{somebody}/$timeline?resolution=five-minutes&include=signal"
    whole = named((await system.get(f"{url}&start={first}&end={END}")).json, "signal")
    assert set(whole) == SERIES - {"sleep-session", "resting-heart-rate"}
    for name in ("activity-counts", "steps"):
        told = rows(whole[name], "total")
        assert len(told) == 2880
        for back in range(10):
            day = first + timedelta(days=back)
            alone = named((await system.get(f"{url}&series={name}&start={day}&end={day}")).json, "signal")
            assert (rows(alone[name], "total") if alone else [[None]] * 288) == told[288 * back : 288 * (back + 1)]


async def test_days_that_are_still_to_come_take_no_number_from_those_before(system: Caller, somebody: str) -> None:
    """A window often ends today, of which there are no data yet."""
    url = (
        f"Patient/{somebody}/$timeline?series=steps&include=feature&resolution=day&start={END - timedelta(days=1)}&end="
    )
    known = rows(named((await system.get(f"{url}{END}")).json, "feature")["steps"], "values")
    longer = named((await system.get(f"{url}{END + timedelta(days=1)}")).json, "feature")["steps"]
    assert all(row[1] is not None for row in known)
    assert rows(longer, "values") == [*known, [None, None, None]]


async def test_what_is_refused(system: Caller, somebody: str) -> None:
    stem = f"Patient/{somebody}/$timeline"
    for query, issue in (
        ("resolution=minute&start=2020-01-01", "timeline-too-fine"),
        (f"resolution=five-minutes&start={END - timedelta(days=10)}&end={END}", "timeline-too-fine"),
        ("resolution=second", "parameter-value"),
        ("series=blood", "parameter-value"),
        ("start=2026", "parameter-value"),
        ("start=2026-02-31", "parameter-value"),
        ("start=2026-02-02&end=2026-02-01", "parameter-value"),
        ("start=1900-01-01&end=2200-01-01", "parameter-value"),
        ("start=1066-01-01", "parameter-value"),
        ("colour=red", "parameter-unknown"),
    ):
        answer = await system.get(f"{stem}?{query}")
        assert (answer.status, answer.issue) == (400, issue), query
    assert (await system.get("Patient/nobody/$timeline")).status == 404
    empty = await system.post("Patient", {"resourceType": "Patient"})
    answer = await system.get(f"Patient/{empty.id}/$timeline")
    assert answer.status == 200
    assert not parts(answer.json, "signal")
    assert {value(f, "values") for f in parts(answer.json, "feature")} == {None}


async def test_who_sees_less_gets_less(http: httpx.AsyncClient, tenant: Tenant, system: Caller, somebody: str) -> None:
    whole = (await system.get(f"Patient/{somebody}/$timeline?end={END}")).json
    heart = await caller(http, tenant, scope="system/Patient.rs system/Observation.rs?code=http://loinc.org|8867-4")
    answer = (await heart.get(f"Patient/{somebody}/$timeline?end={END}")).json
    assert set(named(answer, "signal")) == {"heart-rate"}
    assert rows(named(answer, "signal")["heart-rate"], "values") == rows(named(whole, "signal")["heart-rate"], "values")
    for kind in ("states", "deviation", "change", "trend", "questionnaire", "medication", "encounter", "pending"):
        assert not parts(answer, kind), kind
    assert {value(f, "values") for f in parts(answer, "feature")} == {None}
    covered = (await heart.get(f"Patient/{somebody}/$coverage?end={END}")).json
    assert set(named(covered, "signal")) == {"heart-rate"}
    nothing = await caller(http, tenant, scope="system/Patient.rs")
    assert (await nothing.get(f"Patient/{somebody}/$timeline")).status == 403
    other = await system.post("Patient", {"resourceType": "Patient"})
    stranger = await caller(http, tenant, scope="patient/*.rs", patient=other.id)
    assert (await stranger.get(f"Patient/{somebody}/$timeline")).status == 404
    own = await caller(http, tenant, scope="patient/*.rs", patient=somebody)
    mine = (await own.get(f"Patient/{somebody}/$timeline?end={END}")).json
    assert named(mine, "signal") == named(whole, "signal")
    assert parts(mine, "states") == parts(whole, "states")


async def test_a_deleted_observation_is_gone(tenant: Tenant, settings: Settings, system: Caller, unique: str) -> None:
    resources = demo(1, unique, 20)
    await put(tenant, resources)
    await work(tenant, settings)
    day = END - timedelta(days=2)
    url = f"Patient/{unique}/$coverage?start={day}&end={day}"
    before = named((await system.get(url)).json, "signal")
    assert rows(before["heart-rate"], "samples")[0][0] > 500
    for r in resources:
        if r["resourceType"] == "Observation" and r["code"]["coding"][0]["code"] == "8867-4":
            assert (await system.delete(f"Observation/{r['id']}")).status in (200, 204)
    await work(tenant, settings)
    assert "heart-rate" not in named((await system.get(url)).json, "signal")


async def test_coverage_says_why(system: Caller, somebody: str) -> None:
    answer = (await system.get(f"Patient/{somebody}/$coverage?start=2026-04-01")).json
    signals = named(answer, "signal")
    heart = signals["heart-rate"]
    measured = rows(heart, "coverage")
    assert len(measured) == 91
    gaps = [gap for gap in heart["part"] if gap["name"] == "gap"]
    assert value(gaps[0], "reason") == "no-data"
    assert {value(gap, "reason") for gap in gaps} <= {"no-data", "partly-measured", "not-measured"}
    told = {place for gap in gaps for place in range(value(gap, "first"), value(gap, "last") + 1)}
    assert told == {place for place, (part,) in enumerate(measured) if part < 0.95}
    assert all(value(gap, "text") for gap in gaps)


async def test_a_reason_that_a_source_told_outranks_ours(
    tenant: Tenant, settings: Settings, system: Caller, unique: str
) -> None:
    """Steps were charging all day by one source; heart rate was not, and an hour explains no day."""
    await put(tenant, demo(1, unique, 12))
    day = END + timedelta(days=1)
    whole = {"type": "coverage-gap", "start": f"{day}", "code": "charging", "details": {"signal": "steps"}}
    hour = {"type": "coverage-gap", "start": f"{day}T10:00:00Z", "end": f"{day}T11:00:00Z", "code": "not-synced"}
    sent = {"format": "clarity", "source": "phone", "samples": [whole, hour]}
    answer = await system.post(f"Patient/{unique}/$ingest", sent)
    assert answer.status == 200, answer.text
    await work(tenant, settings)
    url = f"Patient/{unique}/$coverage?start={END - timedelta(days=3)}&end={day}"
    found = named((await system.get(url)).json, "signal")
    last = {
        name: [(value(gap, "reason"), value(gap, "text")) for gap in each["part"] if gap["name"] == "gap"][-1]
        for name, each in found.items()
    }
    assert last["steps"] == ("charging", "The device was charging.")
    assert last["heart-rate"][0] == "no-data"
    status = (await system.get(f"Observation?patient={unique}&code=wear-gap")).json["total"]
    assert status == 2


async def test_it_is_declared_audited_and_posted(system: Caller, somebody: str) -> None:
    served = (await system.get("metadata")).json
    operations = {o["name"] for r in served["rest"][0]["resource"] if r["type"] == "Patient" for o in r["operation"]}
    assert {"timeline", "coverage", "twin"} <= operations
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "start", "valueDate": "2026-06-20"}, {"name": "series", "valueCode": "steps"}],
    }
    posted = await system.post(f"Patient/{somebody}/$timeline", body)
    asked = await system.get(f"Patient/{somebody}/$timeline?start=2026-06-20&series=steps")
    assert posted.json == asked.json
    events = await system.get(f"AuditEvent?patient=Patient/{somebody}&_count=5&_sort=-date")
    assert events.json["entry"]
