"""`$reindex`: the index entries of what is stored already, by the search parameters that there are now.

Goes through the resources by rid, a batch at a time, and notes its place after each, so that it goes on there after `kill -9`.
It waits until every process knows of the newest parameters, goes again over what was written by one that did not, and only then
says that searches by them are complete.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from fhir_server.errors import Issue, outcome
from fhir_server.interactions.call import Result
from fhir_server.kit import clock, json
from fhir_server.operations.reindex import KIND
from fhir_server.search import parameters
from fhir_server.search.extract import extract
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, own, own_index
from fhir_server.storage.async_jobs import AsyncJob
from fhir_server.storage.tenants import Tenant

BATCH = 100
"""Rows in one transaction: a writer of one of them waits for as many at most."""
__all__ = ["BATCH", "KIND", "run"]

_PAUSE = 0.2
"""Seconds before going again over rows that somebody was writing."""


async def run(tenant: Tenant, asked: AsyncJob, settings: Settings) -> Result | None:
    """Make the entries of all resources of the types new; None when it was cancelled."""
    types: list[str] = asked.request["types"]
    await own.load(tenant)
    await _until_all_know(tenant)
    generation = tenant.own.generation
    parameters.use(tenant.own)
    place: dict[str, Any] = asked.place if asked.place.get("generation") == generation else {}
    after, done = place.get("after", 0), asked.done if place else 0
    total = done + await own_index.count(tenant, types)
    while True:
        if not await async_jobs.advance(
            tenant, asked.id, done=done, total=total, place={"generation": generation, "after": after}
        ):
            return None
        await own.refresh([tenant])
        if tenant.own.generation != generation:  # a newer parameter came: its entries are made in the same going
            return await run(tenant, asked, settings)
        batch = await own_index.behind(tenant, types, after, BATCH)
        if batch is not None:
            made = [(row, extract(tenant, json.decode_trusted(row.stored.body))) for row in batch.rows]
            done += await own_index.put(tenant, made, batch.unreadable)
            after = batch.last
        elif after == 0 or await own_index.count(tenant, types) == 0:
            break
        else:
            after = 0
            await asyncio.sleep(_PAUSE)
    await own.serve(tenant, types, generation)
    text = f"{done} resources were indexed anew."
    issue = Issue("informational", "reindexed", text, severity="information")
    return Result(200, json.encode(outcome([issue])))


async def _until_all_know(tenant: Tenant) -> None:
    """Wait until no process writes by older parameters: each looks every second."""
    known = tenant.own.changed_at + timedelta(seconds=own.LEARNED_WITHIN)
    await asyncio.sleep(max(0.0, (known - clock.now()).total_seconds()))
