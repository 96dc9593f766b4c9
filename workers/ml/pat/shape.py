"""The published sizes of PAT (arXiv 2411.15240) as data, and its fixed positions; no framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from workers.twin.arrays import DAY_MINUTES, Floats

DAYS: Final = 7
MINUTES: Final = DAYS * DAY_MINUTES
WIDTH: Final = 96
"""Width of a token, and of each single head: Keras' `key_dim` is the width of one head."""
FEED_FORWARD: Final = 256
HEAD: Final = 128
NORM_EPSILON: Final = 1e-6
DROPOUT: Final = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """One variant: minutes of a patch, attention heads, layers, and whether a patch is read by a convolution."""

    name: str
    patch: int
    heads: int
    layers: int
    conv: bool = False

    @property
    def tokens(self) -> int:
        """How many patches a week has."""
        return MINUTES // self.patch

    @property
    def parameters(self) -> int:
        """How many numbers the encoder has to learn, without a head."""
        inner = self.heads * WIDTH
        attention = 3 * (WIDTH * inner + inner) + inner * WIDTH + WIDTH
        block = attention + 4 * WIDTH + (WIDTH + 1) * FEED_FORWARD + (FEED_FORWARD + 1) * WIDTH
        embedding = (3 if self.conv else self.patch) * WIDTH + WIDTH
        return embedding + self.layers * block


HEAD_PARAMETERS: Final = (WIDTH + 1) * HEAD + HEAD + 1

SHAPES: Final[Mapping[str, Shape]] = MappingProxyType(
    {
        shape.name: shape
        for shape in (
            Shape("S", 18, 6, 1),
            Shape("M", 18, 12, 2),
            Shape("L", 9, 12, 4),
            Shape("Conv-S", 18, 6, 1, conv=True),
            Shape("Conv-M", 18, 12, 2, conv=True),
            Shape("Conv-L", 9, 12, 4, conv=True),
        )
    }
)


def positions(tokens: int) -> Floats:
    """Return (tokens, 96): 48 sines beside, not between, the 48 cosines of the same angles."""
    angles = np.arange(tokens)[:, None] / 10_000 ** (np.arange(0, WIDTH, 2) / WIDTH)
    return np.concatenate((np.sin(angles), np.cos(angles)), axis=1)
