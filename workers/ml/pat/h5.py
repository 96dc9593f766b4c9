"""The published weights (Keras h5) read by their shapes with h5py, without TensorFlow.

    dense/dense/{kernel:0 (p,96), bias:0 (96)}                                 the patch embedding; (3,1,96) in Conv
    encoder_layer_{i}_transformer/encoder_layer_{i}_attention/{query,key,value}/{kernel:0 (96,H,96), bias:0 (H,96)}
                                  .../attention_output/{kernel:0 (H,96,96), bias:0 (96)}
                                  .../encoder_layer_{i}_{norm1,norm2}/{gamma:0,beta:0}  _ff1  _ff2

Keras repeats the layer's name between the two levels, and a full `model.save` has all of it below `model_weights`; so names
are matched by how they end. Whatever else stands in the file (a head, an optimizer) is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import h5py
import numpy as np

from workers.ml.pat.shape import FEED_FORWARD, SHAPES, WIDTH, Shape
from workers.ml.pat.weeks import Singles

_LAYER = re.compile(r"encoder_layer_(\d+)_transformer/(?:.*/)?encoder_layer_\1_([a-z0-9]+)/(.+)")
_TOP = "model_weights/"
_MATRICES: Final = {"query": "query", "key": "key", "value": "value", "attention_output": "output"}


class NotPat(ValueError):
    """A file that is no PAT; the text names the dataset that is missing or has another shape."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a dataset goes: the name in torch, the shape that it must have, and how it is turned."""

    name: str
    shape: tuple[int, ...]
    turn: Callable[[Singles], Singles]


def read_h5(path: Path) -> tuple[Shape, dict[str, Singles]]:
    """Return which variant a file holds, and its encoder by the names that `Encoder` has in torch.

    Raises NotPat when anything is missing, has another shape, or the number of parameters is not the published one.
    """
    try:
        with h5py.File(path, "r") as file:
            found = dict(_datasets(file))
    except OSError as error:
        raise NotPat(f"{path.name} is no HDF5 file") from error
    layers = _layers(found)
    embedding = _embedding(found)
    shape = _shape(embedding, layers)
    tensors = _patch(embedding, shape)
    for number, datasets in enumerate(layers):
        tensors |= _block(number, datasets, shape)
    count = sum(value.size for value in tensors.values())
    if count != shape.parameters:
        raise NotPat(f"PAT-{shape.name} has {shape.parameters:,} parameters, this file {count:,}")
    return shape, tensors


def _datasets(file: Any) -> Iterator[tuple[str, Singles]]:
    """Yield every array of numbers with its path, without what `model.save` puts above."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in names:
        if np.issubdtype(file[name].dtype, np.floating):
            yield name.removeprefix(_TOP), np.asarray(file[name], np.float32)


def _layers(found: Mapping[str, Singles]) -> list[dict[str, Singles]]:
    """Return the datasets of each transformer layer, by part and name, in order."""
    layers: dict[int, dict[str, Singles]] = {}
    for name, value in found.items():
        if matched := _LAYER.search(name):
            number, part, rest = matched.groups()
            leaf = "/".join(rest.split("/")[-2:]) if part == "attention" else rest.split("/")[-1]
            layers.setdefault(int(number), {})[f"{part}/{leaf}"] = value
    if sorted(layers) != list(range(1, len(layers) + 1)) or not layers:
        raise NotPat("no encoder_layer_1_transformer, _2_, … without a gap: this is no PAT encoder")
    return [layers[number] for number in sorted(layers)]


def _embedding(found: Mapping[str, Singles]) -> tuple[Singles, Singles]:
    """Return kernel and bias of the patch embedding: the one kernel outside of the layers whose shape can be one."""
    patches = {(shape.patch, WIDTH) for shape in SHAPES.values()} | {(3, 1, WIDTH)}
    kernels = [name for name, value in found.items() if not _LAYER.search(name) and value.shape in patches]
    if len(kernels) != 1:
        shapes = ", ".join(str(shape) for shape in sorted(patches))
        raise NotPat(f"{len(kernels)} kernels have the shape of a patch embedding ({shapes}), one should")
    bias = kernels[0].replace("kernel", "bias")
    if bias not in found or found[bias].shape != (WIDTH,):
        raise NotPat(f"{bias} should be there with the shape ({WIDTH},)")
    return found[kernels[0]], found[bias]


def _shape(embedding: tuple[Singles, Singles], layers: list[dict[str, Singles]]) -> Shape:
    """Return the variant that the shapes tell; a convolution does not tell its patch, the layers do."""
    kernel = embedding[0]
    query = layers[0].get("attention/query/kernel:0")
    if query is None or query.ndim != 3:
        raise NotPat(f"encoder_layer_1: query/kernel:0 should have the shape ({WIDTH}, heads, {WIDTH})")
    seen = (query.shape[1], len(layers), kernel.ndim == 3)
    for shape in SHAPES.values():
        if seen == (shape.heads, shape.layers, shape.conv) and (shape.conv or kernel.shape[0] == shape.patch):
            return shape
    told = f"{seen[0]} heads, {seen[1]} layers, patch kernel {kernel.shape}"
    raise NotPat(f"no published PAT has {told}: they are {', '.join(SHAPES)}")


def _patch(embedding: tuple[Singles, Singles], shape: Shape) -> dict[str, Singles]:
    kernel, bias = embedding
    if shape.conv:
        return {"patch.conv.weight": kernel.transpose(2, 1, 0), "patch.conv.bias": bias}
    return {"patch.weight": kernel.T, "patch.bias": bias}


def _block(number: int, datasets: Mapping[str, Singles], shape: Shape) -> dict[str, Singles]:
    """Return one layer; NotPat names the first dataset that is missing or has another shape."""
    out = {}
    for name, target in _targets(shape).items():
        value = datasets.get(name)
        if value is None or value.shape != target.shape:
            there = "is missing" if value is None else f"has the shape {value.shape}"
            raise NotPat(f"encoder_layer_{number + 1}: {name} {there}, PAT-{shape.name} needs {target.shape}")
        out[f"blocks.{number}.{target.name}"] = np.ascontiguousarray(target.turn(value))
    return out


def _targets(shape: Shape) -> Mapping[str, _Target]:
    """Return by dataset of a layer where it goes."""
    heads, inner = shape.heads, shape.heads * WIDTH
    targets = {}
    for theirs, ours in _MATRICES.items():
        out = ours == "output"
        kernel = (heads, WIDTH, WIDTH) if out else (WIDTH, heads, WIDTH)
        rows = inner if out else WIDTH
        bias = (WIDTH,) if out else (heads, WIDTH)
        turned = _Target(f"attention.{ours}.weight", kernel, lambda k, rows=rows: k.reshape(rows, -1).T)  # type: ignore[misc]
        targets[f"attention/{theirs}/kernel:0"] = turned
        targets[f"attention/{theirs}/bias:0"] = _Target(f"attention.{ours}.bias", bias, np.ravel)
    for norm in ("norm1", "norm2"):
        targets[f"{norm}/gamma:0"] = _Target(f"{norm}.weight", (WIDTH,), np.ravel)
        targets[f"{norm}/beta:0"] = _Target(f"{norm}.bias", (WIDTH,), np.ravel)
    for dense, size in (("ff1", (WIDTH, FEED_FORWARD)), ("ff2", (FEED_FORWARD, WIDTH))):
        targets[f"{dense}/kernel:0"] = _Target(f"{dense}.weight", size, np.transpose)
        targets[f"{dense}/bias:0"] = _Target(f"{dense}.bias", size[1:], np.ravel)
    return MappingProxyType(targets)
