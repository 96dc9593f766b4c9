"""Where the microseconds of a create go: each stage called on its own, in one process, over the same database."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.auth.bearer import authenticate
from fhir_server.cli.tenant import opened
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.kit.ids import new_id, request_id
from fhir_server.storage.commands import Command
from fhir_server.storage.commit import commit
from fhir_server.storage.prepare import prepare
from fhir_server.validation.validate import parse_resource
from tests.bench.create import make_patients, observation
from tests.bench.rig import Rig

TIMES = 400


async def measure(rig: Rig, alone_p50_ms: float | None) -> dict[str, Any]:
    """Return the median of each stage in µs; `http` is what is left of a create over the wire by one client."""
    token = await rig.token()
    (patient,) = await make_patients(rig, token, 1)
    async with opened(rig.settings, "default") as tenant:
        ctx = RequestContext(tenant, await authenticate(tenant, f"Bearer {token}"), request_id(), tenant.base)
        bodies = [json.encode(observation(patient, number)) for number in range(TIMES)]

        def build(body: bytes) -> Command:
            return commands.build(tenant, json.decode_trusted(body), new_id(), fresh=True)

        made = [build(body) for body in bodies]
        stages = {
            "token": await _awaited(lambda _: authenticate(tenant, f"Bearer {token}")),
            "parse_and_validate": _called(lambda at: parse_resource(bodies[at], expect="Observation")),
            "references_and_index": _called(lambda at: build(bodies[at]))
            - _called(lambda at: json.decode_trusted(bodies[at])),
            "policy": await _awaited(lambda at: commands.authorise(ctx, made[at], "create")),
            "encode_compress_encrypt": await _awaited(lambda at: prepare(tenant, [made[at]])),
        }
        ready = iter([build(body) for body in bodies])
        audit = [audit_row(ctx, "create", 201)]
        spent = process_time()
        whole = await _awaited(lambda _: commit(tenant, [next(ready)], audit))
        spent = (process_time() - spent) * 1e6 / TIMES
    stages["statement"] = whole - stages["encode_compress_encrypt"]
    if alone_p50_ms is not None:
        stages["http"] = alone_p50_ms * 1000 - sum(stages.values())
        stages["total"] = alone_p50_ms * 1000
    stages["of_statement_cpu_in_web_process"] = spent - stages["encode_compress_encrypt"]
    return {name: round(value, 1) for name, value in stages.items()}


def _called(function: Callable[[int], object]) -> float:
    durations = []
    for at in range(TIMES):
        began = clock.monotonic()
        function(at)
        durations.append(clock.monotonic() - began)
    return statistics.median(durations) * 1e6


async def _awaited(function: Callable[[int], Awaitable[object]]) -> float:
    durations = []
    for at in range(TIMES):
        began = clock.monotonic()
        await function(at)
        durations.append(clock.monotonic() - began)
    return statistics.median(durations) * 1e6
