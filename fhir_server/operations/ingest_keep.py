"""Resources under ids that follow from what they are about: written unless what is there has the better claim.

One commit for everything. Who comes in between sends it back to the reading, so that the outcome is the same in whatever order
requests arrive. Devices are made once; each patient's new versions get one Provenance. The caller needs the right to write the
Observations; Device and Provenance are the server's own record of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.interactions.call import Json
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.interactions.update import is_unchanged
from fhir_server.kit import clock, json, version
from fhir_server.kit.ids import new_id
from fhir_server.storage import reads
from fhir_server.storage.commands import PUT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.validation.validate import parse_resource
from workers.ingest import observe
from workers.ingest.sample import Origin

Name = tuple[str, str]


@dataclass(slots=True)
class Batch:
    """What one request wants to be there: Observations with their patient, Devices, and the bytes they came in."""

    base: str
    payload: bytes
    observations: dict[str, tuple[str, Json]] = field(default_factory=dict)
    devices: dict[str, Json] = field(default_factory=dict)
    repeated: int = 0

    def add(self, patient: str, resource: Json, origin: Origin) -> None:
        """Take one Observation, checked like any other; of several under one id the one with the best claim."""
        resource = parse_resource(json.encode(resource), expect="Observation")
        known = self.observations.get(resource["id"])
        if known is not None:
            self.repeated += 1
            if observe.claim(resource) <= observe.claim(known[1]):
                return
        self.observations[resource["id"]] = (patient, resource)
        if (name := observe.device_id(patient, origin)) not in self.devices:
            self.devices[name] = observe.device(patient, origin, self.base)


@dataclass(slots=True)
class Kept:
    """What came of it, as counts."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    outdone: int = 0
    """What is stored has the better claim."""


async def keep(ctx: RequestContext, batch: Batch) -> Kept:
    """Write what has to be written, in one commit."""
    names = [("Observation", id_) for id_ in batch.observations]
    names += [("Device", id_) for id_ in (*batch.devices, observe.CONVERTER)]
    seen = {"Observation": await policy.visibility(ctx, "Observation", "update"), "Device": EVERYTHING}
    async for _ in tries():
        there = await reads.read_many(ctx.tenant, names, seen)
        kept, changes = await _changes(ctx, batch, there)
        if not changes:
            return kept
        rows = [audit_row(ctx, _right(change), 200 if change.expected else 201, type=change.type) for change in changes]
        try:
            await commit(ctx.tenant, changes, rows)
        except VersionConflict:
            continue
        return kept
    raise overtaken()


async def _changes(ctx: RequestContext, batch: Batch, there: Mapping[Name, Stored]) -> tuple[Kept, list[Command]]:
    kept, pace = Kept(), Pace()
    changes: list[Command] = []
    written: dict[str, list[Json]] = {}
    for id_, (patient, resource) in batch.observations.items():
        await pace.step()
        current = there.get(("Observation", id_))
        if current is not None and not current.deleted:
            if is_unchanged(resource, current):
                kept.unchanged += 1
                continue
            if observe.claim(resource) <= observe.claim(json.decode_trusted(current.body)):
                kept.outdone += 1
                continue
        command = commands.build(ctx.tenant, resource, id_, current=current, http_method=PUT)
        await commands.authorise(ctx, command, _right(command))
        changes.append(command)
        kept.created += command.method == "create"
        kept.updated += command.method == "update"
        written.setdefault(patient, []).append(resource | {"version": command.expected + 1})
    if changes:
        changes += _beside(ctx, batch, there, written)
    return kept, changes


def _beside(
    ctx: RequestContext, batch: Batch, there: Mapping[Name, Stored], written: Mapping[str, Iterable[Json]]
) -> Iterable[Command]:
    """Yield the Devices that are not there yet, and a Provenance for each patient."""
    software = observe.converter(version.VERSION, batch.base)
    for device in (software, *batch.devices.values()):
        if ("Device", device["id"]) not in there:
            yield commands.build(ctx.tenant, device, device["id"], http_method=PUT)
    recorded = clock.instant(clock.now())
    for resources in written.values():
        targets = [f"Observation/{each['id']}/_history/{each['version']}" for each in resources]
        devices = sorted({each["device"]["reference"].removeprefix("Device/") for each in resources})
        made = observe.provenance(targets, devices, recorded, batch.payload, batch.base)
        yield commands.build(ctx.tenant, made, new_id(), fresh=True)


def _right(command: Command) -> str:
    return "update" if command.method == "update" else "create"
