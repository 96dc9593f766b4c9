"""A demo patient whose data a worker has been through, for the operations over a twin's daybook."""

from __future__ import annotations

from datetime import date
from typing import Any

from fhir_server.interactions import commands
from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage import jobs
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from workers.demo.generate import generate
from workers.jobs import dispatch
from workers.jobs.kinds import KINDS
from workers.jobs.runner import LEASE

Json = dict[str, Any]
SEED, END = 7, date(2026, 6, 30)
TYPES = {
    "Patient", "Device", "Observation", "QuestionnaireResponse", "MedicationRequest", "MedicationStatement", "Encounter",
}  # fmt: skip


def demo(number: int, unique: str, days: int = 60) -> list[Json]:
    """Return all that a demo patient has of the types that a timeline shows, under another name."""
    wanted = f"demo-{number:03d}"
    found = [e["resource"] for b in generate(SEED, number, days, end=END) for e in b["entry"]]
    own = [r for r in found if r["id"].startswith(wanted) and r["resourceType"] in TYPES]
    return [json.decode_trusted(json.encode(r).replace(wanted.encode(), unique.encode())) for r in own]


async def put(tenant: Tenant, resources: list[Json]) -> None:
    """Store resources as an import does."""
    for start in range(0, len(resources), 400):
        some = resources[start : start + 400]
        await commit(tenant, [commands.build(tenant, r, r["id"], current=None, origin=IMPORT) for r in some])


async def work(tenant: Tenant, settings: Settings) -> None:
    """Do what a worker does, until there is nothing left to do."""
    while await dispatch.dispatch(tenant, settings):
        pass
    while found := await jobs.claim(tenant, [dispatch.TWIN], LEASE):
        await KINDS[dispatch.TWIN].run(tenant, found[0], settings)
        assert await jobs.finish(tenant.pool, tenant, found[0])


def parts(answer: Json, name: str) -> list[Json]:
    """Return the parameters of a name, each with its parts by name."""
    return [each for each in answer["parameter"] if each["name"] == name]


def value(parameter: Json, name: str) -> Any:
    """Return the value of the first part of a name."""
    for each in parameter.get("part", ()):
        if each["name"] == name:
            return next((v for k, v in each.items() if k.startswith("value")), each)
    return None


def rows(parameter: Json, name: str) -> list[list[float | None]]:
    """Return the points of a sampled part, None where nothing is known."""
    data = value(value(parameter, name), "points")
    numbers = [None if text == "E" else float(text) for text in data["data"].split()]
    size = data["dimensions"]
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]
