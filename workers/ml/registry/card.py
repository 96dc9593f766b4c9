"""A model card: what a model is, what it is worth and which files it consists of; JSON beside the checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from workers.ml.registry.attributes import ATTRIBUTES, NOT_PERFORMED

CARD: Final = "card.json"
Format = Literal["safetensors", "onnx", "xgboost-json"]
Purpose = Literal["weights", "serving", "comparator", "reference"]
Use = Literal["embedding", "treatment-response", "outcome-prediction", "risk-prediction", "forecast"]
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"\d+(\.\d+){0,2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BadCard(ValueError):
    """A card that cannot be trusted; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a model: where (beside the card, absolute, or s3://bucket/key), in which format, with which digest."""

    location: str
    format: Format
    sha256: str
    purpose: Purpose
    bytes: int


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of an evaluation: of which protocol, with its 95 % interval where one was computed, over how many people."""

    measure: str
    protocol: str
    value: float
    people: int
    low: float | None = None
    high: float | None = None
    comparator: str | None = None
    """What the same protocol gave for the comparator, with its name: `logistic model .901`."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a model. Attributes that are not stated count as not performed, and are shown so."""

    name: str
    version: str
    title: str
    use: Use
    method: str
    """Architecture or algorithm in a few words: `PAT-S (arXiv 2411.15240)`, `XGBoost, depth 2`."""
    summary: str
    """What it computes, of whom it has learnt, what it is not; two or three sentences."""
    licence: str
    artefacts: tuple[Artefact, ...]
    attributes: dict[str, str]
    """By code of `attributes.ATTRIBUTES`."""
    recipe: dict[str, str | int | float] = field(default_factory=dict)
    """`command` and what else makes the checkpoint again: seed, steps, versions."""
    figures: tuple[Figure, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    """Outside of which inputs get no answer, by what is limited: `strangeness`, `coverage`."""
    comparator: str | None = None
    """Name of the simpler model that is shown beside every answer."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > 40:
            raise BadCard(f"name {self.name!r} must be lower-case words joined by hyphens, 40 characters at most")
        if not _VERSION.fullmatch(self.version):
            raise BadCard(f"version {self.version!r} must be numbers joined by dots, such as 1.0")
        if unknown := self.attributes.keys() - ATTRIBUTES.keys():
            raise BadCard(f"no source attribute is called {', '.join(sorted(unknown))}")
        if bad := [each.location for each in self.artefacts if not _SHA256.fullmatch(each.sha256)]:
            raise BadCard(f"sha256 of {', '.join(bad)} must be 64 hexadecimal digits in lower case")

    def attribute(self, code: str) -> str:
        """Return what the card says of a source attribute, `Not performed.` where it says nothing."""
        assert code in ATTRIBUTES, code
        return self.attributes.get(code) or NOT_PERFORMED

    def artefact(self, purpose: Purpose) -> Artefact:
        """Return the one file that serves this purpose; BadCard when there is none."""
        for each in self.artefacts:
            if each.purpose == purpose:
                return each
        raise BadCard(f"model {self.name} has no file for {purpose}")


def read_card(data: bytes) -> Card:
    """Return the card that some JSON is; BadCard says what is wrong and where."""
    try:
        return msgspec.json.decode(data, type=Card)
    except msgspec.MsgspecError as error:
        raise BadCard(f"not a model card: {error}") from error


def write_card(card: Card, folder: Path) -> Path:
    """Write the card into its model's folder, in a form that shows changes line by line."""
    path = folder / CARD
    path.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    return path
