"""Which of a network's parameters are weights between units (what pruning, quantization and spectra look at), and masking them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
ATTENTION_WEIGHTS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def connection_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weights of linear layers, attention projections and convolutions, by their names in the model, in its order.

    Works for any torch module, those of the Hub included: transformers' Conv1D (GPT-2's linear layer) counts as linear. Biases,
    normalisation, embeddings and weights tied to an embedding are left out.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag))}
    weights: dict[str, nn.Parameter] = {}
    seen = set(embeddings)
    for prefix, module in model.named_modules():
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)) or type(module).__name__ == "Conv1D":
            names: tuple[str, ...] = ("weight",)
        elif isinstance(module, nn.MultiheadAttention):
            names = ATTENTION_WEIGHTS
        else:
            continue
        for name in names:
            weight = getattr(module, name, None)
            if isinstance(weight, nn.Parameter) and id(weight) not in seen:
                seen.add(id(weight))
                weights[f"{prefix}.{name}" if prefix else name] = weight
    return weights


def by_output(model: nn.Module, name: str, values: Tensor) -> Tensor:
    """Values of a weight's shape (the weight itself, a gradient, a mask) as (outputs, inputs): a row is what one output sums over.

    A view where memory's order allows it. transformers' Conv1D and transposed convolutions keep outputs second.
    """
    module = model.get_submodule(name.rpartition(".")[0])
    if type(module).__name__ == "Conv1D" or getattr(module, "transposed", False):
        values = values.transpose(0, 1)
    return values.flatten(1)


def as_kept(model: nn.Module, name: str, rows: Tensor) -> Tensor:
    """The inverse of `by_output`: values (outputs, inputs) in the shape of the weight `name`."""
    weight = model.get_parameter(name)
    module = model.get_submodule(name.rpartition(".")[0])
    if type(module).__name__ == "Conv1D" or getattr(module, "transposed", False):
        swapped = (weight.shape[1], weight.shape[0], *weight.shape[2:])
        return rows.reshape(swapped).transpose(0, 1)
    return rows.reshape(weight.shape)


class Masked:
    """Keeps masked weights of a network at exactly zero while an optimiser works on the others.

    Call `gradients` before every update and `weights` after it: with the gradient masked too, neither momentum nor Adam's averages
    nor weight decay ever move a masked weight.

    Args:
        weights: named weights of the network.
        masks: by the same names, True where a weight survives. Masked weights become zero at once.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], masks: Mapping[str, Tensor]) -> None:
        self._pairs = [(weights[name], mask.to(weights[name])) for name, mask in masks.items()]
        self.weights()

    @torch.no_grad()
    def weights(self) -> None:
        for weight, mask in self._pairs:
            weight.mul_(mask)

    def gradients(self) -> None:
        for weight, mask in self._pairs:
            if weight.grad is not None:
                weight.grad.mul_(mask)
