"""`models train lstm`: the forecasters of daily signals and their cards again; torch is imported when it runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.options import Data, Port, fail, read_settings, screen
from fhir_server.settings import ROOT
from workers.ml.forecast.served import SIGNALS
from workers.ml.registry.page import page
from workers.ml.registry.shelf import WEIGHTS

Names = Annotated[list[str] | None, typer.Argument(help="Which signals; all of them when not given.")]
Sets = Annotated[Path, typer.Option("--sets", metavar="DIR", help="Folder of the data sets.")]


def train(
    names: Names = None, *, sets: Sets = ROOT.parent / "shared" / "data", data: Data = None, port: Port = None
) -> None:
    """Backtest and train the forecaster of each signal into workers/ml/weights, and write its page."""
    if unknown := set(names or ()) - set(SIGNALS):
        fail(f"There is no signal {', '.join(sorted(unknown))}: choose of {', '.join(SIGNALS)}.", code=2)
    table = importlib.import_module("workers.ml.tables.lifesnaps")
    training = importlib.import_module("workers.ml.forecast.train")
    work = read_settings(data, port).data / "models" / "runs"
    for signal in names or SIGNALS:
        rows, tested, said = table.backtest(sets, work, signal, lambda text: screen.print(text, markup=False))
        card = training.make(signal, rows, tested, said, WEIGHTS / f"forecast-{signal}")
        (ROOT / "docs" / "models" / f"{card.name}.md").write_text(page(card), encoding="utf-8")
        screen.print(f"[green]✓[/green] {card.name}: serves {card.recipe['serves']}")
