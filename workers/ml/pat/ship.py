"""A pretrained encoder as a model of the registry: checkpoint, ONNX, card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from workers.ml.pat.export import export
from workers.ml.pat.files import save
from workers.ml.pat.model import Encoder
from workers.ml.pat.weeks import Recorded, Reference
from workers.ml.registry.card import Card, Figure, write_card
from workers.ml.registry.checkpoint import artefact_of
from workers.ml.serve.pat import PatService

COVERAGE: Final = 0.8
"""Measured part of each of the seven days below which a week gets no embedding."""
MARGIN: Final = 1.25
"""How much stranger than the strangest week of training a week may be."""


@dataclass(frozen=True, slots=True)
class About:
    """What of a card is not computed."""

    name: str
    version: str
    title: str
    method: str
    summary: str
    licence: str
    attributes: dict[str, str]
    recipe: dict[str, str | int | float]
    figures: tuple[Figure, ...] = ()


def ship(folder: Path, encoder: Encoder, reference: Reference, people: list[Recorded], about: About) -> Card:
    """Write checkpoint, ONNX and card into a folder; `people` are those whose weeks the reference is of."""
    folder.mkdir(parents=True, exist_ok=True)
    save(encoder, reference, folder / "encoder.safetensors")
    (folder / "encoder.onnx").write_bytes(export(encoder, reference))
    card = Card(
        name=about.name,
        version=about.version,
        title=about.title,
        use="embedding",
        method=about.method,
        summary=about.summary,
        licence=about.licence,
        artefacts=(
            artefact_of(folder / "encoder.safetensors", "weights"),
            artefact_of(folder / "encoder.onnx", "serving"),
        ),
        attributes=about.attributes,
        recipe=about.recipe,
        figures=about.figures,
        limits={"strangeness": strangest(folder, people), "coverage": COVERAGE},
    )
    write_card(card, folder)
    return card


def strangest(folder: Path, people: list[Recorded]) -> float:
    """Return how strange a week may be: a margin above the strangest week of these people, three digits."""
    service = PatService((folder / "encoder.onnx").read_bytes())
    found = [service.run(each.weeks())[2].max() for each in people if len(each.weeks())]
    return float(np.format_float_positional(MARGIN * max(found), 3, fractional=False, unique=False))
