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
    "fhirpath",
    "xml",
    "pat",
    "draft",
    "twin",
    "rules",
    "predictions",
)
LONG = ("scale",)
"""Measured only when named: half an hour."""
Parts = Annotated[
    list[str] | None, typer.Argument(help=f"Of: {' '.join(PARTS + LONG)}; all but {' '.join(LONG)} when not given.")
]
Sizes = Annotated[
    list[int] | None, typer.Option("--size", help="Observations to search over, for scale; may be repeated.", min=1000)
]


def bench(
    *, parts: Parts = None, sizes: Sizes = None, as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """Measure creates, the 36-request loop, imports, searches, what keeping costs, FHIRPath, XML, PAT, notes, the twin."""
    _ = data, port  # every command takes them; the bench makes an instance of its own
    unknown = set(parts or ()) - {*PARTS, *LONG}
    if unknown:
        fail(f"There is no part {', '.join(sorted(unknown))}: choose of {', '.join(PARTS + LONG)}.", code=2)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    measured = importlib.import_module("tests.bench.run")
    try:
        found: dict[str, Any] = measured.run(tuple(parts or PARTS), sizes=tuple(sizes or ()))
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
