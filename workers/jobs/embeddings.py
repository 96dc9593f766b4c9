"""The weeks of a patient as numbers of the shipped PAT, beside the states of the twin: part of its job, written by its hand.

A model that cannot be read is said once a job and leaves the twin as it is: states do not wait for embeddings.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import TYPE_CHECKING

from fhir_server.kit import logs
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from workers.jobs import signals
from workers.ml.registry import shelf
from workers.ml.registry.card import BadCard, Card
from workers.ml.registry.formats import CheckpointRefused
from workers.ml.registry.resources import model_device, model_id, model_library
from workers.twin.ids import embedding_id
from workers.twin.recording import Recording
from workers.twin.resources import Resource

if TYPE_CHECKING:
    from workers.ml.serve.pat import PatService

_LOG = logs.logger("clarity.models")
_OPENED: dict[str, Embedder] = {}
"""One session a process and digest: opening one takes longer than a week does."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """The model that describes weeks, and what runs it."""

    card: Card
    service: PatService


def opened(settings: Settings) -> Embedder | None:
    """Return the model that is served, None when there is none or it cannot be read (which is logged)."""
    from workers.ml.serve.pat import PatService  # ONNX Runtime takes its time and memory: only who embeds has it

    try:
        model = shelf.serving("embedding", settings)
        if model is None:
            return None
        digest = model.card.artefact("serving").sha256
        if digest not in _OPENED:
            _OPENED[digest] = Embedder(model.card, PatService(model.read("serving", settings)))
    except (BadCard, CheckpointRefused, OSError):
        _LOG.error("model not served", kind="embedding", exc_info=True)
        return None
    return _OPENED[digest]


def name_of(patient: str, monday: date, embedder: Embedder) -> tuple[str, str]:
    """Return type and id of a week's Observation."""
    return "Observation", embedding_id(patient, monday, model_id(embedder.card))


async def made(
    tenant: Tenant, patient: tuple[int, str, tzinfo], monday: date, embedder: Embedder, base: str
) -> list[Resource]:
    """Return what a week of the patient (rid, id, zone) says, with its model; nothing where the week does not count."""
    from workers.ml.serve import embedding

    rid, id_, zone = patient
    loaded = await signals.load(tenant, rid, *embedding.blocks_of(monday))
    counted = {key: block for key, block in loaded.items() if key[0] == "activity-counts"}
    if not counted:
        return []

    def compute() -> list[Resource]:
        week = embedding.week_of(Recording.of(counted, zone), monday)
        if not week.recorded:
            return []
        found = embedding.judged(week, embedder.card, embedder.service)
        resource = embedding.observation(id_, week, found, embedder.card, zone, base)
        about = embedder.card
        return [
            model_library(about, base),
            model_device(about, base),
            resource,
            embedding.provenance(resource, about, base),
        ]

    return await asyncio.to_thread(compute)
