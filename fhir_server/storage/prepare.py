"""From commands to rows: rids, keys, version numbers, stamped and encrypted bodies. All that needs no lock is done here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.kit import clock
from fhir_server.kit import json as kit_json
from fhir_server.storage import codec, codings, ident, layout, traced
from fhir_server.storage.commands import Command, IndexRows, index_version
from fhir_server.storage.errors import erased_owner
from fhir_server.storage.keystore import KeyDestroyed
from fhir_server.storage.reads import aad
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_EMPTY = IndexRows()
_BREATH = 64

_PATIENT_KEYS = """
WITH made AS (
  INSERT INTO {s}.patient_key (patient, key_id) SELECT * FROM unnest($1::bigint[], $2::int[])
  ON CONFLICT (patient) DO NOTHING RETURNING patient, key_id)
SELECT patient, key_id FROM made
UNION ALL SELECT patient, key_id FROM {s}.patient_key WHERE patient = ANY($1)
"""


SeriesRow = tuple[int, int, datetime, datetime]
"""(patient or 0, code, at, last updated)."""
NOBODY = 0
"""Whose series those are that are no one patient's."""


@dataclass(slots=True)
class Prepared:
    """One command as it will stand in the tables; `inserts` says that no row has its rid yet."""

    command: Command
    rid: int
    inserts: bool
    version: int
    key_id: int
    last_updated: datetime
    patients: list[int]
    keys: list[int]
    unsought: int
    body: bytes
    sealed: bytes | None
    series: list[SeriesRow]
    old_series: list[SeriesRow]
    telling: tuple[int, ...] = ()
    """What is told of it (or of others of its commit) and has to get new patients: those came, or changed hands, afterwards."""

    def row(self) -> tuple[Any, ...]:
        """Return the columns of `resource` in their order."""
        command, generation = self.command, (self.command.index or _EMPTY).generation
        return (
            self.rid, self.last_updated, R4.type_id(command.type), command.http_method, self.version, self.key_id,
            index_version(generation), command.method == "delete", command.id, self.patients or None, self.keys, self.unsought,
            self.sealed,
        )  # fmt: skip


async def _rids(tenant: Tenant, commands: Sequence[Command]) -> tuple[dict[ident.Name, int], set[ident.Name]]:
    """Return the rid of all that the commands are or mention, and which of the commands' own are new."""
    own = {(command.type, command.id): command for command in commands}
    there = {name: tenant.rids[name] for name in own if name in tenant.rids}
    unknown = [name for name, command in own.items() if not command.fresh and name not in there]
    if unknown:
        await ident.look_up(tenant, unknown)
        there |= {name: tenant.rids[name] for name in unknown if name in tenant.rids}
    rids: dict[ident.Name, int] = {}
    new: set[ident.Name] = set()
    for name in own:
        known = None if own[name].fresh else there.get(name)
        if known is None:
            new.add(name)
            known = await ident.new_rid(tenant)
        rids[name] = known
    others: set[ident.Name] = set()
    for command in commands:
        if command.index is not None:
            others |= mentioned(command.index)
        if command.previous is not None:
            others |= mentioned(command.previous)
    rids.update(await ident.rids(tenant, others - rids.keys()))
    return rids, new


async def _patient_keys(tenant: Tenant, patients: set[int]) -> None:
    """Make sure that `tenant.patient_keys` holds the data key of every patient."""
    missing = sorted(patients - tenant.patient_keys.keys())
    while missing:
        keys = [tenant.keystore.allocate() for _ in missing]
        for row in await tenant.pool.fetch(tenant.sql(_PATIENT_KEYS), missing, keys):
            tenant.patient_keys[row["patient"]] = row["key_id"]
        missing = [patient for patient in missing if patient not in tenant.patient_keys]


async def patient_key(tenant: Tenant, patient: int) -> int:
    """Return the data key of a patient, made when there is none yet."""
    await _patient_keys(tenant, {patient})
    return tenant.patient_keys[patient]


def stamped(resource: dict[str, Any], type_: str, id_: str, version: int, moment: str) -> dict[str, Any]:
    """Return the resource with id, meta.versionId and meta.lastUpdated as the server says; other meta is kept."""
    meta = {"versionId": str(version), "lastUpdated": moment}
    given = resource.get("meta")
    if given:
        meta = given | meta
    return {"resourceType": type_, "id": id_, "meta": meta} | {
        name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")
    }


def _key_id(tenant: Tenant, command: Command, patients: list[int]) -> int:
    """One patient: that patient's key. None or several: a key of its own, kept from version to version."""
    if len(patients) == 1:
        return tenant.patient_keys[patients[0]]
    return command.key_id or tenant.keystore.allocate()


def _cipher(tenant: Tenant, key_id: int) -> AESGCM:
    try:
        return tenant.keystore.get(key_id)
    except KeyDestroyed:
        raise erased_owner() from None


def mentioned(index: IndexRows) -> set[ident.Name]:
    """Return the resources that index entries name."""
    return {(type_, id_) for _, type_, id_ in index.references} | {("Patient", id_) for id_ in index.patients}


def series_rows(index: IndexRows | None, rids: dict[ident.Name, int], moment: datetime) -> list[SeriesRow]:
    """Return the rows of a resource, last updated at a moment, in the time series of its patient."""
    if index is None or not index.series:
        return []
    patient = NOBODY if index.subject is None else rids[("Patient", index.subject)]
    return [(patient, code, at, moment) for code, at in index.series]


def _prepared(
    tenant: Tenant,
    command: Command,
    rids: dict[ident.Name, int],
    moment: datetime,
    beside: Sequence[int] = (),
    *,
    inserts: bool,
) -> Prepared:
    rid, version = rids[(command.type, command.id)], command.expected + 1
    old_series = series_rows(command.previous, rids, moment)
    if command.resource is None:
        return Prepared(command, rid, inserts, version, 0, moment, [], [], 0, b"", None, [], old_series)
    index = command.index or _EMPTY
    laid = layout.laid_out(tenant, index, rids, beside)
    patients = laid.patients
    key_id = _key_id(tenant, command, patients)
    body = kit_json.encode(stamped(command.resource, command.type, command.id, version, clock.instant(moment)))
    sealed = codec.encode(body, _cipher(tenant, key_id), aad(tenant, command.type, command.id, version))
    series = series_rows(index, rids, moment)
    return Prepared(
        command,
        rid,
        inserts,
        version,
        key_id,
        moment,
        patients,
        laid.keys,
        laid.unsought,
        body,
        sealed,
        series,
        old_series,
    )


async def prepare(tenant: Tenant, commands: Sequence[Command]) -> list[Prepared]:
    """Return the rows of all commands; takes rids and keys and tells the dictionary of codings, writes no resource."""
    await codings.remember(tenant, [row for c in commands if c.index for row in c.index.codings])
    await layout.remember(tenant, [c.index for c in commands if c.index])
    rids, new = await _rids(tenant, commands)
    beside = await traced.beside(tenant, {at: c.index for at, c in enumerate(commands)}, rids, commands)
    of_index = {rids[("Patient", id_)] for c in commands if c.index for id_ in c.index.patients}
    await _patient_keys(tenant, of_index.union(*beside.values()))
    moment = clock.now()
    rows = []
    for at, command in enumerate(commands):
        inserts = (command.type, command.id) in new
        rows.append(_prepared(tenant, command, rids, moment, beside.get(at, ()), inserts=inserts))
        if at % _BREATH == _BREATH - 1:  # thousands of bodies to encrypt must not hold up other requests
            await asyncio.sleep(0)
    moved = [row for row in rows if not row.inserts and _changes_hands(row.command)]
    if moved:
        moved[0].telling = tuple(await traced.telling(tenant, [row.rid for row in moved]))
    return rows


def _changes_hands(command: Command) -> bool:
    """Tell whether a resource that somebody may have mentioned gets other patients than it had."""
    if command.index is None:
        return False
    had = command.previous.patients if command.previous is not None else []
    return (command.expected > 0 and command.previous is None) or set(had) != set(command.index.patients)
