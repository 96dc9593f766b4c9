"""`twin`: what can be said of the twin without an instance.

`twin evaluate` runs it over demo cohorts with known episodes, `twin lifesnaps` over the watches of 71 real people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, fail, print_json, results, screen
from fhir_server.settings import ROOT
from workers.demo import evaluate as demo
from workers.demo import lifesnaps as consumers
from workers.demo.generate import DAYS, PATIENTS

PAGE = ROOT / "docs" / "twin-evaluation.md"
CONSUMERS = ROOT / "docs" / "twin-lifesnaps.md"
Write = Annotated[bool, typer.Option("--write", help="Also write docs/twin-evaluation.md.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Seed of a cohort; several may be given.")]
Patients = Annotated[int, typer.Option("--patients", min=2, max=1000, help="Patients of a cohort.")]

app = typer.Typer(no_args_is_help=True, help="The twin without an instance.")


@app.callback()
def _twin() -> None:
    """The twin without an instance."""


@app.command()
def evaluate(
    *,
    seed: Seeds = None,
    patients: Patients = PATIENTS,
    write: Write = False,
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Print how soon episodes of the demo are found and how often nothing is found to be something."""
    _ = data, port  # every command takes them
    seeds = tuple(seed or demo.SEEDS)
    found = demo.evaluate(seeds, patients)
    if write:
        PAGE.write_text(demo.page(found, seeds, patients, DAYS), encoding="utf-8")
    if as_json:
        print_json({name: dict(zip(demo.HEADINGS, each.row(), strict=True)) for name, each in found.items()})
        return
    table = Table("method", *demo.HEADINGS)
    for name, each in found.items():
        table.add_row(name, *each.row())
    results.print(table)


@app.command()
def lifesnaps(
    *,
    sets: Annotated[Path, typer.Option("--sets", metavar="DIR", help="Folder of the data sets.")] = ROOT.parent
    / "shared"
    / "data",
    people: Annotated[int | None, typer.Option("--people", min=1, help="Only the first of them.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Also write docs/twin-lifesnaps.md.")] = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Print what daily summaries of 71 people's watches come to: coverage, features, and why the rest has no number."""
    _ = data, port  # every command takes them
    folder = sets / "lifesnaps"
    if not folder.is_dir():
        fail(f"There is no data set lifesnaps in {sets}.", code=2)
    text = consumers.page(consumers.evaluate(folder, people, lambda said: screen.print(said, markup=False)))
    if write:
        CONSUMERS.write_text(text, encoding="utf-8")
    results.print(text, markup=False, soft_wrap=True)
