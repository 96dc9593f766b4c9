"""The models that answer about patients, read once a process: risk, response and outcome, forecasts."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.settings import Settings
from workers.ml.forecast import served
from workers.ml.forecast.served import Forecaster
from workers.ml.registry import shelf
from workers.ml.registry.card import Use
from workers.ml.registry.shelf import Model
from workers.ml.tabular import model
from workers.ml.tabular.model import Tabular


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """What answers."""

    risks: tuple[Tabular, ...]
    response: Tabular | None
    outcome: Tabular | None
    forecasts: tuple[Forecaster, ...]


_READ: dict[tuple[str | None, ...], Models] = {}


def opened(settings: Settings) -> Models:
    """Return the models; BadCard, CheckpointRefused or OSError when one of them is not what its card says."""
    key = tuple(getattr(settings, name) for name in shelf.SETTINGS.values())
    if key not in _READ:
        _READ[key] = _opened(settings)
    return _READ[key]


def _opened(settings: Settings) -> Models:
    response, outcome = (_one(use, settings) for use in ("treatment-response", "outcome-prediction"))
    return Models(
        tuple(model.read(each, settings) for each in of_use("risk-prediction", settings)),
        response,
        outcome,
        tuple(served.read(each, settings) for each in of_use("forecast", settings)),
    )


def _one(use: Use, settings: Settings) -> Tabular | None:
    found = shelf.serving(use, settings)
    return None if found is None else model.read(found, settings)


def of_use(use: Use, settings: Settings) -> list[Model]:
    """Return the models of a use: the settings' own alone, else all that are shipped."""
    if use in shelf.SETTINGS and getattr(settings, shelf.SETTINGS[use]) is not None:
        own = shelf.serving(use, settings)
        return [own] if own is not None else []
    return [each for each in shelf.shipped().values() if each.card.use == use]
