"""`$reindex` under fire: worker processes are killed in the middle; it goes on where it was, and ends complete."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.kit import clock, ids
from fhir_server.search import parameters
from fhir_server.search.extract import extract
from fhir_server.search.run import search
from fhir_server.storage import async_jobs, own
from fhir_server.storage.commands import Command
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.search.conftest import context
from tests.workers.test_process import data, process, web

__all__ = ["data", "web"]
MANY = 3_000


def patient(code: str) -> Command:
    id_ = ids.new_id()
    resource = {"resourceType": "Patient", "id": id_, "maritalStatus": {"coding": [{"system": "urn:x", "code": code}]}}
    return Command("create", "Patient", id_, resource, http_method=2)


async def write(tenant: Tenant, commands: list[Command]) -> None:
    for command in commands:
        assert command.resource is not None
        command.index = extract(tenant, command.resource)
    await commit(tenant, commands)


async def until(what: Any, seconds: float = 180) -> Any:
    end = clock.monotonic() + seconds
    while not (found := await what()):
        assert clock.monotonic() < end, "too late"
        await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("name", ["default", pytest.param("second", marks=pytest.mark.slow)])
async def test_kill_9_in_the_middle(
    web: dict[str, Tenant], database_url: str, redis_url: str, data: Path, name: str
) -> None:
    tenant, code = web[name], "m" + ids.new_id().replace("-", "")[-12:]
    await write(tenant, [patient(code) for _ in range(MANY)])
    parameter = {
        "resourceType": "SearchParameter", "id": code, "url": f"https://params.example/{code}", "name": code, "status": "active",
        "description": "made for a test", "code": code, "base": ["Patient"], "type": "token", "expression": "Patient.maritalStatus",
    }  # fmt: skip
    await write(tenant, [Command("create", "SearchParameter", code, parameter, http_method=2)])

    async def known() -> bool:
        await own.refresh([tenant])
        return any(each.name == code for each in tenant.own.by_type.get("Patient", ()))

    with process(data, database_url, redis_url):
        await until(known)
    job = await async_jobs.start(tenant, 1, "reindex", {"types": ["Patient"]})

    async def state() -> async_jobs.AsyncJob:
        found = await async_jobs.find(tenant, job)
        assert found is not None
        return found

    reached = 0
    for _ in range(3):
        with process(data, database_url, redis_url) as victim:

            async def further(at: int = reached) -> bool:
                now = await state()
                return now.done > at or now.state == "done"

            await until(further)
            victim.send_signal(signal.SIGKILL)
        assert (await state()).done >= reached, "nothing that was done is done again from the start"
        reached = (await state()).done
    await write(tenant, [patient(code) for _ in range(5)])
    with process(data, database_url, redis_url):

        async def done() -> bool:
            return (await state()).state == "done"

        await until(done)
    assert (await state()).status == 200
    await own.refresh([tenant])
    parameters.use(tenant.own)
    found = await search(
        context(tenant), "Patient", [(code, f"urn:x|{code}"), ("_summary", "count")], visibility=EVERYTHING
    )
    assert (found.total, found.issues) == (MANY + 5, [])
