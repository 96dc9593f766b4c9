"""A training under way as one safetensors file: weights, the best weights, Adam's memory, and counters as metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fhir_server.kit import json

if TYPE_CHECKING:
    from workers.ml.pat.pretrain import Run

_ADAM = ("step", "exp_avg", "exp_avg_sq")


class AnotherRun(ValueError):
    """The file is of a run with another recipe or of other people."""


def save_run(run: Run, path: Path, made_by: str) -> None:
    """Write the run; a crash leaves the file that was there before."""
    tensors = {f"now.{name}": value for name, value in run.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in (run.kept or {}).items()}
    for name, parameter in run.model.named_parameters():
        tensors |= {f"adam.{name}.{part}": run.adam.state[parameter][part] for part in _ADAM}
    counters = {"step": run.step, "best": run.best, "since": run.since, "rate": run.adam.param_groups[0]["lr"]}
    counters |= {"plateau_best": run.plateau.best, "plateau_bad": run.plateau.num_bad_epochs}
    metadata = {"made_by": made_by, "counters": json.encode(counters).decode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, unfinished, metadata)
    unfinished.replace(path)


def load_run(run: Run, path: Path, made_by: str) -> None:
    """Put the run where the file left it; AnotherRun when the file was made by another recipe."""
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
        if metadata.get("made_by") != made_by:
            raise AnotherRun(
                f"{path.name} is of a run with another recipe or other people: name another file, or delete it"
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    run.model.load_state_dict(_below(tensors, "now."))
    run.kept = {name: value.to(run.model.mask.device) for name, value in _below(tensors, "best.").items()} or None
    for name, parameter in run.model.named_parameters():
        memory: dict[str, Any] = {part: tensors[f"adam.{name}.{part}"] for part in _ADAM}
        run.adam.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in memory.items()}
    counters = json.decode_trusted(metadata["counters"].encode())
    run.step, run.best, run.since = int(counters["step"]), float(counters["best"]), int(counters["since"])
    run.adam.param_groups[0]["lr"] = float(counters["rate"])
    run.plateau.best, run.plateau.num_bad_epochs = float(counters["plateau_best"]), int(counters["plateau_bad"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
