"""The harness counts what really happened: a generator that miscounts would make any figure."""

import asyncio
import json
import re
from datetime import UTC, datetime

import pytest

from fhir_server.kit import clock
from tests.bench import ingest, loop
from tests.bench.client import Connection, Measured, closed_loop, connections, request, timed
from tests.bench.create import observation
from tests.bench.run import _object
from tests.bench.seeds import SIZES, TYPES, seeds
from tests.shared_data import shared
from workers.ingest import observe, payload

PLAIN = b"HTTP/1.1 201 Created\r\nLocation: /fhir/A/1/_history/1\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer in pieces, chunked or plain in turn."""
    turn = 0
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"Content-Length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            answer = (PLAIN, CHUNKED)[turn % 2]
            for piece in (answer[:20], answer[20:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            turn += 1
    except asyncio.IncompleteReadError:
        writer.close()


async def test_a_closed_loop_counts_every_answer() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    locations = []

    async def turn(_number: int, _at: int, connection: Connection, measured: Measured) -> None:
        answer = await timed(connection, request("POST", "/fhir/A", "t", b'{"a":1}'), measured)
        locations.append(answer.location)
        assert answer.body == b"{}"

    measured = await closed_loop(port, 3, 0.2, turn)
    server.close()
    assert sum(measured.statuses.values()) == len(measured.durations) == len(locations)
    assert abs(measured.statuses[201] - measured.statuses[200]) <= 3
    assert locations.count("/fhir/A/1/_history/1") == measured.statuses[201]
    assert measured.percentile(50) <= measured.percentile(99)
    assert measured.rate == pytest.approx(len(locations) / measured.seconds)


async def test_a_connection_that_breaks_is_an_error() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)

    async def turn(_number: int, _at: int, connection: Connection, measured: Measured) -> None:
        await timed(connection, request("GET", "/"), measured)

    with pytest.raises(ConnectionError):
        await closed_loop(server.sockets[0].getsockname()[1], 1, 1, turn)
    server.close()


async def test_a_stream_sends_again_what_was_refused_and_counts_both() -> None:
    """Two batches, each refused once."""
    answers = iter(
        [
            b"HTTP/1.1 429 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ]
        * 2
    )

    async def hub(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(hub, "127.0.0.1", 0)
    sent, queue = ingest.Sent(), asyncio.Queue[tuple[float, bytes] | None]()
    for batch in ((clock.monotonic(), request("POST", "/")), (clock.monotonic(), request("POST", "/")), None):
        queue.put_nowait(batch)
    async with connections(server.sockets[0].getsockname()[1], 1) as (connection,):
        await ingest._sender(connection, queue, sent)
    server.close()
    sent.seconds = 2.0
    assert sent.statuses == {429: 2, 200: 2}
    looks = [ingest.Look(at, 60 * at, 100 + at, 50, events, 0) for at, events in ((0, 0), (1, 4), (2, 1), (3, 9))]
    found = ingest._figures(ingest.Load(60, 2, 1), sent, looks, {"web": 1.0})
    assert found["accepted"] == 2 * ingest.BATCH
    assert (found["refused_429"], found["accepted_per_s"]) == (2, 60.0)
    assert found["events_wait_s"] == {"most": 4, "end": 1}, "what came after the load is not the load's"
    web = {"begin": 100, "middle": 101, "end": 102, "most": 102}
    assert found["web_mib"] == web | {"second_half_per_100000": round(100_000 / 60, 1)}
    assert found["worker_mib"]["second_half_per_100000"] == 0
    assert found["cpu_of_one_core"] == {"web": 0.5}


async def test_a_minute_of_a_stream_is_what_ingest_takes() -> None:
    body = json.loads(ingest.body(datetime(2026, 1, 5, tzinfo=UTC)))
    items = [found.item for each in payload.payloads(body, "hub") for found in payload.read(each)]
    assert len({observe.observation_id("p", item) for item in items}) == ingest.BATCH


def test_the_loop_is_made_of_real_resources_that_point_to_each_other() -> None:
    found = seeds(shared("synthea-120"))
    assert tuple(found) == TYPES
    for kind, size in SIZES.items():
        assert size * 0.5 < len(found[kind]) < size * 1.5, kind
    for position, kind in enumerate(TYPES):
        places = {match.decode() for match in loop._PLACES.findall(found[kind])}
        assert places <= set(TYPES[:position])
        assert b"urn:uuid" not in found[kind]
    assert b"Patient/@Patient@" in found["Observation"]


def test_an_observation_of_the_bench_is_plain() -> None:
    made = [json.dumps(observation("p", number), sort_keys=True) for number in range(500)]
    assert len(set(made)) == 500


def test_what_was_not_measured_is_null() -> None:
    assert set(_object({})) >= {"create_ratio", "loop_rps", "import_rps", "search_p50_ms", "bytes_per_resource"}
    assert all(value is None for name, value in _object({}).items() if name != "details")
    assert _object({"create": {"failed": "x"}, "stages": {"failed": "x"}})["create_ratio"] is None
    assert _object({"stages": {"failed": "x"}})["stages"] is None
