"""Which models there are: those shipped in `workers/ml/weights`, and those that settings name instead of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fhir_server.settings import ROOT, Settings
from workers.ml.registry import checkpoint
from workers.ml.registry.card import CARD, BadCard, Card, Purpose, Use, read_card
from workers.ml.registry.formats import CheckpointRefused, format_of

WEIGHTS: Final = ROOT / "workers" / "ml" / "weights"
SETTINGS: Final[Mapping[Use, str]] = MappingProxyType(
    {
        "treatment-response": "xgboost_treatment_response_model_path",
        "outcome-prediction": "xgboost_outcome_prediction_model_path",
        "risk-prediction": "xgboost_risk_prediction_model_path",
    }
)
"""The setting that names a model of one's own for a use: a folder, its card.json or its checkpoint, as path or s3://."""


@dataclass(frozen=True, slots=True)
class Model:
    """A card and where it lies; files are read, and checked, when they are asked for."""

    card: Card
    folder: str

    def read(self, purpose: Purpose, settings: Settings) -> bytes:
        """Return the checked bytes of the file for a purpose."""
        return checkpoint.read(self.card.artefact(purpose), self.folder, settings)


def shipped(weights: Path = WEIGHTS) -> dict[str, Model]:
    """Return the models of a folder by name; each lies in a folder of its name."""
    found = {}
    for path in sorted(weights.glob(f"*/{CARD}")):
        card = read_card(path.read_bytes())
        if card.name != path.parent.name:
            raise BadCard(f"model {card.name} lies in a folder called {path.parent.name}")
        found[card.name] = Model(card, str(path.parent))
    return found


def named(place: str, settings: Settings) -> Model:
    """Return the model at a place that a setting names: a folder, a card.json, or a checkpoint with its card beside it.

    A checkpoint must be one that the card lists. Raises BadCard, CheckpointRefused, FileNotFoundError.
    """
    place = place.rstrip("/")
    is_card = place.endswith(f"/{CARD}") or place == CARD
    is_folder = not is_card and "." not in place.rpartition("/")[2]
    folder = place if is_folder else place.rpartition("/")[0] or "."
    if not is_card and not is_folder:
        format_of(place)  # a pickle is refused for its name, before a card is looked for
    card = read_card(checkpoint.fetch(f"{folder}/{CARD}", settings))
    if not is_card and not is_folder and place not in {checkpoint.beside(folder, a.location) for a in card.artefacts}:
        raise CheckpointRefused(f"the card beside {place} does not list it")
    return Model(card, folder)


def serving(use: Use, settings: Settings, weights: Path = WEIGHTS) -> Model | None:
    """Return the model that answers for a use: the settings' own, else the shipped one, else None.

    Of several shipped for one use the first by name is taken. BadCard when the setting's model is of another use.
    """
    own = getattr(settings, SETTINGS[use]) if use in SETTINGS else None
    if own is None:
        return next((model for model in shipped(weights).values() if model.card.use == use), None)
    model = named(own, settings)
    if model.card.use != use:
        raise BadCard(f"{SETTINGS[use].upper()} names a model of {model.card.use}")
    return model


def problems(settings: Settings) -> list[str]:
    """Return what is wrong with the models that settings name, one sentence each; asked by `doctor`."""
    found = []
    for use, setting in SETTINGS.items():
        if getattr(settings, setting) is None:
            continue
        try:
            model = serving(use, settings)
            assert model is not None
            for artefact in model.card.artefacts:
                checkpoint.read(artefact, model.folder, settings)
        except (BadCard, CheckpointRefused, OSError) as error:
            found.append(f"{setting.upper()}: {error}.")
    return found
