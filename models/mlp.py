"""Fully connected networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from models.initialisation import draw_weights

Initialisation = Literal["torch", "glorot-normal", "he-normal"]


def mlp(
    widths: Sequence[int],
    *,
    activation: Callable[[], nn.Module] = nn.ReLU,
    initialisation: Initialisation = "torch",
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A network of linear layers named hidden1, hidden2, ..., output, with the activation between them.

    Args:
        widths: of the inputs, the hidden layers and the outputs, e.g. (784, 300, 100, 10). Inputs of any shape are flattened.
        initialisation: "torch" is nn.Linear's own: weights and biases uniform within 1/sqrt(inputs). "glorot-normal" draws weights
            with the variance 2 / (inputs + outputs), "he-normal" with 2 / inputs; both set biases to zero.
        generator: fixes the initial values; without it, torch's global state does.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        if number == len(widths) - 1:
            modules["output"] = nn.Linear(inputs, outputs)
        else:
            modules[f"hidden{number}"] = nn.Linear(inputs, outputs)
            modules[f"activation{number}"] = activation()
    model = nn.Sequential(modules)
    if initialisation != "torch":
        _draw_normal(model, initialisation, generator)
    elif generator is not None:
        draw_weights(model, generator)
    return model


@torch.no_grad()
def _draw_normal(model: nn.Sequential, initialisation: Initialisation, generator: torch.Generator | None) -> None:
    for layer in model:
        if isinstance(layer, nn.Linear):
            if initialisation == "glorot-normal":
                nn.init.xavier_normal_(layer.weight, generator=generator)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            layer.bias.zero_()
