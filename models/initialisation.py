"""Initial weights from a named stream of random numbers, so that every arm of a seed starts from the same ones."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def draw_weights(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draws the weights of all linear layers and convolutions anew, as torch does: uniform within 1/sqrt(inputs of a unit).

    Biases are drawn likewise; normalisation is left as it is. Layers are drawn in the model's order.

    Returns:
        the same model.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            bound = module.weight[0].numel() ** -0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)
    return model
