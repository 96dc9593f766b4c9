"""`models train xgboost`: the shipped tabular models and their cards again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.options import Data, Port, fail, read_settings, screen
from fhir_server.settings import ROOT
from workers.demo import cohort
from workers.ml.evaluate.rows import Rows
from workers.ml.registry.page import page
from workers.ml.registry.shelf import WEIGHTS
from workers.ml.tabular import specs
from workers.ml.tabular.train import Spec, make

RISKS = {spec.name: spec for spec in map(specs.risk, specs.HORIZONS)}
Names = Annotated[list[str] | None, typer.Argument(help="Which models; all of them when not given.")]
Sets = Annotated[Path, typer.Option("--sets", metavar="DIR", help="Folder of the data sets.")]


def train(
    names: Names = None, *, sets: Sets = ROOT.parent / "shared" / "data", data: Data = None, port: Port = None
) -> None:
    """Train XGBoost models with their logistic comparators into workers/ml/weights, and write their pages."""
    known = {**specs.TRIALS, **RISKS}
    if unknown := set(names or ()) - known.keys():
        fail(f"There is no model {', '.join(sorted(unknown))}: choose of {', '.join(known)}.", code=2)
    work = read_settings(data, port).data / "models" / "runs"
    for name in names or known:
        spec = known[name]
        screen.print(f"{name}: training", markup=False)
        card = make(spec, _rows(spec, sets, work), WEIGHTS / name)
        (ROOT / "docs" / "models" / f"{name}.md").write_text(page(card), encoding="utf-8")
        screen.print(f"[green]✓[/green] {name}: {card.figures[0].measure} {card.figures[0].value:.3f}")


def _rows(spec: Spec, sets: Path, work: Path) -> Rows:
    if spec.name in specs.TRIALS:
        return specs.trial_rows(spec.name, sets)
    return cohort.ahead(cohort.cohort(specs.SEEDS, work), spec.horizon)
