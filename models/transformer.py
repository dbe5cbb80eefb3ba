"""Small transformers for language: a causal decoder, and an encoder-decoder whose two sides may differ in width.

Pre-norm, no biases, learned positions, untied output, MLP four times as wide with GELU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.initialisation import draw_weights


class Attention(nn.Module):
    """Multi-head attention of `width`, over itself or over a context of `context_width`.

    Args:
        heads: how many; each has width / heads numbers.
        normalise: layer normalisation of queries and keys in each head (QK-layernorm).
    """

    def __init__(self, width: int, heads: int, context_width: int | None = None, normalise: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(context_width or width, width, bias=False)
        self.value = nn.Linear(context_width or width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        size = width // heads
        self.normalise_query = nn.LayerNorm(size, bias=False) if normalise else nn.Identity()
        self.normalise_key = nn.LayerNorm(size, bias=False) if normalise else nn.Identity()

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """x (b, n, width), context (b, m, context width), mask (b, 1, 1, m) true where attended to: (b, n, width)."""
        source = x if context is None else context
        query, key, value = (
            self._split(layer(part)) for layer, part in ((self.query, x), (self.key, source), (self.value, source))
        )
        mixed = F.scaled_dot_product_attention(
            self.normalise_query(query), self.normalise_key(key), value, attn_mask=mask, is_causal=causal
        )  # (b, heads, n, size)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def multilayer_perceptron(width: int) -> nn.Sequential:
    """Four times as wide inside."""
    return nn.Sequential(nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False))


class Block(nn.Module):
    """Attention over itself, over a context where there is one, and an MLP, each added to what came in."""

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float = 0.0,
        context_width: int | None = None,
        causal: bool = True,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.norm1, self.attention = nn.LayerNorm(width, bias=False), Attention(width, heads, normalise=normalise)
        self.norm2, self.mlp = nn.LayerNorm(width, bias=False), multilayer_perceptron(width)
        self.dropout = nn.Dropout(dropout)
        self.cross: Attention | None = None
        if context_width:
            self.norm_cross, self.cross = nn.LayerNorm(width, bias=False), Attention(width, heads, context_width)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """mask belongs to the context where there is one, else to x."""
        own = mask if context is None else None
        x = x + self.dropout(self.attention(self.norm1(x), mask=own, causal=self.causal))
        if self.cross is not None:
            x = x + self.dropout(self.cross(self.norm_cross(x), context, mask))
        return x + self.dropout(self.mlp(self.norm2(x)))


class Decoder(nn.Module):
    """A causal language model: tokens (b, n <= context) to logits (b, n, vocabulary).

    Args:
        head_size: numbers a head; there is at least one head.
        dropout: after the attention's output and after the MLP's.
        generator: fixes the initial values; without it, torch's global state does.

    >>> sum(parameter.numel() for parameter in Decoder(96, width=16, layers=2, context=32).parameters())
    9808
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        width: int,
        layers: int,
        context: int,
        head_size: int = 16,
        dropout: float = 0.0,
        normalise: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        heads = max(1, width // head_size)
        self.blocks = nn.ModuleList([Block(width, heads, dropout, normalise=normalise) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, bias=False)
        self.output = nn.Linear(width, vocabulary, bias=False)
        _draw(self, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))


class EncoderDecoder(nn.Module):
    """Translation: source (b, m) and target so far (b, n) to logits (b, n, vocabulary). Token 0 pads and is not attended to.

    Args:
        encoder_width, decoder_width: of the two sides; keys and values of the cross-attention come from the encoder's.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        encoder_width: int,
        decoder_width: int,
        encoder_layers: int = 1,
        decoder_layers: int = 1,
        context: int = 64,
        head_size: int = 8,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.source_tokens, self.source_positions = nn.Embedding(vocabulary, encoder_width), nn.Embedding(context, encoder_width)
        self.target_tokens, self.target_positions = nn.Embedding(vocabulary, decoder_width), nn.Embedding(context, decoder_width)
        encoder_heads, decoder_heads = max(1, encoder_width // head_size), max(1, decoder_width // head_size)
        self.encoder = nn.ModuleList([Block(encoder_width, encoder_heads, dropout, causal=False) for _ in range(encoder_layers)])
        self.decoder = nn.ModuleList([Block(decoder_width, decoder_heads, dropout, encoder_width) for _ in range(decoder_layers)])
        self.encoder_norm = nn.LayerNorm(encoder_width, bias=False)
        self.decoder_norm = nn.LayerNorm(decoder_width, bias=False)
        self.output = nn.Linear(decoder_width, vocabulary, bias=False)
        _draw(self, generator)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = (source != 0)[:, None, None, :]
        context = self.source_tokens(source) + self.source_positions.weight[: source.shape[1]]
        for block in self.encoder:
            context = block(context, mask=mask)
        context = self.encoder_norm(context)
        x = self.target_tokens(target) + self.target_positions.weight[: target.shape[1]]
        for block in self.decoder:
            x = block(x, context, mask)
        return self.output(self.decoder_norm(x))


@torch.no_grad()
def _draw(model: nn.Module, generator: torch.Generator | None) -> None:
    """Embeddings from N(0, 0.02^2), as usual for language models; linear layers as torch draws them."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.weight.normal_(0, 0.02, generator=generator)
    if generator is not None:
        draw_weights(model, generator)
