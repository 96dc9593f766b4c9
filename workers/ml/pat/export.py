"""PAT as ONNX, from counts to embedding: transform and scaling are in the graph, so that nobody serves without them."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from workers.ml.pat.model import Embedder, Encoder
from workers.ml.pat.shape import MINUTES
from workers.ml.pat.weeks import Reference, Singles, Transform
from workers.ml.serve.pat import INPUT, OUTPUTS, PatService

PARITY = 1e-5
"""Largest difference of any number between torch and ONNX Runtime."""


class NotTheSame(Exception):
    """The exported graph computes something else than the network."""


class FromCounts(nn.Module):
    """Counts a minute (B, 10080), NaN where unknown, to embedding (B, 96), attention (B, T), strangeness (B).

    An unknown minute is taken for the mean of that minute. Strangeness is the mean distance in SD from the reference
    over the minutes that are known.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, encoder: Encoder, reference: Reference) -> None:
        super().__init__()
        self.embedder = Embedder(encoder)
        self.log = reference.transform is Transform.LOG1P
        self.register_buffer("mean", torch.from_numpy(reference.mean))
        self.register_buffer("sd", torch.from_numpy(reference.sd))

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return embedding, attention and strangeness."""
        known = ~torch.isnan(counts)
        counts = torch.where(known, counts, torch.zeros_like(counts))
        scaled = ((torch.log1p(counts) if self.log else counts) - self.mean) / self.sd
        scaled = torch.where(known, scaled, torch.zeros_like(scaled))
        embedding, share = self.embedder(scaled)
        return embedding, share, scaled.abs().sum(dim=-1) / known.sum(dim=-1).clamp(min=1)


def export(encoder: Encoder, reference: Reference) -> bytes:
    """Return the ONNX model, checked against the network on weeks of chance; NotTheSame when they differ."""
    network = FromCounts(encoder, reference).eval()
    weeks = _weeks_of_chance()
    batch = torch.export.Dim("weeks")
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # it tells of every package that it could use and is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated calls
        made = torch.onnx.export(
            network,
            (torch.from_numpy(weeks),),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: batch},),
            dynamo=True,
            verbose=False,
        )
    assert made is not None
    data = _plain(made.model_proto)
    if (found := difference(network, data, weeks)) > PARITY:
        raise NotTheSame(f"ONNX Runtime differs from torch by {found:.1e}, more than {PARITY:.0e}")
    return data


def difference(network: FromCounts, data: bytes, weeks: Singles) -> float:
    """Return the largest difference between torch and ONNX Runtime over all outputs, relative where numbers exceed 1."""
    with torch.no_grad():
        wanted = network(torch.from_numpy(weeks))
    found = PatService(data).run(weeks)
    return max(
        float((np.abs(one.numpy() - other) / np.maximum(1, np.abs(other))).max())
        for one, other in zip(wanted, found, strict=True)
    )


def _plain(model: onnx.ModelProto) -> bytes:
    """Return the bytes of a model without names of files and lines of the machine that made it."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    onnx.checker.check_model(model)
    out = io.BytesIO()
    onnx.save_model(model, out)
    return out.getvalue()


def _weeks_of_chance() -> Singles:
    """Return three weeks of counts with gaps: busy, quiet, and one in which hardly anything is known."""
    chance = np.random.default_rng(7)
    weeks = chance.gamma(0.5, 300, (3, MINUTES)).astype(np.float32)
    weeks[1] *= chance.random(MINUTES) < 0.1
    weeks[0, 1000:1400] = np.nan
    weeks[2, 500:] = np.nan
    return weeks
