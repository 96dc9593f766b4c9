"""`models list`, `models show`: the shipped models and those that settings name, and the card of one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, results
from fhir_server.settings import Settings
from workers.ml.registry import shelf
from workers.ml.registry.card import BadCard
from workers.ml.registry.formats import CheckpointRefused
from workers.ml.registry.page import page
from workers.ml.registry.shelf import Model

Name = Annotated[str, typer.Argument(help="Name of a model, as `models list` shows it.")]


def models(*, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """List the models: name, version, use, method, where each comes from."""
    rows = [
        {
            "name": model.card.name,
            "version": model.card.version,
            "use": model.card.use,
            "method": model.card.method,
            "from": origin,
        }
        for origin, model in everything(read_settings(data, port))
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "version", "use", "method", "from")
    for row in rows:
        table.add_row(*row.values())
    results.print(table)


def show(name: Name, *, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """Print the card of a model."""
    for _, model in everything(read_settings(data, port)):
        if model.card.name == name:
            if as_json:
                print_json(model.card)
            else:
                results.print(page(model.card), markup=False, soft_wrap=True, end="")
            return
    fail(f"There is no model {name}: see `./clarity models list`.", code=2)


def everything(settings: Settings) -> list[tuple[str, Model]]:
    """Return what is shipped and what settings name, with where it comes from; ends when a setting's model is wrong."""
    found = [("shipped", model) for model in shelf.shipped().values()]
    for setting in shelf.SETTINGS.values():
        if place := getattr(settings, setting):
            try:
                found.append((setting.upper(), shelf.named(place, settings)))
            except (BadCard, CheckpointRefused, OSError) as error:
                fail(f"{setting.upper()}: {error}.")
    return found
