"""Synthea's 120 patients by transaction bundles, and reads of others while the largest bundle is posted."""

from __future__ import annotations

import asyncio
import bz2
import random
import re
from pathlib import Path

import asyncpg
import msgspec

from fhir_server.kit import clock
from tests.bench.client import Connection, Measured, connections, request, timed
from tests.bench.rig import Rig

SENDERS = 4
READERS = 2
READ_PAUSE = 0.005
_ENTRIES = re.compile(rb'"request"')


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw]


def bundles(folder: Path) -> list[tuple[str, bytes, int]]:
    """Return name, body and number of resources of each file, those that others refer to first."""
    found = []
    for file in sorted(folder.glob("*.bz2")):
        body = bz2.decompress(file.read_bytes())
        found.append((file.name, body, len(msgspec.json.decode(body, type=_Bundle).entry)))
    return found


async def measure(rig: Rig, folder: Path) -> dict[str, object]:
    """Return resources a second over all bundles, and how long reads took while the largest was posted."""
    token = await rig.token()
    files = bundles(folder)
    first, others = files[:2], sorted(files[2:], key=lambda file: file[2])
    largest = others.pop()
    random.Random(1).shuffle(others)
    before, began = rig.cpu(), clock.monotonic()
    for file in first:
        await _post_all(rig.port, token, [file], 1)
    await _post_all(rig.port, token, others, SENDERS)
    reads, took = await _largest_with_reads(rig, token, largest[1])
    seconds = clock.monotonic() - began
    count = sum(file[2] for file in files)
    spent = {kind: round((after - before[kind]) * 1e6 / count, 1) for kind, after in rig.cpu().items()}
    return {
        "rps": round(count / seconds, 1),
        "resources": count,
        "seconds": round(seconds, 2),
        "cpu_us_a_resource": spent,
        "largest_bundle": {"entries": largest[2], "seconds": round(took, 2)},
        "reads_meanwhile": reads.summary(),
    }


async def _post_all(port: int, token: str, files: list[tuple[str, bytes, int]], senders: int) -> None:
    waiting = list(reversed(files))

    async def send(connection: Connection) -> None:
        while waiting:
            name, body, _ = waiting.pop()
            answer = await connection.send(request("POST", "/fhir", token, body, Prefer="return=minimal"))
            assert answer.status == 200, (name, answer.status, answer.body[:1000])

    async with connections(port, senders) as opened:
        await asyncio.gather(*(send(connection) for connection in opened))


async def _largest_with_reads(rig: Rig, token: str, body: bytes) -> tuple[Measured, float]:
    """Post the largest bundle while other connections read what is there, a read every few milliseconds each."""
    paths = await _paths(rig)
    measured, done = Measured(), asyncio.Event()

    async def read(number: int, connection: Connection) -> None:
        chosen = random.Random(number)
        while not done.is_set():
            answer = await timed(connection, request("GET", chosen.choice(paths), token), measured)
            assert answer.status == 200, answer.body[:500]
            await asyncio.sleep(READ_PAUSE)

    async with connections(rig.port, READERS * rig.settings.processes + 1) as (sender, *readers):
        reading = [asyncio.create_task(read(number, connection)) for number, connection in enumerate(readers)]
        await asyncio.sleep(0.5)
        measured.durations.clear()
        measured.statuses.clear()
        began = clock.monotonic()
        answer = await sender.send(request("POST", "/fhir", token, body, Prefer="return=minimal"))
        took = clock.monotonic() - began
        assert answer.status == 200, answer.body[:1000]
        done.set()
        await asyncio.gather(*reading)
    measured.seconds = took
    return measured, took


async def _paths(rig: Rig) -> list[str]:
    """Return addresses of resources that are there, found past the API so that finding costs no request."""
    from profiles.registry import R4

    connection = await asyncpg.connect(rig.dsn)
    rows = await connection.fetch(
        "SELECT type, fhir_id FROM t_default.resource WHERE version > 0 AND NOT deleted ORDER BY rid LIMIT 5000"
    )
    await connection.close()
    return [f"/fhir/{R4.type_name(row['type'])}/{row['fhir_id']}" for row in rows]
