"""PAT in torch, exact to the paper and its notebooks; the traps are named where they are.

`torch.nn.MultiheadAttention` splits the width among the heads; here every head has the full 96, so attention is our own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.ml.pat.shape import DROPOUT, FEED_FORWARD, HEAD, NORM_EPSILON, WIDTH, Shape, positions


class Attention(nn.Module):
    """Self-attention whose heads are 96 wide each: (B, T, 96) -> (B, T, 96)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(WIDTH, heads * WIDTH) for _ in range(3))
        self.output = nn.Linear(heads * WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the attended tokens."""
        query, key, value = self._split(tokens)
        return self._join(functional.scaled_dot_product_attention(query, key, value))

    def explained(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attended tokens, and (B, T): how much of all attention each token gets; sums to 1."""
        query, key, value = self._split(tokens)
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(WIDTH), dim=-1)
        share = weights.sum(dim=2).mean(dim=1)
        return self._join(weights @ value), share / share.sum(dim=-1, keepdim=True)

    def _split(self, tokens: Tensor) -> list[Tensor]:
        return [
            part(tokens).view(tokens.shape[0], -1, self.heads, WIDTH).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        ]

    def _join(self, mixed: Tensor) -> Tensor:
        joined: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return joined


class Block(nn.Module):
    """A transformer layer with the norm after the residual."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.attention = Attention(heads)
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=NORM_EPSILON) for _ in range(2))
        self.ff1, self.ff2 = nn.Linear(WIDTH, FEED_FORWARD), nn.Linear(FEED_FORWARD, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, T, 96)."""
        return self._after(tokens, self.attention(tokens))

    def explained(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens and the share of attention of each."""
        attended, share = self.attention.explained(tokens)
        return self._after(tokens, attended), share

    def _after(self, tokens: Tensor, attended: Tensor) -> Tensor:
        tokens = self.norm1(tokens + self.dropout(attended))
        out: Tensor = self.norm2(tokens + self.dropout(self.ff2(functional.relu(self.ff1(tokens)))))
        return out


class ConvPatch(nn.Module):
    """The paper's convolution: inside each patch, ReLU, then the mean over it, which forgets the order in the patch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, WIDTH, 3, padding=1)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (B, T, 96) of (B, T, patch)."""
        seen = functional.relu(self.conv(patches.flatten(0, 1).unsqueeze(1)))
        return seen.mean(dim=-1).view(patches.shape[0], -1, WIDTH)


class Encoder(nn.Module):
    """A week (B, 10080) to its tokens (B, T, 96); positions are fixed and added after the embedding."""

    position: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.patch: nn.Module = ConvPatch() if shape.conv else nn.Linear(shape.patch, WIDTH)
        self.blocks = nn.ModuleList(Block(shape.heads) for _ in range(shape.layers))
        fixed = torch.from_numpy(positions(shape.tokens)).float()
        self.register_buffer("position", fixed, persistent=False)
        self.apply(as_keras)

    def embed(self, week: Tensor) -> Tensor:
        """Return the tokens before any layer."""
        patches = week.view(-1, self.shape.tokens, self.shape.patch)
        placed: Tensor = self.patch(patches) + self.position
        return placed

    def through(self, tokens: Tensor) -> Tensor:
        """Return the tokens after all layers; they need not be all of a week."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def forward(self, week: Tensor) -> Tensor:
        """Return (B, T, 96)."""
        return self.through(self.embed(week))


class Embedder(nn.Module):
    """What is served: (B, 10080) to the mean of the tokens (B, 96) and the attention of the last layer (B, T)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, week: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding and each patch's share of attention."""
        tokens = self.encoder.embed(week)
        *first, last = self.encoder.blocks
        for block in first:
            tokens = block(tokens)
        assert isinstance(last, Block)
        tokens, share = last.explained(tokens)
        return tokens.mean(dim=1), share


class Classifier(nn.Module):
    """Encoder and the published head; returns a logit (B), whose sigmoid is the probability."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(WIDTH, HEAD), nn.ReLU(), nn.Linear(HEAD, 1))
        self.head.apply(as_keras)

    def forward(self, week: Tensor) -> Tensor:
        """Return the logits of some weeks."""
        logits: Tensor = self.head(self.encoder(week).mean(dim=1)).squeeze(-1)
        return logits


class Reconstructor(nn.Module):
    """Masked pretraining: the encoder sees one patch in ten, a decoder of one layer tells all minutes, within 2 SD."""

    CLIP = 2.0

    def __init__(self, encoder: Encoder, masked: float = 0.9) -> None:
        super().__init__()
        self.encoder = encoder
        self.masked = int(encoder.shape.tokens * masked)
        self.mask = nn.Parameter(torch.randn(WIDTH) * 0.05)
        self.decoder = Block(encoder.shape.heads)
        self.told = nn.Linear(WIDTH, encoder.shape.patch)
        for module in (self.decoder, self.told):
            module.apply(as_keras)

    def forward(self, week: Tensor, order: Tensor) -> Tensor:
        """Return (B, 10080) told from the patches at `order[masked:]`: one permutation for the whole batch."""
        hidden, seen = order[: self.masked], order[self.masked :]
        encoded = self.encoder.through(self.encoder.embed(week)[:, seen])
        empty = (self.mask + self.encoder.position[hidden]).expand(week.shape[0], -1, -1)
        back = torch.argsort(torch.cat((seen, hidden)))
        tokens = self.decoder(torch.cat((encoded, empty), dim=1))[:, back]
        return (torch.tanh(self.told(tokens)) * self.CLIP).flatten(1)


def as_keras(module: nn.Module) -> None:
    """Start weights as Keras does: Glorot uniform, biases at zero."""
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
