r"""Copy this file to core/methods/<family>/<slug_with_underscores>.py; it is found there by itself. It runs as it stands.

Here stands what the paper says, in a few lines and its central equation, as Markdown; the page shows it under "The paper". This one
compares two step sizes of gradient descent on $f(\theta)=\frac12\sum_ih_i\theta_i^2$,
$$\theta_{t+1}=\theta_t-\gamma\nabla f(\theta_t).$$

What the paper leaves open, and what we do otherwise and why, is said here too.

Reference: Authors, *Title*, venue and year.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.methods.base import Arm, Claim, Inputs, Lines, Paired, Paper, Preset, param
from core.recorder import Recorder
from core.training import generator

# The algorithm comes first: plain functions or nn.Modules that anybody can import, with shapes and sources in their docstrings.
# What a second paper needs too goes to core/measures, core/training.py, core/data or models. A paper that trains networks finds
# there: data (core.data.digits.digits8, core.data.mnist.mnist14, core.data.images.shuffled, core.data.text), networks (models.mlp,
# convnet, resnet, transformer), models.initialisation.draw_weights, and in core.training train, predict, adam, sgd and cosine.


def gradient(theta: Tensor, curvatures: Tensor) -> Tensor:
    """Of f at theta (d,), with curvatures h (d,): (d,)."""
    return curvatures * theta


# The declaration. The gallery reads it without running the file: imports of core.methods.base, dataclasses, math and typing,
# `NAME = ...` with one name on the left, the class Params, and functions by name; no loops, no `A, B = ...`, no other classes.

PAPER = Paper(
    slug="template",  # the file's name with hyphens
    title="Title of the paper",
    authors="First Author, Second Author",
    year=2026,
    venue="Venue",
    family="dynamics",  # the folder; a key of core.methods.base.FAMILIES
    arxiv="0000.00000",
    idea="The idea in one sentence, for the card in the gallery.",
    equation=r"\theta_{t+1}=\theta_t-\gamma\nabla f(\theta_t)",
)


@dataclass(frozen=True)
class Params:
    """What can be set. The page makes its controls from these fields; the defaults are the standard preset."""

    dimension: int = param(20, "Parameters of the problem.", low=1, high=1000)
    steps: int = param(200, "Steps of gradient descent.", low=1, high=100_000)
    largest: float = param(1.0, "The largest curvature.", low=0.01, high=100.0)


ARMS = (  # the first is the baseline; the paper's own has the role "method"
    Arm("small-step", "Small step", "A tenth of the largest step that is stable."),
    Arm("large-step", "Large step", "Nine tenths of it.", role="method"),
)
PRESETS = {  # fixed, with their seeds, before anybody looks at the results; seconds are measured with two workers
    "smoke": Preset(1, (0, 1), {"steps": 20}),
    "quick": Preset(1, (0, 1, 2), {"steps": 100}),
    "standard": Preset(1, (0, 1, 2, 3, 4)),
    "paper": Preset(1, (0, 1, 2, 3, 4), {"dimension": 1000, "steps": 10_000}, needs="cuda"),
}
CLAIMS = (  # falsifiable: a metric, two arms, a direction, the smallest effect that counts
    Claim(
        "c1",
        "The larger step ends at a loss lower by half a decade or more.",
        Paired("log_loss", "large-step", "small-step", 0.5, better="lower", unit="decades"),
        evidence="What the paper reports, and where (Table 1).",
    ),
)
VIEWS = (  # the first is the hero
    Lines(
        title="Who falls faster", caption="Loss against step: the large step is below.", y="loss", log_y=True, y_title="loss (log)"
    ),
)


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Runs one arm with one seed. Arms of one seed share data and start, drawn from named streams.

    Torch's global generator is seeded before every cell, so that dropout and the like repeat. All numbers must repeat to the bit;
    what is measured in seconds is recorded under a name with "seconds" in it, of which this is not asked.
    """
    curvatures = params.largest * torch.rand(params.dimension, generator=generator("curvatures", inputs.seed))
    theta = torch.randn(params.dimension, generator=generator("start", inputs.seed))
    curvatures, theta = curvatures.to(inputs.device), theta.to(inputs.device)
    gamma = {"small-step": 0.1, "large-step": 0.9}[arm] * 2 / params.largest
    for step in range(params.steps + 1):
        loss = (curvatures * theta.square()).sum() / 2
        record.scalars(step, loss=loss)
        record.progress(step, params.steps)
        theta = theta - gamma * gradient(theta, curvatures)
    record.result(log_loss=loss.log10())
