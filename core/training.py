"""The one training loop and its few options: schedules, random streams and the order of batches.

    order = batch_order(len(images), 60, steps, generator("batches", seed))

    def loss(step):
        batch = order[step]
        return cross_entropy(model(images[batch]), labels[batch])

    train(loss, adam(model.parameters(), 1e-3), steps, schedule=cosine(steps), evaluate=evaluate, every=20)

The loop knows nothing of models or data: the loss does, so a step may be anything that ends in one number to minimise.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

Schedule = Callable[[int], float]
"""The share of its own learning rate that every parameter group has at a step (counted from 0)."""


def train(
    loss: Callable[[int], Tensor],
    optimiser: torch.optim.Optimizer,
    steps: int,
    *,
    start: int = 0,
    schedule: Schedule | None = None,
    clip: float | None = None,
    before_update: Callable[[], None] | None = None,
    after_step: Callable[[int], None] | None = None,
    evaluate: Callable[[int, float], None] | None = None,
    every: int = 1,
) -> None:
    """Minimises loss(step) for the steps from `start` up to `steps`.

    Args:
        loss: gives the scalar loss of a step, counted from 0, with its graph.
        schedule: multiplies each parameter group's learning rate, as it was when the optimiser was made.
        clip: the largest norm of the gradient of all parameters together; a larger one is scaled down to it.
        before_update: called between the backward pass and the clipping, when the gradients are there to be changed.
        after_step: called with the number of updates made, after each.
        evaluate: called with the number of updates made and the mean training loss since the last call (NaN at first): at
            `start`, at every multiple of `every`, and at the end. Losses are those before the update.
    """
    groups = optimiser.param_groups
    rates = [group.setdefault("initial_lr", group["lr"]) for group in groups]
    parameters = [parameter for group in groups for parameter in group["params"]]
    total: Tensor | float = math.nan  # stays a tensor between evaluations: reading it would make a GPU wait
    counted = 1
    for step in range(start, steps):
        if evaluate and (step % every == 0 or step == start):
            evaluate(step, float(total) / counted)
            total, counted = 0.0, 0
        if schedule:
            share = schedule(step)
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = share * rate
        optimiser.zero_grad()
        value = loss(step)
        value.backward()  # type: ignore[no-untyped-call]
        if evaluate:
            total = total + value.detach()
            counted += 1
        if before_update:
            before_update()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        if after_step:
            after_step(step + 1)
    if evaluate:
        evaluate(steps, float(total) / counted)


# --- schedules ---------------------------------------------------------------------------------------------------


def cosine(steps: int, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 at step 0 to `floor` at `steps`.

    >>> [round(cosine(4)(step), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    return lambda step: floor + (1 - floor) * (1 + math.cos(math.pi * step / steps)) / 2


def linear(steps: int, floor: float = 0.0) -> Schedule:
    """A straight line from 1 at step 0 to `floor` at `steps`."""
    return lambda step: 1 - (1 - floor) * step / steps


def step_decay(milestones: Iterable[int], factor: float = 0.1) -> Schedule:
    """Multiplied by `factor` at each milestone.

    >>> [round(step_decay([2, 3])(step), 3) for step in range(5)]
    [1.0, 1.0, 0.1, 0.01, 0.01]
    """
    at = sorted(milestones)
    return lambda step: factor ** sum(step >= milestone for milestone in at)


def warm_up(steps: int, then: Schedule | None = None) -> Schedule:
    """A straight rise over the first `steps`, from 1/steps at step 0 to 1, times `then`.

    >>> [warm_up(4)(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return lambda step: min(1.0, (step + 1) / steps if steps else 1.0) * (then(step) if then else 1.0)


# --- optimisers, random streams, batches --------------------------------------------------------------------------


def adam(
    parameters: Iterable[Tensor], rate: float, *, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Adam:
    """Adam in its fused form, which on one CPU thread takes half the time of the plain one."""
    return torch.optim.Adam(parameters, rate, betas=betas, weight_decay=weight_decay, fused=True)


def sgd(parameters: Iterable[Tensor], rate: float, *, momentum: float = 0.9, weight_decay: float = 0.0) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(parameters, rate, momentum=momentum, weight_decay=weight_decay, fused=True)


def generator(stream: str, *numbers: int) -> torch.Generator:
    """A named stream of random numbers on the CPU: the same name and numbers give the same draws, others independent ones.

    >>> generator("batches", 3).initial_seed() == generator("batches", 3).initial_seed() != generator("weights", 3).initial_seed()
    True
    """
    entropy = np.random.SeedSequence([zlib.crc32(stream.encode()), *numbers]).generate_state(1)
    return torch.Generator().manual_seed(int(entropy[0]))


def batch_order(n: int, batch_size: int, steps: int, source: torch.Generator) -> Tensor:
    """Indices (steps, batch_size): passes over fresh permutations of the n items; what does not fill a batch is left out.

    Raises:
        ValueError: a batch larger than the n items.
    """
    if batch_size > n:
        raise ValueError(f"A batch of {batch_size} cannot be drawn from {n} items; choose a batch size of at most {n}.")
    per_pass = n // batch_size
    passes = [torch.randperm(n, generator=source)[: per_pass * batch_size] for _ in range(-(-steps // per_pass))]
    return torch.cat(passes).view(-1, batch_size)[:steps] if passes else torch.empty(0, batch_size, dtype=torch.long)


# --- evaluation ---------------------------------------------------------------------------------------------------


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and no gradients inside; the mode it had before, after."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def predict(model: nn.Module, inputs: Tensor, batch_size: int = 4096) -> Tensor:
    """The model's outputs for all inputs, in evaluation mode, without gradients, a batch at a time."""
    with evaluating(model):
        return torch.cat([model(batch) for batch in inputs.split(batch_size)])
