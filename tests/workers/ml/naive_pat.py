"""PAT in plain numpy from Keras-shaped weights: written from the paper, shares nothing with the network in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

SIZES = {
    "S": (18, 6, 1, False),
    "M": (18, 12, 2, False),
    "L": (9, 12, 4, False),
    "Conv-S": (18, 6, 1, True),
    "Conv-M": (18, 12, 2, True),
    "Conv-L": (9, 12, 4, True),
}
Arrays = dict[str, Any]


def keras_weights(name: str, seed: int = 3) -> Arrays:
    """Return weights of chance under the paths of the published files."""
    patch, heads, layers, conv = SIZES[name]
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> Any:
        return rng.normal(0, 0.08, shape).astype(np.float32)

    first = "conv1d/conv1d" if conv else "dense/dense"
    out: Arrays = {f"{first}/kernel:0": some(3, 1, 96) if conv else some(patch, 96), f"{first}/bias:0": some(96)}
    for i in range(1, layers + 1):
        p = f"encoder_layer_{i}_transformer/encoder_layer_{i}"
        for part in ("query", "key", "value"):
            out[f"{p}_attention/{part}/kernel:0"] = some(96, heads, 96)
            out[f"{p}_attention/{part}/bias:0"] = some(heads, 96)
        out[f"{p}_attention/attention_output/kernel:0"] = some(heads, 96, 96)
        out[f"{p}_attention/attention_output/bias:0"] = some(96)
        for norm in ("norm1", "norm2"):
            out[f"{p}_{norm}/gamma:0"], out[f"{p}_{norm}/beta:0"] = 1 + some(96), some(96)
        out[f"{p}_ff1/kernel:0"], out[f"{p}_ff1/bias:0"] = some(96, 256), some(256)
        out[f"{p}_ff2/kernel:0"], out[f"{p}_ff2/bias:0"] = some(256, 96), some(96)
    return out


def write_h5(path: Path, arrays: Arrays, below: str = "") -> Path:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[below + name] = value
    return path


def forward(arrays: Arrays, name: str, week: Any) -> tuple[Any, Any]:
    """Return (560 or 1120, 96) tokens of one scaled week, and each token's share of the last layer's attention."""
    patch, heads, layers, conv = SIZES[name]
    w = {key: value.astype(np.float64) for key, value in arrays.items()}
    tokens = 10080 // patch
    patches = week.astype(np.float64).reshape(tokens, patch)
    if conv:
        kernel, padded = w["conv1d/conv1d/kernel:0"], np.pad(patches, ((0, 0), (1, 1)))
        seen = sum(padded[:, k : k + patch, None] * kernel[k, 0] for k in range(3)) + w["conv1d/conv1d/bias:0"]
        x = np.maximum(seen, 0).mean(axis=1)
    else:
        x = patches @ w["dense/dense/kernel:0"] + w["dense/dense/bias:0"]
    for token in range(tokens):
        for i in range(48):
            angle = token / 10000 ** (2 * i / 96)
            x[token, i] += np.sin(angle)
            x[token, 48 + i] += np.cos(angle)
    share = np.zeros(tokens)
    for i in range(1, layers + 1):
        p = f"encoder_layer_{i}_transformer/encoder_layer_{i}"
        mixed, share = np.zeros_like(x), np.zeros(tokens)
        for h in range(heads):
            q, k, v = (
                x @ w[f"{p}_attention/{part}/kernel:0"][:, h] + w[f"{p}_attention/{part}/bias:0"][h]
                for part in ("query", "key", "value")
            )
            scores = q @ k.T / np.sqrt(96)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            share += weights.sum(axis=0) / heads
            mixed += weights @ v @ w[f"{p}_attention/attention_output/kernel:0"][h]
        x = _norm(x + mixed + w[f"{p}_attention/attention_output/bias:0"], w, f"{p}_norm1")
        inner = np.maximum(x @ w[f"{p}_ff1/kernel:0"] + w[f"{p}_ff1/bias:0"], 0)
        x = _norm(x + inner @ w[f"{p}_ff2/kernel:0"] + w[f"{p}_ff2/bias:0"], w, f"{p}_norm2")
    return x, share / share.sum()


def _norm(x: Any, w: Arrays, p: str) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-6) * w[f"{p}/gamma:0"] + w[f"{p}/beta:0"]
