"""An encoder with the reference it was trained by, as one safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from workers.ml.pat.model import Encoder
from workers.ml.pat.shape import SHAPES
from workers.ml.pat.weeks import Reference, Transform

_REFERENCE = "reference."


def save(encoder: Encoder, reference: Reference, path: Path) -> None:
    """Write weights, per-minute means and SDs, and as metadata the shape and what is done to counts before."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    tensors |= {f"{_REFERENCE}{name}": torch.from_numpy(getattr(reference, name)) for name in ("mean", "sd")}
    save_file(tensors, path, {"shape": encoder.shape.name, "transform": reference.transform})


def load(path: Path) -> tuple[Encoder, Reference]:
    """Return what `save` wrote; a file of another shape fails in words of torch."""
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    mean, sd = (tensors.pop(f"{_REFERENCE}{name}").numpy() for name in ("mean", "sd"))
    encoder = Encoder(SHAPES[metadata["shape"]])
    encoder.load_state_dict(tensors)
    return encoder.eval(), Reference(mean, sd, Transform(metadata["transform"]))
