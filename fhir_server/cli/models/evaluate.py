"""`models evaluate`: every table of docs/models again, by one command; each evaluation is a function in a table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, results, screen
from fhir_server.settings import ROOT
from workers.ml.registry import shelf
from workers.ml.registry.page import page

Evaluate = Callable[[Path, Path, Callable[[str], None]], str]
"""Of the folder of data sets, a folder for what may be resumed, and who is told of progress: the page's text."""

EVALUATIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "pat": ("workers.ml.tables.pat", "evaluate"),
        "depresjon": ("workers.ml.tables.depresjon", "evaluate"),
        "trials": ("workers.ml.tables.trials", "evaluate"),
        "lifesnaps": ("workers.ml.tables.lifesnaps", "evaluate"),
        "demo": ("workers.demo.foresight", "evaluate"),
    }
)
"""Name of the evaluation, which is its page docs/models/NAME.md: its module and the function in it, an `Evaluate`."""

PAGES = ROOT / "docs" / "models"
Names = Annotated[list[str] | None, typer.Argument(help="Which; all of them when not given.")]
Sets = Annotated[Path, typer.Option("--sets", metavar="DIR", help="Folder of the data sets; default ../shared/data.")]
Write = Annotated[bool, typer.Option("--write", help="Also write docs/models.")]


def evaluate(
    names: Names = None,
    *,
    sets: Sets = ROOT.parent / "shared" / "data",
    write: Write = False,
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Print what the models are worth: evaluations with people apart and seeds fixed, and the page of every card."""
    chosen = names or list(EVALUATIONS)
    if unknown := set(chosen) - EVALUATIONS.keys():
        fail(f"There is no evaluation {', '.join(sorted(unknown))}: choose of {', '.join(EVALUATIONS)}.", code=2)
    work = read_settings(data, port).data / "models" / "runs"
    made = {}
    for name in chosen:
        module, attribute = EVALUATIONS[name]
        run: Evaluate = getattr(importlib.import_module(module), attribute)
        made[name] = run(sets, work, lambda text: screen.print(text, markup=False))
    if write:
        PAGES.mkdir(parents=True, exist_ok=True)
        cards = {name: page(model.card) for name, model in shelf.shipped().items()}
        for name, text in {**cards, **made}.items():
            (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
    if as_json:
        print_json(made)
    else:
        results.print("\n".join(made.values()), markup=False, soft_wrap=True)
