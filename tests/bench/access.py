"""What token check and policy add to a read: the same reads with both and with neither, in turns, audit left out on both sides.

The application is called in this process, without a socket, so that the share is not made small by what surrounds it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from fhir_server.auth import policy, tokens
from fhir_server.auth.bearer import authenticate
from fhir_server.cli.tenant import opened
from fhir_server.context import Principal
from fhir_server.http import perform, routes
from fhir_server.http.routes import Fhir
from fhir_server.http.services import Services
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.bench.rig import Rig

PATIENTS = 200
ROUNDS = 4000
WARM_UP = 300


async def measure(rig: Rig) -> dict[str, object]:
    """Return medians and what is added, for a backend service, a patient's app and a caregiver's app."""
    async with opened(rig.settings, "default") as tenant:
        app = Fhir(Services(rig.settings, tenant.pool, {"default": tenant}))
        await _ward(app, tenant)
        callers = {
            "system": await tokens.mint(tenant, "system/*.rs"),
            "patient": await tokens.mint(tenant, "patient/*.rs", patient="bench-p1"),
            "user": await tokens.mint(tenant, "user/*.rs", user="Practitioner/bench-dr"),
        }
        return {name: await _compared(app, tenant, f"Bearer {token}") for name, token in callers.items()}


async def _ward(app: Fhir, tenant: Tenant) -> None:
    token = await tokens.mint(tenant, "system/*.cruds")
    headers = {"Authorization": f"Bearer {token}"}
    doctor = [{"reference": "Practitioner/bench-dr"}]
    made: list[dict[str, Any]] = [{"resourceType": "Practitioner", "id": "bench-dr"}]
    for number in range(1, PATIENTS + 1):
        made.append({"resourceType": "Patient", "id": f"bench-p{number}", "generalPractitioner": doctor})
    made.append(
        {"resourceType": "Observation", "id": "bench-o1", "status": "final", "code": {"text": "mood"},
         "subject": {"reference": "Patient/bench-p1"}, "note": [{"text": "slept well, " * 20}]}
    )  # fmt: skip
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        for each in made:
            url = f"{tenant.base}/{each['resourceType']}/{each['id']}"
            answer = await http.put(url, json=each, headers=headers)
            assert answer.status_code in (200, 201), answer.text


async def _compared(app: Fhir, tenant: Tenant, header: str) -> dict[str, float]:
    principal = await authenticate(tenant, header)
    found: dict[str, list[float]] = {"with": [], "without": []}
    with _unaudited():
        for number in range(-WARM_UP, ROUNDS):
            for kind in ("with", "without") if number % 2 else ("without", "with"):
                if kind == "with":
                    seconds = await _read(app, header)
                else:
                    with _open_door(principal):
                        seconds = await _read(app, header)
                if number >= 0:
                    found[kind].append(seconds)
    with_, without = (statistics.median(found[kind]) for kind in ("with", "without"))
    return {
        "with_us": round(with_ * 1e6, 1),
        "without_us": round(without * 1e6, 1),
        "added_percent": round((with_ / without - 1) * 100, 1),
    }


async def _read(app: Fhir, header: str) -> float:
    scope = {
        "type": "http", "method": "GET", "path": "/fhir/Observation/bench-o1", "raw_path": b"/fhir/Observation/bench-o1",
        "query_string": b"", "headers": [(b"authorization", header.encode()), (b"accept", b"application/fhir+json")],
        "client": ("127.0.0.1", 1),
    }  # fmt: skip
    statuses = []

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.append(message["status"])

    began = clock.monotonic()
    await app(scope, _nothing, send)
    seconds = clock.monotonic() - began
    assert statuses == [200], statuses
    return seconds


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


@contextmanager
def _unaudited() -> Iterator[None]:
    kept = perform.write_audit

    async def nowhere(*_: Any) -> None:
        return None

    perform.write_audit = nowhere  # type: ignore[assignment]
    try:
        yield
    finally:
        perform.write_audit = kept  # type: ignore[assignment]


@contextmanager
def _open_door(principal: Principal) -> Iterator[None]:
    """Let everybody in as this principal, who sees everything."""
    kept = routes.authenticate, policy.visibility

    async def known(*_: Any) -> Principal:
        return principal

    async def everything(*_: Any) -> Any:
        return EVERYTHING

    routes.authenticate, policy.visibility = known, everything  # type: ignore[assignment]
    try:
        yield
    finally:
        routes.authenticate, policy.visibility = kept  # type: ignore[assignment]
