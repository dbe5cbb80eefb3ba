"""What a weight is worth keeping for: its magnitude, its saliency, its input's norm. The higher a score, the longer a weight stays.

All scores are (outputs, inputs) by the weight's name, for linear layers, transformers' Conv1D and convolutions alike;
core/measures/masks makes masks of them.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.weights import by_output

Answer = Callable[[Any], tuple[Tensor, Tensor]]
"""What a batch of items is answered: logits (m, classes) and the right classes (m,)."""


def magnitude(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """|w|."""
    return {name: by_output(network, name, weight.detach()).abs() for name, weight in weights.items()}


def saliency(network: nn.Module, weights: Mapping[str, nn.Parameter], batches: Iterator[Any], answer: Answer) -> dict[str, Tensor]:
    """|w dL/dw|, L the mean cross-entropy over all batches together (Molchanov et al. 2017). Raises: ValueError without targets."""
    sums, count = {name: torch.zeros_like(weight) for name, weight in weights.items()}, 0
    with torch.enable_grad(), only_trainable(network, weights):
        for batch in batches:
            logits, targets = answer(batch)
            loss = cross_entropy(logits, targets, reduction="sum", ignore_index=-1)
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for total, gradient in zip(sums.values(), gradients, strict=True):
                total += 0 if gradient is None else gradient
            count += int((targets >= 0).sum())
    if not count:
        raise ValueError("Saliency is the change of the loss, and no calibration item has a label to compute a loss with.")
    return {name: by_output(network, name, (weight * sums[name] / count).detach().abs()) for name, weight in weights.items()}


def wanda(network: nn.Module, weights: Mapping[str, nn.Parameter], batches: Iterator[Any], answer: Answer) -> dict[str, Tensor]:
    """|w_ij| times the L2 norm of input j over everything that the layer sees in the batches (Sun et al. 2023).

    A convolution's inputs are the entries of its kernel's window. A layer that is never called by itself keeps its magnitudes.
    """
    squares = {name: torch.zeros(()) for name in weights}

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def add(layer: nn.Module, given: tuple[Any, ...]) -> None:
            squares[name] = squares[name].to(given[0].device) + squared_inputs(layer, given[0].detach().float())

        return add

    layers = {name: network.get_submodule(name.removesuffix("weight").rstrip(".")) for name in weights if is_whole(name)}
    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            for batch in batches:
                answer(batch)
    finally:
        for hook in hooks:
            hook.remove()
    scores = magnitude(network, weights)
    return {name: score * squares[name].sqrt() if squares[name].any() else score for name, score in scores.items()}


def squared_inputs(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The sum of squares of each input that a layer's outputs are made of: (1, inputs), of a convolution (outputs, inputs)."""
    squared = inputs.square()
    if isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D":
        return squared.flatten(0, -2).sum(0, keepdim=True)
    # the gradient of all outputs together by one weight of a convolution is the sum of the inputs that this weight meets
    alone = copy.copy(layer)
    alone._forward_pre_hooks = OrderedDict()
    kernel = torch.ones_like(layer.get_parameter("weight"), dtype=torch.float32, requires_grad=True)
    with torch.enable_grad():
        outputs = torch.func.functional_call(alone, {"weight": kernel}, squared)
        (gradient,) = torch.autograd.grad(outputs.sum(), kernel)
    return gradient.transpose(0, 1).flatten(1) if getattr(layer, "transposed", False) else gradient.flatten(1)


def is_whole(name: str) -> bool:
    """Whether a weight is its layer's only one, and not one of several projections of an attention layer."""
    return name.rpartition(".")[2] == "weight"


@contextmanager
def only_trainable(network: nn.Module, weights: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Inside, gradients reach these weights alone, which saves the memory of all others."""
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    chosen = {id(weight) for weight in weights.values()}
    for parameter in before:
        parameter.requires_grad_(id(parameter) in chosen)
    try:
        yield
    finally:
        for parameter, needed in before.items():
            parameter.requires_grad_(needed)


HEADED = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "c_attn", "qkv", "q_lin", "k_lin", "v_lin")


def unit_rows(network: nn.Module, rows: Mapping[str, Tensor]) -> dict[str, int]:
    """How many consecutive outputs of each layer are one unit: a head's width in attention's projections, else 1."""
    config: Any = getattr(network, "config", None)
    heads = getattr(config, "num_attention_heads", 0) or 0
    width = getattr(config, "head_dim", None) or (getattr(config, "hidden_size", heads) // heads if heads else 1)
    headed = {name: any(part in HEADED for part in name.split(".")) for name in rows}
    return {name: width if headed[name] and len(values) % width == 0 else 1 for name, values in rows.items()}
