"""`twin`: what can be said of the twin without an instance. `twin evaluate` runs it over demo cohorts with known episodes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, print_json, results
from fhir_server.settings import ROOT
from workers.demo import evaluate as demo
from workers.demo.generate import DAYS, PATIENTS

PAGE = ROOT / "docs" / "twin-evaluation.md"
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
