"""`models check`: are the files of every model what their card says, and is the page its card."""

from __future__ import annotations

from fhir_server.cli.models.shelf import everything
from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, screen
from fhir_server.settings import ROOT
from workers.ml.registry import checkpoint
from workers.ml.registry.formats import CheckpointRefused
from workers.ml.registry.page import page


def check(*, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """Check digest and format of every file, and that docs/models holds the page of every shipped card."""
    settings, found, wrong = read_settings(data, port), 0, []
    for origin, model in everything(settings):
        for artefact in model.card.artefacts:
            found += 1
            try:
                checkpoint.read(artefact, model.folder, settings)
            except (CheckpointRefused, OSError) as error:
                wrong.append(f"{model.card.name}: {error}.")
        path = ROOT / "docs" / "models" / f"{model.card.name}.md"
        if origin == "shipped" and (not path.exists() or path.read_text(encoding="utf-8") != page(model.card)):
            wrong.append(f"docs/models/{path.name} is not the page of the card: `./clarity models evaluate --write`.")
    if as_json:
        print_json({"files": found, "problems": wrong})
    if wrong:
        fail("\n".join(wrong))
    screen.print(f"[green]✓[/green] {found} files are what their cards say")
