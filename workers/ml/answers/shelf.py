"""The models that answer about patients, read once a process: risk, response and outcome, forecasts.

A model of a setting's own that cannot be read answers nothing, and is told of in the log; the others go on. `doctor` and `up` say
what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fhir_server.kit import logs
from fhir_server.settings import Settings
from workers.ml.forecast import served
from workers.ml.forecast.served import Forecaster
from workers.ml.registry import shelf
from workers.ml.registry.card import BadCard, Use
from workers.ml.registry.formats import CheckpointRefused
from workers.ml.registry.shelf import Model
from workers.ml.tabular import model
from workers.ml.tabular.model import Tabular

_T = TypeVar("_T")
_LOG = logs.logger("clarity.models")


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """What answers."""

    risks: tuple[Tabular, ...]
    response: Tabular | None
    outcome: Tabular | None
    forecasts: tuple[Forecaster, ...]


_READ: dict[tuple[str | None, ...], Models] = {}


def opened(settings: Settings) -> Models:
    """Return the models; BadCard, CheckpointRefused or OSError when one that is shipped is not what its card says."""
    key = tuple(getattr(settings, name) for name in shelf.SETTINGS.values())
    if key not in _READ:
        _READ[key] = _opened(settings)
    return _READ[key]


def _opened(settings: Settings) -> Models:
    return Models(
        _readable("risk-prediction", settings, model.read),
        next(iter(_readable("treatment-response", settings, model.read)), None),
        next(iter(_readable("outcome-prediction", settings, model.read)), None),
        _readable("forecast", settings, served.read),
    )


def _readable(use: Use, settings: Settings, read: Callable[[Model, Settings], _T]) -> tuple[_T, ...]:
    """Return the models of a use; none when the settings name one of their own that cannot be read."""
    own = shelf.SETTINGS.get(use)
    try:
        return tuple(read(each, settings) for each in of_use(use, settings))
    except (BadCard, CheckpointRefused, OSError) as error:
        if own is None or getattr(settings, own) is None:
            raise
        _LOG.error("model cannot be read", setting=own.upper(), use=use, error=type(error).__name__)
        return ()


def of_use(use: Use, settings: Settings) -> list[Model]:
    """Return the models of a use: the settings' own alone, else all that are shipped."""
    if use in shelf.SETTINGS and getattr(settings, shelf.SETTINGS[use]) is not None:
        own = shelf.serving(use, settings)
        return [own] if own is not None else []
    return [each for each in shelf.shipped().values() if each.card.use == use]
