"""The head that contrastive losses see: a small network on an encoder's output, dropped after training (Chen et al. 2020)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from models.initialisation import draw_weights


def projection_head(widths: Sequence[int] = (64, 128, 64), *, generator: torch.Generator | None = None) -> nn.Sequential:
    """Linear layers without biases, each batch-normalised, with ReLU between them.

    The last normalisation has no scale and shift of its own: it centres the outputs, so that those of an untrained network do not
    all point the same way. Without it, losses that look at the nearest negatives only can collapse at the start.

    Args:
        widths: of the encoder's output, the hidden layers, and the embedding, e.g. (512, 512, 128).
        generator: fixes the initial values; without it, torch's global state does.

    >>> projection_head((64, 128, 64))(torch.randn(5, 64)).shape
    torch.Size([5, 64])
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    *hidden, outputs = widths[1:]
    inputs = widths[0]
    for index, width in enumerate(hidden, start=1):
        modules[f"hidden{index}"] = nn.Linear(inputs, width, bias=False)
        modules[f"normalisation{index}"] = nn.BatchNorm1d(width)
        modules[f"activation{index}"] = nn.ReLU()
        inputs = width
    modules["output"] = nn.Linear(inputs, outputs, bias=False)
    modules["centring"] = nn.BatchNorm1d(outputs, affine=False)
    model = nn.Sequential(modules)
    if generator is not None:
        draw_weights(model, generator)
    return model
