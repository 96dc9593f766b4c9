"""The 36-request loop: nine types created, read, updated and deleted, each turn with ids of its own."""

from __future__ import annotations

import re
from pathlib import Path

from tests.bench.client import Connection, Measured, closed_loop, request, timed
from tests.bench.rig import Rig
from tests.bench.seeds import TYPES, seeds

CONNECTIONS = 64
SECONDS = 10.0
_PLACES = re.compile(rb"@(\w+)@")
_LOCATION = re.compile(r"/([^/]+)/_history/")


async def measure(rig: Rig, folder: Path) -> dict[str, object]:
    """Return requests a second and what came back, after a warm-up."""
    token = await rig.token()
    templates = seeds(folder)

    async def turn(_number: int, _at: int, connection: Connection, measured: Measured) -> None:
        await _iteration(connection, measured, token, templates)

    await closed_loop(rig.port, CONNECTIONS, 2.0, turn)
    before = rig.cpu()
    measured = await closed_loop(rig.port, CONNECTIONS, SECONDS, turn)
    measured.cpu_of(before, rig.cpu())
    return {"connections": CONNECTIONS, **measured.summary()}


async def _iteration(connection: Connection, measured: Measured, token: str, templates: dict[str, bytes]) -> None:
    ids: dict[bytes, bytes] = {}
    bodies: dict[str, bytes] = {}
    for kind in TYPES:
        bodies[kind] = _PLACES.sub(lambda match: ids[match[1]], templates[kind])
        answer = await timed(connection, request("POST", f"/fhir/{kind}", token, bodies[kind]), measured)
        found = _LOCATION.search(answer.location or "")
        assert found, (kind, answer.status, answer.body[:500])
        ids[kind.encode()] = found[1].encode()
    for kind in TYPES:
        await _expect(connection, measured, request("GET", _path(kind, ids), token), (200,))
    for kind in TYPES:
        changed = b'{"id":"' + ids[kind.encode()] + b'","language":"en",' + bodies[kind][1:]
        await _expect(connection, measured, request("PUT", _path(kind, ids), token, changed), (200,))
    for kind in reversed(TYPES):
        await _expect(connection, measured, request("DELETE", _path(kind, ids), token), (200, 204))


def _path(kind: str, ids: dict[bytes, bytes]) -> str:
    return f"/fhir/{kind}/{ids[kind.encode()].decode()}"


async def _expect(connection: Connection, measured: Measured, data: bytes, statuses: tuple[int, ...]) -> None:
    answer = await timed(connection, data, measured)
    assert answer.status in statuses, (data[:80], answer.status, answer.body[:500])
