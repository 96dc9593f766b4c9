"""`models train pat`: our small PAT-S, from the minutes of Depresjon to checkpoint, ONNX and card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, screen
from fhir_server.settings import ROOT
from workers.ml.pat.recipe import Progress as Done
from workers.ml.pat.recipe import Recipe
from workers.ml.registry.page import page
from workers.ml.registry.shelf import WEIGHTS

NAME = "pat-s-depresjon"
USUAL = Recipe()
Sets = Annotated[Path, typer.Option("--sets", metavar="DIR", help="Folder of the data sets; default ../shared/data.")]
To = Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder that the model is written into.")]
Steps = Annotated[int, typer.Option("--steps", min=1, help="Batches to learn from.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything that is left to chance.")]


def train(
    *,
    sets: Sets = ROOT.parent / "shared" / "data",
    to: To = WEIGHTS / NAME,
    steps: Steps = USUAL.steps,
    seed: Seed = USUAL.seed,
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Pretrain PAT-S on Depresjon alone; a run that was broken off goes on where it was."""
    from workers.ml.pat import ours, ship  # torch takes seconds, and only some machines have it
    from workers.ml.pat.resume import AnotherRun
    from workers.ml.pat.train import pretrained
    from workers.ml.pat.weeks import depresjon

    recipe = Recipe(steps=steps, seed=seed)
    state = read_settings(data, port).data / "models" / "runs" / f"{NAME}-{seed}.safetensors"
    try:
        people = depresjon(sets / "depresjon")
        with _bar() as bar:
            task = bar.add_task("pretraining", total=steps, loss="", rate="")
            made = pretrained(people, recipe, state=state, tell=lambda done: _tell(bar, task, done))
    except FileNotFoundError as error:
        fail(f"{error.filename} is not there: --sets names the folder in which depresjon lies.")
    except AnotherRun as error:
        fail(f"{error}.")
    learners = [each for each in people if each.person in made.people]
    card = ship.ship(to, made.encoder, made.reference, learners, ours.about(made, recipe))
    if to == WEIGHTS / card.name:
        (ROOT / "docs" / "models").mkdir(parents=True, exist_ok=True)
        (ROOT / "docs" / "models" / f"{card.name}.md").write_text(page(card), encoding="utf-8")
    if as_json:
        print_json(card)
    screen.print(f"[green]✓[/green] {card.name} lies in {to}")


def _bar() -> Progress:
    columns = ("{task.description}", "{task.completed}/{task.total}", "loss {task.fields[loss]}", "{task.fields[rate]}")
    return Progress(BarColumn(), *(TextColumn(text) for text in columns), TimeRemainingColumn(), console=screen)


def _tell(bar: Progress, task: int, done: Done) -> None:
    told = {"loss": f"{done.loss:.3f} (best on others {done.valid:.3f})", "rate": f"{done.per_second:.2f} steps/s"}
    bar.update(task, completed=done.step, **told)  # type: ignore[arg-type]
