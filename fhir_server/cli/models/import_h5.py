"""`models import`: the published PAT weights (h5) as a model of the registry, with a reference of minutes of data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.options import Data, Json, Port, fail, print_json, screen
from fhir_server.settings import ROOT

File = Annotated[Path, typer.Argument(help="A published file, such as PAT-S_29k_weights.h5.")]
To = Annotated[
    Path, typer.Option("--to", metavar="DIR", help="Folder that checkpoint, ONNX and card are written into.")
]
Sets = Annotated[Path, typer.Option("--sets", metavar="DIR", help="Folder of the data sets; default ../shared/data.")]


def import_h5(
    file: File,
    *,
    to: To,
    sets: Sets = ROOT.parent / "shared" / "data",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Read published PAT weights by shape; means and SDs of minutes, which they lack, are those of Depresjon."""
    _ = data, port  # every command takes them; this one needs no instance
    from workers.ml.pat.h5 import NotPat  # torch takes seconds, and only some machines have it
    from workers.ml.pat.published import imported

    if not file.exists():
        fail(f"{file} is not there.", code=2)
    try:
        card = imported(file, sets / "depresjon", to)
    except NotPat as error:
        fail(f"{file.name}: {error}.")
    except FileNotFoundError as error:
        fail(f"{error.filename} is not there: --sets names the folder in which depresjon lies.")
    if as_json:
        print_json(card)
    screen.print(f"[green]✓[/green] {card.method} lies in {to}")
