"""Observations that changed, put into the signal blocks of their patient.

Blocks depend on the set of current Observations alone (`twin/block.py`), so it does not matter how often, in which order or
how late an Observation comes by here; what matters is that it leaves the waiting list in the transaction that writes its blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import asyncpg

from fhir_server.kit import json
from fhir_server.storage import blocks, ident, reads
from fhir_server.storage.blocks import BlockId
from fhir_server.storage.tenants import Tenant
from workers.twin import block as signal_block
from workers.twin import codec
from workers.twin.block import Block, Contribution
from workers.twin.catalogue import NAMES
from workers.twin.signals import NOTHING, read

Blocks = dict[tuple[str, date], Block]
"""By signal name and UTC day."""

PAGE = 500
"""Observations merged in one transaction: a day of minutes each at most, so a few MB."""


async def merge_pending(connection: asyncpg.Connection, tenant: Tenant, patient: int, base: str) -> set[date] | None:
    """Merge up to PAGE waiting Observations; return the UTC days whose blocks changed, None when nothing waited."""
    waiting = await blocks.take_pending(connection, tenant, patient, PAGE)
    if not waiting:
        return None
    placed, arrivals = await _arrivals(connection, tenant, patient, waiting, base)
    days = [day for _, day in arrivals]
    if not days:
        return set()
    stored = await blocks.read(connection, tenant, patient, min(days), max(days))
    changed = _merged(stored, arrivals)
    key_id = await blocks.key_of(tenant, patient)
    if key_id is None:
        raise LookupError(f"patient rid {patient} has signals but no data key")
    await blocks.write(connection, tenant, patient, key_id, changed)
    await blocks.set_sources(connection, tenant, patient, placed)
    await blocks.mark_changed(connection, tenant, patient, {day for _, day in changed})
    return {day for _, day in changed}


async def _arrivals(
    connection: asyncpg.Connection, tenant: Tenant, patient: int, rids: list[int], base: str
) -> tuple[dict[int, set[BlockId]], dict[BlockId, list[Contribution]]]:
    """Return where each Observation now has samples, and what every block concerned is to take in."""
    name = (await ident.names(tenant, [patient]))[patient]
    before = await blocks.sources(connection, tenant, rids)
    versions = await reads.versions(tenant, rids)
    bodies = {row.rid: row for row in await reads.fetch(tenant, rids)}
    placed: dict[int, set[BlockId]] = {}
    arrivals: dict[BlockId, list[Contribution]] = {}
    for rid in rids:
        row = bodies.get(rid)
        version = row.version if row else versions.get(rid, 0)
        says = _contributions(rid, version, row.body if row else b"", name[1], base)
        placed[rid] = set(says)
        for block in before.get(rid, set()) - says.keys():
            arrivals.setdefault(block, []).append(Contribution(rid, version))
        for block, contribution in says.items():
            arrivals.setdefault(block, []).append(contribution)
    return placed, arrivals


def _contributions(rid: int, version: int, body: bytes, patient: str, base: str) -> dict[BlockId, Contribution]:
    """Return what an Observation says of the patient: only what it observed of the patient as its subject."""
    observation = json.decode_trusted(body) if body else {}
    about = observation.get("subject", {}).get("reference", "").split("/_history/")[0]
    reading = read(observation, base) if about == f"Patient/{patient}" else NOTHING
    found = signal_block.contributions(rid, version, reading)
    return {(NAMES.index(signal), day): says for (signal, day), says in found.items()}


def _merged(
    stored: Mapping[BlockId, bytes], arrivals: Mapping[BlockId, Iterable[Contribution]]
) -> dict[BlockId, bytes | None]:
    """Return the blocks whose bytes change."""
    changed: dict[BlockId, bytes | None] = {}
    for name, contributions in arrivals.items():
        old = stored.get(name)
        made = codec.encode(signal_block.merge(codec.decode(old) if old else None, contributions))
        if made != old:
            changed[name] = made
    return changed


async def load(tenant: Tenant, patient: int, first: date | None = None, last: date | None = None) -> Blocks:
    """Return the patient's signal blocks of the UTC days `first` to `last`, by signal name and day."""
    stored = await blocks.read(tenant.pool, tenant, patient, first, last)
    return {(NAMES[signal], day): codec.decode(body) for (signal, day), body in stored.items()}
