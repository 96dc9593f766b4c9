"""The main job under fire: 10,000 device Observations while processes die, Redis forgets and the database restarts.

Afterwards nothing that was acknowledged is missing, every twin is the one that a computation from scratch gives, and every
crossing was told to the subscriber at least once and never with different content.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from fhir_server.kit import json as kit_json
from tests.fire.instance import Up, up
from tests.subscriptions.receiver import Received, receiving
from workers.demo.generate import generate
from workers.twin.block import gather
from workers.twin.crossings import crossings
from workers.twin.ids import state_id
from workers.twin.signals import read
from workers.twin.state import State, states
from workers.twin.zone import zone_of

SEED, PATIENTS, DAYS, END = 20262, 30, 90, date(2026, 6, 30)
HUB = "urn:test:hub"
SENDERS = 6
IDLE_SECONDS = 240

Json = dict[str, Any]


class Client:
    """Sends until it is acknowledged: a device hub does not give up because a server is away."""

    def __init__(self, base: str, token: str) -> None:
        self.base = base
        self.http = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self.tries = 0
        self.acknowledged = 0

    async def send(self, method: str, path: str, body: Json | None = None, **headers: str) -> httpx.Response:
        content = kit_json.encode(body) if body is not None else None
        for attempt in range(200):
            self.tries += 1
            try:
                headers["Content-Type"] = "application/fhir+json"
                answer = await self.http.request(method, f"{self.base}/{path}", content=content, headers=headers)
            except httpx.HTTPError:
                await asyncio.sleep(min(0.05 * 2**attempt, 1))
                continue
            if answer.status_code < 500 and answer.status_code not in (409, 429):
                assert answer.status_code < 300, answer.text
                return answer
            await asyncio.sleep(min(0.05 * 2**attempt, 1))
        raise AssertionError("never acknowledged")


def cohort() -> tuple[list[Json], list[Json]]:
    """Return the patients, and their devices' Observations with an identifier of the hub each."""
    resources = [entry["resource"] for b in generate(SEED, PATIENTS, DAYS, end=END) for entry in b["entry"]]
    observations = [r for r in resources if r["resourceType"] == "Observation" and r.get("device")]
    for observation in observations:
        observation["identifier"] = [{"system": HUB, "value": observation["id"]}]
    return [r for r in resources if r["resourceType"] == "Patient"], observations


async def post_one(client: Client, observation: Json) -> None:
    body = {name: value for name, value in observation.items() if name != "id"}
    query = f"identifier={HUB}|{observation['id']}"
    await client.send("POST", "Observation", body, **{"If-None-Exist": query})


async def put_one(client: Client, observation: Json) -> None:
    body = {name: value for name, value in observation.items() if name != "id"}
    await client.send("PUT", f"Observation?identifier={HUB}|{observation['id']}", body)


async def post_batch(client: Client, observations: list[Json]) -> None:
    """Post a batch; entries that were not taken are sent again one by one, as a hub would."""
    entries = [
        {
            "resource": {name: value for name, value in observation.items() if name != "id"},
            "request": {
                "method": "POST",
                "url": "Observation",
                "ifNoneExist": f"identifier={HUB}|{observation['id']}",
            },
        }
        for observation in observations
    ]
    answer = await client.send("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    for observation, entry in zip(observations, answer.json()["entry"], strict=True):
        if not entry["response"]["status"].startswith("2"):
            await post_one(client, observation)


async def feed(client: Client, observations: list[Json]) -> None:
    """Send everything in the hub's three ways, some of it twice and out of order."""
    waiting = observations + random.Random(7).sample(observations, len(observations) // 50)
    random.Random(8).shuffle(waiting)

    async def sender(number: int) -> None:
        own = waiting[number::SENDERS]
        for start in range(0, len(own), 24):
            part = own[start : start + 24]
            await post_batch(client, part[:20])
            for observation in part[20:22]:
                await post_one(client, observation)
            for observation in part[22:]:
                await put_one(client, observation)
            client.acknowledged += len(part)

    await asyncio.gather(*(sender(number) for number in range(SENDERS)))


async def set_fire(instance: Up, client: Client, total: int) -> list[str]:
    """Kill and flush while the hub sends, spread over what it sends; return what was done."""
    done: list[str] = []
    acts = (
        lambda: instance.kill("fhir_server worker"),
        lambda: instance.kill("fhir_server.cli.web"),
        instance.flush_redis,
        lambda: instance.kill("postgres"),
        lambda: instance.kill("fhir_server worker"),
        instance.flush_redis,
        lambda: instance.kill("fhir_server.cli.web"),
        lambda: instance.kill("redis-server"),
    )
    for number, act in enumerate(acts, 1):
        while client.acknowledged < total * number / (len(acts) + 1):  # noqa: ASYNC110  a bystander only looks
            await asyncio.sleep(0.02)
        done.append(await asyncio.to_thread(act))
    return done


async def search_all(client: Client, query: str) -> list[Json]:
    """Return every resource that a search finds, page by page."""
    found: list[Json] = []
    path: str | None = query
    while path:
        page = kit_json.decode_trusted((await client.send("GET", path)).content)
        found += [entry["resource"] for entry in page.get("entry", ())]
        following = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        path = following.removeprefix(f"{client.base}/") if following else None
    return found


async def settle(client: Client, wanted: dict[str, list[State]]) -> None:
    """Wait until every patient's twin has caught up."""
    for patient in wanted:
        for _ in range(IDLE_SECONDS // 5):
            if (await client.send("GET", f"Patient/{patient}/$twin?wait=5")).status_code == 200:
                break
        else:
            raise AssertionError(f"the twin of {patient} did not settle")


def from_scratch(patients: list[Json], observations: list[Json]) -> dict[str, list[State]]:
    """Return every patient's states, computed here from the Observations alone."""
    own: dict[str, list[Json]] = defaultdict(list)
    for observation in observations:
        own[observation["subject"]["reference"].removeprefix("Patient/")].append(observation)
    return {
        patient["id"]: states(
            gather([(rid, 1, read(o)) for rid, o in enumerate(own[patient["id"]])]), zone=zone_of(patient) or None
        )
        for patient in patients
    }


def same_numbers(stored: Json, state: State) -> bool:
    values = {
        part["code"]["coding"][0]["code"]: part.get("valueQuantity", {}).get("value") for part in stored["component"]
    }
    for feature in state.features:
        value = values[feature.feature.code]
        if (value is None) != (feature.value is None):
            return False
        if value is not None and feature.value is not None:
            rounded = Decimal(feature.value).quantize(Decimal(1).scaleb(-feature.feature.decimals))
            if Decimal(value) != rounded:
                return False
    return True


def check_told(got: list[Received], versions: set[tuple[str, str]]) -> None:
    """Every version of every crossing was told at least once; what was told twice was the same."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    told = set()
    for request in got:
        bodies[request.id].add(request.body)
        if request.answered and 200 <= request.answered < 300:
            resource = json.loads(request.body)
            told.add((resource["id"], resource["meta"]["versionId"]))
    assert all(len(different) == 1 for different in bodies.values())
    assert versions <= told, f"{len(versions - told)} of {len(versions)} crossings were not told"


async def test_nothing_is_lost_under_fire(tmp_path: Path) -> None:
    patients, observations = await asyncio.to_thread(cohort)
    assert len(observations) >= 9_000
    wanted = await asyncio.to_thread(from_scratch, patients, observations)
    chance = random.Random(9)

    def moody(_request: Received, before: int) -> int | str:
        # Each failure holds back what follows for five seconds.
        return 200 if before else chance.choice([*[200] * 18, 503, "hangup"])

    folder = tmp_path / "instance"
    with up(folder, "--no-demo", ENVIRONMENT="test", TWIN_REFRESH_SECONDS="10", WEB_PROCESSES="2") as instance:
        async with receiving() as receiver, AsyncExitStack() as stack:
            receiver.answer = moody
            client = Client(instance.base, await asyncio.to_thread(instance.token, "system/*.cruds"))
            stack.push_async_callback(client.http.aclose)
            for patient in patients:
                await client.send("PUT", f"Patient/{patient['id']}", patient)
            await client.send("POST", "Subscription", subscription(receiver.url))
            async with asyncio.TaskGroup() as both:
                both.create_task(feed(client, observations))
                fire = both.create_task(set_fire(instance, client, len(observations)))
            done = fire.result()
            await settle(client, wanted)
            await check_observations(client, observations)
            await check_twins(client, wanted)
            versions = await crossings_told(client)
            with suppress(TimeoutError):  # what is missing then is said below
                await receiver.until(lambda: versions <= versions_taken(receiver.got), IDLE_SECONDS)
            check_told(receiver.got, versions)
            assert len(done) == 8
            assert sum(len(crossings(state)) for found in wanted.values() for state in found) > 0


def subscription(url: str) -> Json:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "deviations",
        "criteria": "RiskAssessment?_tag=twin",
        "channel": {"type": "rest-hook", "endpoint": url, "payload": "application/fhir+json"},
    }


async def check_observations(client: Client, observations: list[Json]) -> None:
    """Each was stored exactly once, whatever the hub had to repeat."""
    found = await search_all(client, "Observation?_elements=identifier&category:missing=false&_count=1000")
    values = [r["identifier"][0]["value"] for r in found if r.get("identifier", [{}])[0].get("system") == HUB]
    assert len(values) == len(set(values)) == len(observations)


async def check_twins(client: Client, wanted: dict[str, list[State]]) -> None:
    """Every state equals the one from scratch, and there is no other."""
    for patient, computed in wanted.items():
        found = await search_all(client, f"Observation?patient={patient}&code=digital-twin-state&_count=200")
        stored = {r["id"]: r for r in found if r["status"] == "final"}
        assert stored.keys() == {state_id(patient, state.day) for state in computed}
        different = [state.day for state in computed if not same_numbers(stored[state_id(patient, state.day)], state)]
        assert not different, f"{patient}: {different}"
        risks = await search_all(client, f"RiskAssessment?patient={patient}&_tag=twin&_count=200")
        standing = sum(r["status"] == "preliminary" for r in risks)
        assert standing == sum(len(crossings(state)) for state in computed)


async def crossings_told(client: Client) -> set[tuple[str, str]]:
    """Return (id, version) of the crossings that stand."""
    found = await search_all(client, "RiskAssessment?_tag=twin&_count=200")
    return {(r["id"], r["meta"]["versionId"]) for r in found if r["status"] == "preliminary"}


def versions_taken(got: list[Received]) -> set[tuple[str, str]]:
    taken = [json.loads(r.body) for r in got if r.answered and 200 <= r.answered < 300 and r.body]
    return {(r["id"], r["meta"]["versionId"]) for r in taken}
