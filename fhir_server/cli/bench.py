"""`bench`: the figures that the project answers for, measured over an instance of its own in a temporary folder."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, fail, print_json, results
from fhir_server.cli.stack import CannotStart
from fhir_server.settings import ROOT

PARTS = (
    "create",
    "stages",
    "entries",
    "loop",
    "import",
    "search",
    "mix",
    "storage",
    "subscriptions",
    "access",
    "consents",
    "fhirpath",
    "xml",
    "pat",
    "draft",
    "twin",
    "rules",
    "predictions",
)
LONG = ("scale", "ingest")
"""Measured only when named: half an hour, and six minutes."""
Parts = Annotated[
    list[str] | None, typer.Argument(help=f"Of: {' '.join(PARTS + LONG)}; all but {' '.join(LONG)} when not given.")
]
Sizes = Annotated[
    list[int] | None, typer.Option("--size", help="Observations to search over, for scale; may be repeated.", min=1000)
]
Rate = Annotated[int, typer.Option("--rate", help="Observations a second, for ingest.", min=60)]
Seconds = Annotated[int, typer.Option("--seconds", help="How long, for ingest.", min=5)]
Workers = Annotated[int, typer.Option("--workers", help="Worker processes beside it, for ingest.", min=1)]


def bench(
    *,
    parts: Parts = None,
    sizes: Sizes = None,
    rate: Rate = 1000,
    seconds: Seconds = 300,
    workers: Workers = 1,
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Measure creates, the 36-request loop, imports, searches, what keeping costs, FHIRPath, XML, PAT, notes, twins, a stream."""
    _ = data, port  # every command takes them; the bench makes an instance of its own
    unknown = set(parts or ()) - {*PARTS, *LONG}
    if unknown:
        fail(f"There is no part {', '.join(sorted(unknown))}: choose of {', '.join(PARTS + LONG)}.", code=2)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    measured = importlib.import_module("tests.bench.run")
    try:
        load = measured.Load(rate, seconds, workers)
        found: dict[str, Any] = measured.run(tuple(parts or PARTS), sizes=tuple(sizes or ()), load=load)
    except CannotStart as error:
        fail(str(error))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if any("failed" in part for part in found["details"].values() if isinstance(part, dict)):
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    table = Table("figure", "value")
    for name, value in found.items():
        if name == "stages":
            value = ", ".join(f"{stage} {micro} µs" for stage, micro in (value or {}).items())
        if name != "details":
            table.add_row(name, "not measured" if value is None else str(value))
    results.print(table)
