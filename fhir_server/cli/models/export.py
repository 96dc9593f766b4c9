"""`models export`: the ONNX file of a PAT checkpoint, made again and compared with the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, screen
from workers.ml.registry import shelf
from workers.ml.registry.card import BadCard
from workers.ml.registry.formats import CheckpointRefused

Place = Annotated[str, typer.Argument(help="Name of a shipped model, or a folder with a card.")]
To = Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the ONNX file is written.")]


def export(place: Place, *, to: To, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """Export a PAT encoder from counts to embedding; refused when ONNX Runtime does not compute what torch does."""
    settings = read_settings(data, port)
    from workers.ml.pat.export import NotTheSame  # torch takes seconds, and only some machines have it
    from workers.ml.pat.export import export as exported
    from workers.ml.pat.files import load

    try:
        model = shelf.shipped().get(place) or shelf.named(place, settings)
        model.read("weights", settings)
        made = exported(*load(Path(model.folder) / model.card.artefact("weights").location))
    except (BadCard, CheckpointRefused, NotTheSame, OSError) as error:
        fail(f"{error}.")
    to.write_bytes(made)
    if as_json:
        print_json({"file": str(to), "bytes": len(made)})
    screen.print(f"[green]✓[/green] {to}: {len(made):,} bytes, the same as torch to 1e-5")
