"""`$lastn`: the newest of each code, against a reading of the specification in plain Python; who sees less gets less."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fhir_server.search import lastn
from tests.http.client import Answer, Caller, caller

Json = dict[str, Any]
LOINC, LOCAL = "http://loinc.org", "urn:local"
CODES = [(LOINC, "1-8"), (LOINC, "2-6"), (LOCAL, "a"), (LOCAL, "1-8")]
CATEGORIES = ["laboratory", "vital-signs"]


def coded(*codings: tuple[str, str], text: str | None = None) -> Json:
    concept: Json = {"coding": [{"system": system, "code": code} for system, code in codings]} if codings else {}
    return concept | ({"text": text} if text else {})


def observation(subject: str, code: Json, at: str | None, category: str = "laboratory", **more: Any) -> Json:
    made: Json = {
        "resourceType": "Observation", "status": "final", "code": code, "subject": {"reference": subject},
        "category": [{"coding": [{"code": category}]}], **more,
    }  # fmt: skip
    return made | ({"effectiveDateTime": at} if at else {})


async def add(system: Caller, *bodies: Json) -> list[Json]:
    """Create resources; return them as stored."""
    answer = await system.transaction(
        *({"resource": body, "request": {"method": "POST", "url": body["resourceType"]}} for body in bodies)
    )
    assert answer.status == 200, answer.text[:500]
    return [each["resource"] for each in (await system.transaction(
        *({"request": {"method": "GET", "url": "/".join(each["response"]["location"].split("/")[-4:-2])}}
          for each in answer.json["entry"]), kind="batch"
    )).json["entry"]]  # fmt: skip


async def patient(system: Caller) -> str:
    return f"Patient/{(await system.post('Patient', {'resourceType': 'Patient'})).id}"


def shown(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json.get("entry", [])]


def naive(resources: list[Json], most: int, takes: Callable[[Json], bool] = lambda _: True) -> list[set[str]]:
    """Return the ids of each group: codings shared join groups, ties with the last one stay, undated ones come last."""
    groups: list[tuple[set[Any], list[Json]]] = []
    for each in filter(takes, resources):
        codings = {(c["system"], c["code"].casefold()) for c in each["code"].get("coding", [])}
        names: set[Any] = codings or {each["code"].get("text", "")}
        same = [group for group in groups if group[0] & names]
        groups = [group for group in groups if group not in same]
        groups.append((names.union(*(g[0] for g in same)), [each, *(r for g in same for r in g[1])]))
    out = []
    for _, members in groups:
        dated = sorted(
            (r for r in members if "effectiveDateTime" in r), key=lambda r: r["effectiveDateTime"], reverse=True
        )
        if len(dated) >= most:
            out.append({r["id"] for r in dated if r["effectiveDateTime"] >= dated[most - 1]["effectiveDateTime"]})
        else:
            out.append({r["id"] for r in dated})
    return out


def some(rng: random.Random, subject: str, *, dated: bool) -> Json:
    codings = rng.sample(CODES, rng.choice((1, 1, 1, 2, 0)))
    at = f"2020-01-{rng.randint(1, 9):02}T00:00:00Z" if dated else None
    status = rng.choice(("final", "amended"))
    text = rng.choice(("x", "y")) if not codings else None
    return observation(subject, coded(*codings, text=text), at, rng.choice(CATEGORIES), status=status)


@pytest.mark.parametrize("seed", range(6))
async def test_against_the_naive_reading(system: Caller, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Windows far smaller than the record, so that every way of finding is taken; links are within the newest of both."""
    rng = random.Random(seed)
    who, other = await patient(system), await patient(system)
    stored = await add(system, *(some(rng, who, dated=True) for _ in range(rng.choice((5, 30, 60)))))
    await add(system, *(some(rng, other, dated=True) for _ in range(5)))
    queries: list[tuple[str, Callable[[Json], bool]]] = [
        ("", lambda _: True),
        ("&category=laboratory", lambda r: r["category"][0]["coding"][0]["code"] == "laboratory"),
        ("&status=final", lambda r: r["status"] == "final"),
        ("&status:not=final", lambda r: r["status"] != "final"),
        ("&date=ge2020-01-05", lambda r: r["effectiveDateTime"] >= "2020-01-05"),
        (f"&code={LOINC}|1-8", lambda r: {"system": LOINC, "code": "1-8"} in r["code"].get("coding", [])),
        ("&code=1-8", lambda r: any(c["code"] == "1-8" for c in r["code"].get("coding", []))),
        (f"&code={LOINC}|1-8,{LOCAL}|a", lambda r: any(
            (c["system"], c["code"]) in ((LOINC, "1-8"), (LOCAL, "a")) for c in r["code"].get("coding", []))),
    ]  # fmt: skip
    for window in (64, 8):
        monkeypatch.setattr(lastn, "WINDOW", window)
        for query, takes in queries:
            for most in (1, 3, 100):
                answer = await system.get(f"Observation/$lastn?max={most}&patient={who}{quote(query, safe='&=:|')}")
                wanted = naive(stored, most, takes)
                if window == 64:
                    assert set(shown(answer)) == set().union(*wanted), (query, most)
                    assert answer.json["total"] == sum(map(len, wanted))
                else:  # fewer links may be known, so there may be more groups, never fewer results
                    assert set(shown(answer)) >= set().union(*wanted), (query, most)


async def test_order_and_ties(system: Caller) -> None:
    who = await patient(system)
    pulse, weight = coded((LOINC, "8867-4")), coded((LOINC, "29463-7"))
    made = await add(
        system,
        observation(who, pulse, "2020-01-01"), observation(who, pulse, "2020-01-02"), observation(who, pulse, "2020-01-03"),
        observation(who, weight, "2020-01-05"), observation(who, weight, "2020-01-05"), observation(who, weight, "2019-01-01"),
    )  # fmt: skip
    ids = [each["id"] for each in made]
    one = await system.get(f"Observation/$lastn?subject={who}")
    assert shown(one) == [ids[4], ids[3], ids[2]], "the newest group first; what is as new as the last one is there too"
    two = await system.get(f"Observation/$lastn?max=2&subject={who}")
    assert shown(two) == [ids[4], ids[3], ids[2], ids[1]]
    assert shown(await system.get(f"Observation/$lastn?max=3&subject={who}")) == [ids[4], ids[3], ids[5], *ids[2::-1]]
    assert one.json["link"][0]["url"].endswith(f"$lastn?max=1&subject={quote(who, safe='')}")
    bare = who.removeprefix("Patient/")
    assert shown(await system.get(f"Observation/$lastn?patient={bare}")) == shown(one)
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "max", "valuePositiveInt": 2}, {"name": "subject", "valueReference": {"reference": who}},
    ]}  # fmt: skip
    assert shown(await system.post("Observation/$lastn", body)) == shown(two)


async def test_what_has_no_date_comes_last_and_text_is_a_code(system: Caller) -> None:
    who = await patient(system)
    pulse = coded((LOINC, "8867-4"))
    made = await add(
        system, observation(who, pulse, None), observation(who, pulse, "2020-01-01"), observation(who, coded(text="mood"), "2020"),
        observation(who, coded(text="mood"), "2021"), observation(who, coded(text="sleep"), None),
    )  # fmt: skip
    ids = [each["id"] for each in made]
    assert shown(await system.get(f"Observation/$lastn?patient={who}")) == [ids[3], ids[1], ids[4]]
    assert shown(await system.get(f"Observation/$lastn?patient={who}&max=2")) == [
        ids[3],
        ids[2],
        ids[1],
        ids[0],
        ids[4],
    ]
    # The series serves `_sort=-date` as before: what has no date comes once, at the end.
    found = await system.get(f"Observation?patient={who}&code={LOINC}|8867-4&_sort=-date")
    assert shown(found) == [ids[1], ids[0]]
    assert shown(await system.get(f"Observation?patient={who}&code={LOINC}|8867-4&_sort=date")) == [ids[1], ids[0]]
    assert shown(await system.get(f"Observation?patient={who}&code={LOINC}|8867-4&date=lt2022")) == [ids[1]]
    # It moves when it gets a date.
    await system.put(f"Observation/{ids[0]}", observation(who, pulse, "2022", id=ids[0]))
    assert shown(await system.get(f"Observation/$lastn?patient={who}&code={LOINC}|8867-4")) == [ids[0]]
    await system.delete(f"Observation/{ids[0]}")
    assert shown(await system.get(f"Observation/$lastn?patient={who}&code={LOINC}|8867-4")) == [ids[1]]


async def test_codings_join_groups_through_others(system: Caller) -> None:
    who = await patient(system)
    a, b, c = (LOINC, "1-8"), (LOCAL, "a"), (LOCAL, "b")
    made = await add(
        system, observation(who, coded(a), "2021"), observation(who, coded(a, b), "2020"),
        observation(who, coded(b, c), "2019"), observation(who, coded(c), "2018"),
    )  # fmt: skip
    ids = [each["id"] for each in made]
    assert shown(await system.get(f"Observation/$lastn?patient={who}")) == ids[:1]
    assert shown(await system.get(f"Observation/$lastn?patient={who}&max=3")) == ids[:3]
    only_c = await system.get(f"Observation/$lastn?patient={who}&code={LOCAL}|b&max=5")
    assert shown(only_c) == ids[2:]


async def test_subjects_that_are_no_patient_and_criteria_that_look_inside(system: Caller) -> None:
    device = f"Device/{(await system.post('Device', {'resourceType': 'Device'})).id}"
    who = await patient(system)
    made = await add(
        system, observation(device, coded((LOINC, "1-8")), "2020"), observation(device, coded((LOINC, "1-8")), "2021"),
        observation(device, coded(text="x"), None), observation(who, coded((LOINC, "1-8")), "2021", valueString="calm"),
        observation(who, coded((LOINC, "1-8")), "2022", valueString="calmer and a longer text"),
    )  # fmt: skip
    ids = [each["id"] for each in made]
    assert shown(await system.get(f"Observation/$lastn?subject={device}")) == [ids[1], ids[2]]
    assert shown(await system.get(f"Observation/$lastn?patient={who}&value-string:exact=calm")) == [ids[3]]
    assert shown(await system.get(f"Observation/$lastn?patient={who}&value-string=calmer and a longer t")) == [ids[4]]
    assert shown(await system.get("Observation/$lastn?patient=never-was")) == []


@pytest.mark.parametrize(
    ("query", "issue"),
    [
        ("", "lastn-subject"), ("patient=1&patient=2", "lastn-subject"), ("patient=1,2", "lastn-subject"),
        ("patient=1&max=0", "parameter-value"), ("patient=1&max=x", "parameter-value"),
        ("patient=1&max=1&max=2", "parameter-value"),
        ("patient=1&_sort=date", "lastn-parameter"), ("patient=1&_count=3", "lastn-parameter"),
        ("patient=1&nothing=3", "search-unknown-parameter"), ("patient:missing=true", "lastn-subject"),
    ],
)  # fmt: skip
async def test_what_is_refused(system: Caller, query: str, issue: str) -> None:
    answer = await system.get(f"Observation/$lastn?{query}")
    assert (answer.status, answer.issue) == (400, issue)


async def test_the_policy_comes_before_the_newest(system: Caller, http: httpx.AsyncClient) -> None:
    """What is hidden takes no place and joins no groups; other patients have nothing."""
    who, other = await patient(system), await patient(system)
    a, b = (LOINC, "1-8"), (LOCAL, "a")
    made = await add(
        system, observation(who, coded(a), "2020"), observation(who, coded(a, b), "2021", category="vital-signs"),
        observation(who, coded(b), "2019"), observation(other, coded(a), "2022"),
    )  # fmt: skip
    ids = [each["id"] for each in made]
    person = await caller(http, system.tenant, "patient/Observation.rs", who.split("/")[1])
    assert shown(await person.get(f"Observation/$lastn?patient={who}")) == ids[1:2]
    assert shown(await person.get(f"Observation/$lastn?patient={other}")) == []
    some_of_it = await caller(http, system.tenant, "system/Observation.rs?category=laboratory")
    assert shown(await some_of_it.get(f"Observation/$lastn?patient={who}")) == [ids[0], ids[2]]
    none = await caller(http, system.tenant, "system/Patient.rs")
    assert (await none.get(f"Observation/$lastn?patient={who}")).status == 403


async def test_the_audit_names_the_patient(system: Caller) -> None:
    who = await patient(system)
    await add(system, observation(who, coded((LOINC, "1-8")), "2020"))
    await system.get(f"Observation/$lastn?patient={who}")
    event = (await system.get(f"AuditEvent?patient={who}&_count=1")).json["entry"][0]["resource"]
    assert "Observation/$lastn?max=1" in str(event) or any("query" in entity for entity in event["entity"])
