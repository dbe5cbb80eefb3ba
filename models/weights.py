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
