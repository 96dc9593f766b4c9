"""Websockets through uvicorn as the web processes run it: binding, order, what was missed, rights at the moment of sending."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
import websockets
from websockets.asyncio.client import ClientConnection, connect

from fhir_server.app import application
from fhir_server.cli.web import configuration, listening
from fhir_server.http.services import Services
from fhir_server.settings import Settings
from tests.http.client import Caller, caller
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.test_topics import active
from tests.subscriptions.topical import Notice


@pytest.fixture(scope="module")
async def port(services: Services) -> AsyncIterator[int]:
    config = configuration(services.settings)
    config.app, config.factory, config.lifespan, config.loop = application(services), False, "off", "none"
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener := _listener()]))
    await given.until(lambda: asyncio.sleep(0, server.started))
    yield listener.getsockname()[1]
    server.should_exit = True
    await task


def _listener() -> socket.socket:
    return listening("127.0.0.1", 0)


async def binding(system: Caller, *ids: str) -> dict[str, list[str]]:
    body = {"resourceType": "Parameters", "parameter": [{"name": "ids", "valueId": id_} for id_ in ids]}
    answer = await system.post("Subscription/$get-ws-binding-token", body)
    assert answer.status == 200, answer.text
    found: dict[str, list[str]] = {}
    for each in answer.json["parameter"]:
        found.setdefault(each["name"], []).append(next(v for k, v in each.items() if k.startswith("value")))
    return found


@asynccontextmanager
async def bound(system: Caller, port: int, *ids: str) -> AsyncIterator[ClientConnection]:
    found = await binding(system, *ids)
    path = found["websocket-url"][0].split("/", 3)[3]
    assert found["subscription"] == list(ids)
    async with connect(f"ws://127.0.0.1:{port}/{path}") as connection:
        await connection.send(f"bind-with-token {found['token'][0]}")
        yield connection


async def heard(connection: ClientConnection) -> Notice:
    return Notice(json.loads(await asyncio.wait_for(connection.recv(), 40)))


def wanted(unique: str, **more: object) -> dict:
    return topical.subscription("observation", None, f"patient=Patient/{unique}", kind="websocket", **more)


async def test_bound_told_and_told_what_was_missed(system: Caller, served: Settings, port: int, unique: str) -> None:
    id_ = await active(system, wanted(unique, content="full-resource"))
    early = await system.post("Observation", given.observation(unique, 1))
    async with bound(system, port, id_) as connection:
        assert (await heard(connection)).kind == "handshake"
        first = await heard(connection)
        assert (first.numbers, first.entries[1]["resource"]["id"]) == ([1], early.id)
        for value in range(5):
            await system.post("Observation", given.observation(unique, value))
        assert [(await heard(connection)).numbers for _ in range(5)] == [[2], [3], [4], [5], [6]]
    await system.post("Observation", given.observation(unique, 9))
    async with bound(system, port, id_) as one, bound(system, port, id_) as other:
        assert [(await heard(one)).kind, (await heard(other)).kind] == ["handshake"] * 2
        assert (await heard(one)).numbers == [7]
        await system.post("Observation", given.observation(unique, 9))
        assert (await heard(one)).numbers == [8]
        last = (await heard(other)).numbers  # whether it hears of 7 depends on who came first
        assert 8 in (last if last == [8] else (await heard(other)).numbers)


async def test_nobody_hears_of_what_the_one_who_bound_may_not_see(
    system: Caller, served: Settings, port: int, unique: str
) -> None:
    id_ = await active(system, wanted(unique))
    other = await caller(system._http, system.tenant, "system/Subscription.rs")
    async with bound(other, port, id_) as connection:
        assert (await heard(connection)).kind == "handshake"
        await system.post("Observation", given.observation(unique))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 1)


async def test_heartbeats_and_the_end(system: Caller, served: Settings, port: int, unique: str) -> None:
    made = wanted(unique, heartbeat=1)
    id_ = await active(system, made)
    async with bound(system, port, id_) as connection:
        assert [(await heard(connection)).kind for _ in range(2)] == ["handshake", "heartbeat"]
        await system.put(f"Subscription/{id_}", made | {"id": id_, "status": "off"})
        async for _ in connection:
            pass
        assert connection.close_code == 1000


async def test_a_token_works_once_and_nothing_else_does(
    system: Caller, served: Settings, port: int, unique: str
) -> None:
    id_ = await active(system, wanted(unique))
    found = await binding(system, id_)
    address = f"ws://127.0.0.1:{port}/{found['websocket-url'][0].split('/', 3)[3]}"
    async with connect(address) as connection:
        await connection.send(f"bind-with-token {found['token'][0]}")
        assert (await heard(connection)).kind == "handshake"
    for text in (f"bind-with-token {found['token'][0]}", "bind-with-token x", f"bind {id_}", "x" * 1000):
        async with connect(address) as connection:
            await connection.send(text)
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await connection.recv()
            assert closed.value.rcvd.code == 1008
    with pytest.raises(websockets.InvalidStatus):
        await connect(address + "x")


async def test_tokens_are_for_sockets_that_the_caller_may_see(system: Caller, served: Settings, unique: str) -> None:
    hook = await system.post(
        "Subscription", topical.subscription("observation", "http://127.0.0.1:9/x") | {"status": "off"}
    )
    assert (await system.get(f"Subscription/{hook.id}/$get-ws-binding-token")).issue == "subscription-no-websocket"
    assert (await system.get("Subscription/nobody/$get-ws-binding-token")).status == 404
    assert (await system.get("Subscription/$get-ws-binding-token")).status == 400
    other = await caller(system._http, system.tenant, "system/Observation.rs")
    assert (await other.get(f"Subscription/{hook.id}/$get-ws-binding-token")).status == 403
