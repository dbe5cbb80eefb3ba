r"""Grokking, where the training loss falls long before the test loss, needs neither weight decay nor shrinking weights. A network
that starts lazy behaves at first like regression with its initial tangent kernel: it fits the training set with features that do
not suit the target. Only later do the features turn towards the target, and the test loss falls. Two knobs decide the delay: the
scale $\alpha$ of the output (large is lazy) and how little the initial kernel is aligned with the target ($\epsilon$).

Inputs $x\sim\mathcal N(0, I_D/D)$ have the even target $y=\frac12(\beta^\top x)^2$ with $\|\beta\|^2=D$. The network has
no trained readout, and its tangent kernel has a closed form:
$$f(x)=\frac{\alpha}{N}\sum_{i=1}^N\phi(w_i^\top x),\quad \phi(h)=h+\frac{\epsilon}{2}h^2,\qquad
K(x,x')=\frac{\alpha^2}{N^2}\,x^\top x'\sum_i\phi'(w_i^\top x)\,\phi'(w_i^\top x').$$

It is trained by plain gradient descent on the mean squared error of $P$ samples with the step $\eta_0N/\alpha^2$, so that the
function changes equally fast for every $\alpha$. The linearised network keeps $\phi'$ at its initial weights for ever, and so
stays lazy; where it ends is regression with the initial kernel. Loss is divided by its initial value; a curve has fallen at the
first recorded step below a tenth. The authors draw $\beta$ freely; here its length is the same for every seed.

On MNIST (the preset `paper-mnist`) large initial weights and a scaled output play the same part, with AdamW.

Reference: Tanishq Kumar, Blake Bordelon, Samuel J. Gershman, Cengiz Pehlevan, *Grokking as the Transition from Lazy to Rich
Training Dynamics*, ICLR 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from core.data import load
from core.measures.kernels import kernel_regression, kernel_target_alignment
from core.methods.base import (
    Arm,
    Claim,
    Heatmap,
    Inputs,
    Lines,
    Outcome,
    Paper,
    Preset,
    Results,
    Stack,
    Verdict,
    decide_by_interval,
    decide_within,
    param,
)
from core.recorder import Recorder
from core.training import batch_order, evaluating, generator
from models.mlp import mlp

# --- the network, for any batch of models: weights (..., N, D), inputs (..., n, D), alpha and epsilon (..., 1, 1) ----------------


def preactivations(weights: Tensor, inputs: Tensor) -> Tensor:
    """w_i' x for every input and unit, (..., n, N)."""
    return inputs @ weights.mT


def network(h: Tensor, alpha: Tensor, epsilon: Tensor) -> Tensor:
    """f of the preactivations (..., n, N): (..., n)."""
    return alpha[..., 0] * (h + epsilon / 2 * h.square()).mean(-1)


def slope(h: Tensor, epsilon: Tensor) -> Tensor:
    """phi'(h), (..., n, N)."""
    return 1 + epsilon * h


def gradient(errors: Tensor, slopes: Tensor, inputs: Tensor, alpha: Tensor) -> Tensor:
    """Of the mean squared error with respect to the weights: 2 alpha / (P N) sum over samples of e phi' x, (..., N, D)."""
    samples, units = slopes.shape[-2:]
    return 2 * alpha / (samples * units) * ((errors[..., None] * slopes).mT @ inputs)


def tangent_kernel(slopes: Tensor, inputs: Tensor, other_slopes: Tensor, other_inputs: Tensor, alpha: Tensor) -> Tensor:
    """K between inputs (..., n, D) and others (..., m, D) from their phi': (..., n, m)."""
    units = slopes.shape[-1]
    return (alpha / units) ** 2 * (inputs @ other_inputs.mT) * (slopes @ other_slopes.mT)


# --- declaration ------------------------------------------------------------------------------------------------------

PAPER = Paper(
    slug="lazy-to-rich-grokking",
    title="Grokking as the Transition from Lazy to Rich Training Dynamics",
    authors="Tanishq Kumar, Blake Bordelon, Samuel J. Gershman, Cengiz Pehlevan",
    year=2023,
    venue="ICLR 2024",
    family="dynamics",
    arxiv="2310.06110",
    idea="A network groks when it first fits like its initial kernel and only later turns its features to the target.",
    equation=r"f(x)=\frac{\alpha}{N}\sum_i\phi(w_i^\top x),\qquad \eta=\eta_0N/\alpha^2",
    code="https://github.com/giovana-morais/amlds_final_project",
)


@dataclass(frozen=True)
class Params:
    """What can be set. Every alpha is run with `epsilon` and `samples`; every other epsilon and sample size with alpha 1."""

    data: str = param("gaussian", "Gaussian inputs with a quadratic target, or MNIST.", choices=("gaussian", "ylecun/mnist"))
    dimension: int = param(40, "D, of the inputs.", low=2, high=1000)
    samples: int = param(200, "P, training samples.", low=4, high=10_000)
    units: int = param(200, "N, hidden units.", low=2, high=10_000)
    steps: int = param(20_000, "T, of gradient descent.", low=10, high=1_000_000)
    rate: float = param(
        0.5, "The step size before it is scaled by N / alpha^2; larger ones leave the gradual regime.", low=1e-4, high=1
    )
    alphas: tuple[float, ...] = param((0.25, 0.5, 1.0, 2.0, 4.0), "Scales of the output.", low=1e-4, high=1024)
    epsilon: float = param(0.25, "The quadratic part of phi.", low=0, high=8)
    epsilons: tuple[float, ...] = param((0.125, 0.5, 1.0), "More quadratic parts, with alpha 1.", low=0, high=8)
    sample_sizes: tuple[int, ...] = param((60, 600), "More sample sizes, with alpha 1.", low=4, high=10_000)
    linearised: tuple[float, ...] = param((0.5, 1.0), "Scales of the output of the linearised network.", low=1e-4, high=1024)
    subtract_initial: bool = param(False, "Takes the initial output off the network, as the authors' option does.")
    test_points: int = param(1000, "Held-out samples; the kernel is looked at on 300 of them at most.", low=10, high=10_000)


INPUTS = ("own",)
BATCHED = True
ARMS = (
    Arm("linearised", "Linearised network", "The same start, data and steps, with the features of the start: lazy for ever."),
    Arm("network", "Network", "Plain gradient descent; features move.", role="method"),
)
SMALL = {"dimension": 20, "samples": 90, "units": 100, "linearised": (0.5,)}
ONE = {"epsilons": (0.25,), "sample_sizes": (90,)}  # nothing beyond the alphas
AUTHORS = {
    "dimension": 100,
    "samples": 550,
    "units": 500,
    "steps": 60_000,
    "alphas": (0.03125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    "epsilons": (0.02, 0.5, 1.0, 2.0, 4.0),
    "sample_sizes": (150, 1500),
}
MNIST = {"data": "ylecun/mnist", "samples": 1000, "units": 200, "steps": 250_000, "rate": 1e-3, "alphas": (0.001, 0.01, 0.05, 0.5)}
PRESETS = {
    "smoke": Preset(2, (0, 1), SMALL | ONE | {"steps": 300, "alphas": (0.5, 1.0), "test_points": 100}),
    "quick": Preset(30, (0, 1, 2), SMALL | ONE | {"steps": 6000, "alphas": (0.25, 0.5, 1.0, 2.0)}),
    "standard": Preset(400, (0, 1, 2)),
    "paper": Preset(100, (0, 1, 2, 3, 4), AUTHORS, needs="cuda"),
    "paper-mnist": Preset(3600, (0,), MNIST, ("network",), needs="cuda"),
}

FALLEN = 0.1  # of the initial loss
LARGEST_ALPHA = 2.0


def settings(results: Results, arm: str = "network", **where: float | str) -> pd.DataFrame:
    """The rows of one arm's settings with these values."""
    rows = results.table("settings")
    for column, value in ({"arm": arm} | where).items():
        rows = rows[rows[column] == value] if column in rows else rows.iloc[:0]
    return rows


def main_sweep(results: Results) -> pd.DataFrame:
    """The network's rows of the sweep over alpha that claims rest on. Beyond LARGEST_ALPHA a network starts with a large random
    output of its own, so that losses over their start tell of unlearning it.
    """
    rows = settings(results)
    return rows[(rows["sweep"] == "alpha") & (rows["alpha"] <= LARGEST_ALPHA)] if len(rows) else rows


def decide_grokking(results: Results) -> Verdict:
    """At alpha 1 a gap of half a decade or more in every seed, and a linearised one that fits but keeps 30% of its test loss."""
    gaps = settings(results, alpha=1.0, sweep="alpha")["gap"]
    lazy = settings(results, "linearised")
    if gaps.empty or lazy.empty:
        return Verdict("undecided", detail="It needs both arms, and the network at alpha 1.")
    verdict = decide_by_interval(gaps.tolist(), 0.5)
    stays, fits = lazy["test_loss"].min(), lazy["training_loss"].max()
    detail = (
        f"Gaps at alpha 1 from {gaps.min():.2f} to {gaps.max():.2f}. The linearised network ends at {stays:.0%} of its test loss "
        f"or more, and at {fits:.1%} of its training loss or less (5% asked for)."
    )
    every = (gaps >= 0.5).all() and stays >= 0.3 and fits < 0.05
    none = verdict.outcome == "does not hold" or lazy["test_loss"].max() < 0.3
    outcome: Outcome = "undecided" if len(gaps) < 2 else "holds" if every else "does not hold" if none else "undecided"
    return Verdict(outcome, verdict.effect, verdict.low, verdict.high, len(gaps), 0.5, "decades between train and test", detail)


def decide_delay(results: Results) -> Verdict:
    """The test loss falls the later the larger alpha: a slope above 0.5 on log axes, and a gap that grows from alpha 0.25 to 2."""
    steps = results_grid(results, "test_step")
    gaps = results_grid(results, "gap")
    if len(steps.columns) < 3 or not {0.25, 2.0} <= set(gaps):
        return Verdict("not testable here", detail="It needs three values of alpha, 0.25 and 2 among them.")
    slopes = np.polyfit(np.log(steps.columns), np.log(steps.to_numpy().T), 1)[0]
    slope_verdict = decide_within(slopes.tolist(), low=0.5)
    growth = decide_by_interval((gaps[2.0] - gaps[0.25]).tolist(), 0.0)
    detail = f"The gap grows by {growth.effect:.2f} decades from alpha 0.25 to 2 ({growth.low:.2f} to {growth.high:.2f})."
    return both(slope_verdict, growth, "slope on log axes", detail)


def decide_alignment(results: Results) -> Verdict:
    """From alpha 0.5 to 2 the alignment doubles at least, and reaches half of its rise only after the training loss has fallen."""
    rows = main_sweep(results)
    rows = rows[rows["alpha"] >= 0.5] if len(rows) else rows
    if rows.empty:
        return Verdict("undecided", detail="It needs the network at an alpha of 0.5 or more.")
    growth = decide_by_interval(rows.groupby("seed")["alignment_growth"].min().tolist(), 2.0)
    late = np.log10(rows["half_rise_step"] / rows["training_step"]).groupby(rows["seed"]).min()
    lateness = decide_by_interval(late.tolist(), 0.0)
    detail = f"The alignment grows at least {growth.effect:.1f}-fold ({growth.low:.1f} to {growth.high:.1f}) in the seeds' mean."
    return both(lateness, growth, "decades from the fit to half of the rise, at the least", detail)


def decide_norm(results: Results) -> Verdict:
    """Weights are no smaller than at the start when the test loss falls; a norm below 0.98 of it would refute the paper."""
    rows = main_sweep(results)
    rows = rows[rows["generalised"].astype(bool)] if len(rows) else rows
    if rows.empty:
        return Verdict("not testable here", detail="The test loss fell in no run.")
    smallest = rows.groupby("seed")["norm_ratio"].min()
    verdict = decide_within(smallest.tolist(), low=1.0, unit="times the initial norm, at the least")
    return replace(verdict, outcome="undecided") if verdict.outcome == "does not hold" and verdict.high >= 0.98 else verdict


def decide_window(results: Results) -> Verdict:
    """Too few samples never generalise, some grok, many generalise at once."""
    rows = settings(results, alpha=1.0, epsilon=0.25)
    rows = rows.assign(ratio=rows["samples"] / rows["dimension"]) if len(rows) else rows
    few, some, many = (rows[(rows["ratio"] >= low) & (rows["ratio"] <= high)] if len(rows) else rows for low, high in WINDOW)
    if few.empty or some.empty or many.empty:
        return Verdict("not testable here", detail="It needs sample sizes of about 1.5, 5 and 15 times the dimension.")
    stuck = decide_by_interval((few["least_test_loss"]).tolist(), 0.7)
    groks = decide_by_interval(some["gap"].tolist(), 0.5)
    prompt = decide_by_interval((0.5 - many["gap"]).tolist(), 0.0)
    detail = (
        f"With few samples the test loss stays at {few['least_test_loss'].mean():.0%} at least, with some the gap is "
        f"{some['gap'].mean():.2f} decades, with many {many['gap'].mean():.2f}."
    )
    return both(both(groks, stuck, "", ""), prompt, "decades at the middle size", detail)


WINDOW = ((1.0, 2.0), (4.0, 6.0), (12.0, 20.0))


def results_grid(results: Results, value: str) -> pd.DataFrame:
    """A value of the sweep over alpha: a row for each seed, a column for each alpha."""
    rows = main_sweep(results)
    return rows.pivot_table(index="seed", columns="alpha", values=value) if len(rows) else rows


def both(first: Verdict, second: Verdict, unit: str, detail: str) -> Verdict:
    """Two conditions, of which the first is shown: both must hold, and either failing refutes."""
    outcomes = {first.outcome, second.outcome}
    order: tuple[Outcome, ...] = ("does not hold", "not testable here", "undecided", "holds")
    outcome = next(one for one in order if one in outcomes)
    return Verdict(outcome, first.effect, first.low, first.high, first.n, first.smallest, unit, detail)


CLAIMS = (
    Claim(
        "c1",
        "The network groks, its linearised twin never does: at alpha 1 the test loss falls half a decade of steps or more after "
        "the training loss in every seed, while the linearised network fits the training set and keeps 30% of its test loss.",
        decide_grokking,
        "Test loss falls long after training loss; the linearised network's test loss stays on a plateau (Figs. 1 and 2).",
    ),
    Claim(
        "c2",
        "The lazier, the later: up to alpha 2 the step at which the test loss falls grows with alpha, with a slope above 0.5 on "
        "log axes, and so does the gap.",
        decide_delay,
        "Larger output scales delay generalisation (Fig. 3).",
    ),
    Claim(
        "c3",
        "Features align after the fit: from alpha 0.5 to 2 the alignment of kernel and target at least doubles, and half of its "
        "rise comes after the training loss has fallen.",
        decide_alignment,
        "The kernel aligns with the target while the test loss falls (Fig. 4).",
    ),
    Claim(
        "c4",
        "No shrinking of weights is needed: when the test loss falls the weights are no smaller than at the start.",
        decide_norm,
        "Grokking without weight decay, and with a growing norm (Sect. 4).",
    ),
    Claim(
        "c5",
        "There is a window of data: with 1.5 samples a dimension the test loss does not fall, with about 5 the network groks, "
        "with 15 it generalises at once.",
        decide_window,
        "The data set must be large enough to generalise in the end, and too small for the kernel (abstract).",
    ),
)

LOG_STEP: dict[str, Any] = {"log_x": True, "x_title": "step (log)", "colour": "series"}
VIEWS = (
    Stack(
        title="Fit early, understand late",
        caption="Loss over its initial value. All training losses fall early; test losses fall the later the larger alpha is, and "
        "that of the linearised network (dashed) never does.",
        views=tuple(
            Lines(
                title=title,
                caption="",
                y=name,
                y_title=title,
                log_y=True,
                dashed=("linearised, α = 0.5", "linearised, α = 1"),
                **LOG_STEP,
            )
            for name, title in (("training_loss", "training loss"), ("test_loss", "test loss"))
        ),
    ),
    Stack(
        title="Features turn as the test loss falls",
        caption="Alignment of the tangent kernel with the target rises where the test loss falls, and not before.",
        views=(
            Lines(
                title="alignment",
                caption="",
                y="alignment",
                y_title="kernel-target alignment",
                where={"arm": "network"},
                **LOG_STEP,
            ),
            Lines(title="test", caption="", y="test_loss", y_title="test loss", log_y=True, where={"arm": "network"}, **LOG_STEP),
        ),
    ),
    Lines(
        title="The wedge",
        caption="The step at which the training loss falls (dashed), and at which the test loss does, by the scale of the output.",
        table="falls",
        x="alpha",
        y="step",
        colour="loss",
        dashed=("training",),
        log_x=True,
        log_y=True,
        x_title="alpha (log)",
        y_title="step at which the loss falls",
        where={"arm": "network"},
    ),
    Heatmap(
        title="From all directions to one",
        caption="W'W / N at alpha 1 in a basis whose first direction is the target's: isotropic at first, then one bright entry.",
        matrix="feature covariance",
        facet_title="step",
        value_title="covariance",
        where={"arm": "network"},
    ),
    Lines(
        title="The weights do not shrink",
        caption="Norm of the weights over its initial value: it grows, so that no decay explains the delay.",
        y="norm",
        y_title="norm / initial norm",
        where={"arm": "network"},
        **LOG_STEP,
    ),
)

# --- one arm, all seeds -----------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """One model of every seed."""

    sweep: str
    alpha: float
    epsilon: float
    samples: int

    def name(self, arm: str) -> str:
        """For the legend."""
        changed = {"alpha": f"α = {self.alpha:g}", "epsilon": f"ε = {self.epsilon:g}", "samples": f"P = {self.samples}"}[self.sweep]
        return changed if arm == "network" else f"linearised, {changed}"


def plan(arm: str, params: Params) -> list[Setting]:
    """The settings of an arm: a sweep over alpha, and for the network the other sweeps at alpha 1."""
    if arm == "linearised":
        return [Setting("alpha", alpha, params.epsilon, params.samples) for alpha in params.linearised]
    swept = [Setting("alpha", alpha, params.epsilon, params.samples) for alpha in params.alphas]
    swept += [Setting("epsilon", 1.0, epsilon, params.samples) for epsilon in params.epsilons if epsilon != params.epsilon]
    return swept + [Setting("samples", 1.0, params.epsilon, size) for size in params.sample_sizes if size != params.samples]


class Problem(NamedTuple):
    """Data and initial weights of all seeds: inputs (S, n, D), targets (S, n), directions (S, D), weights (S, N, D)."""

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    direction: Tensor
    weights: Tensor

    @classmethod
    def draw(cls, params: Params, seeds: tuple[int, ...], samples: int, device: str) -> Problem:
        """The first `samples` of every seed's stream, so that smaller sets are part of larger ones."""
        d, parts = params.dimension, []
        for seed in seeds:
            direction = torch.randn(d, generator=generator("target", seed))
            direction *= math.sqrt(d) / direction.norm()
            x = torch.randn(samples, d, generator=generator("training inputs", seed)) / math.sqrt(d)
            x_test = torch.randn(params.test_points, d, generator=generator("test inputs", seed)) / math.sqrt(d)
            weights = torch.randn(params.units, d, generator=generator("weights", seed))
            parts.append((x, (x @ direction).square() / 2, x_test, (x_test @ direction).square() / 2, direction, weights))
        return cls(*(torch.stack(part).to(device) for part in zip(*parts, strict=True)))


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Trains all settings of all seeds side by side, those of one sample size in one batch."""
    if params.data != "gaussian":
        return run_mnist(params, inputs, record)
    settings_of_arm = plan(arm, params)
    sizes = sorted({setting.samples for setting in settings_of_arm})
    for number, samples in enumerate(sizes):
        problem = Problem.draw(params, inputs.seeds, samples, inputs.device)
        chosen = [setting for setting in settings_of_arm if setting.samples == samples]
        descend(arm, params, chosen, problem, inputs.seeds, record, (number, len(sizes)))
    return None


def log_spaced(steps: int) -> list[int]:
    """0, 1, 2, ... with a ratio of at most 1.1 from one to the next, up to `steps`."""
    marks = [0]
    while marks[-1] < steps:
        marks.append(min(steps, max(marks[-1] + 1, int(marks[-1] * 1.1))))
    return marks


def descend(
    arm: str,
    params: Params,
    chosen: list[Setting],
    problem: Problem,
    seeds: tuple[int, ...],
    record: Recorder,
    part: tuple[int, int],
) -> None:
    """Gradient descent of a batch of models: settings (C) by seeds (S), axes (C, S, ...)."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, device=problem.weights.device)[:, None, None, None]

    alpha, epsilon = column([s.alpha for s in chosen]), column([s.epsilon for s in chosen])
    x, y, x_test, y_test = problem.inputs, problem.targets, problem.test_inputs, problem.test_targets
    start = problem.weights.expand(len(chosen), *problem.weights.shape)
    weights = start.clone()
    h0, h0_test = preactivations(start, x), preactivations(start, x_test)
    slope0, slope0_test = slope(h0, epsilon), slope(h0_test, epsilon)
    f0, f0_test = network(h0, alpha, epsilon), network(h0_test, alpha, epsilon)
    offset, offset_test = (f0, f0_test) if params.subtract_initial else (0.0, 0.0)
    eta = params.rate * params.units / alpha**2

    def outputs(w: Tensor, inputs: Tensor, first: Tensor, slopes: Tensor) -> Tensor:
        if arm == "linearised":
            return first + alpha[..., 0] * (slopes * preactivations(w - start, inputs)).mean(-1)
        return network(preactivations(w, inputs), alpha, epsilon)

    def losses(w: Tensor) -> tuple[Tensor, Tensor]:
        training = outputs(w, x, f0, slope0) - offset - y
        test = outputs(w, x_test, f0_test, slope0_test) - offset_test - y_test
        return training.square().mean(-1), test.square().mean(-1)  # (C, S)

    initial = losses(weights)
    history: list[dict[str, Tensor]] = []
    looked_at = x_test[:, :300]
    kernel0 = tangent_kernel(slope0_test[..., :300, :], looked_at, slope0_test[..., :300, :], looked_at, alpha)
    marks = log_spaced(params.steps)
    for step in range(params.steps + 1):
        if step == marks[len(history)]:
            slopes = slope0_test[..., :300, :] if arm == "linearised" else slope(preactivations(weights, looked_at), epsilon)
            kernel = tangent_kernel(slopes, looked_at, slopes, looked_at, alpha)
            training, test = (now / first for now, first in zip(losses(weights), initial, strict=True))
            values = {
                "training_loss": training,
                "test_loss": test,
                "alignment": kernel_target_alignment(kernel, y_test[:, :300].expand(len(chosen), -1, -1)),
                "norm": weights.flatten(2).norm(dim=2) / start.flatten(2).norm(dim=2),
                "movement": (weights - start).flatten(2).norm(dim=2) / start.flatten(2).norm(dim=2),
                "kernel_change": (kernel - kernel0).flatten(2).norm(dim=2) / kernel0.flatten(2).norm(dim=2),
                "cosine": leading_direction_cosine(weights, problem.direction),
            }
            history.append({name: value.cpu() for name, value in values.items()})
            for number, setting in enumerate(chosen):
                record.scalars(step, series=setting.name(arm), **{name: value[number] for name, value in values.items()})
            show_covariance(step, marks, chosen, weights, problem, seeds, record, arm)
            record.progress(part[0] * params.steps + step, part[1] * params.steps)
        if step == params.steps:
            break
        if arm == "linearised":
            slopes, f = slope0, outputs(weights, x, f0, slope0)
        else:
            h = preactivations(weights, x)
            slopes, f = slope(h, epsilon), network(h, alpha, epsilon)
        weights = weights - eta * gradient(f - offset - y, slopes, x, alpha)
    kernel_limit = kernel_test_loss(problem, slope0, slope0_test, f0, f0_test, offset_test, alpha) / initial[1]
    summarise(arm, params, chosen, seeds, marks, history, kernel_limit, record)


def leading_direction_cosine(weights: Tensor, direction: Tensor) -> Tensor:
    """|cosine| of the top right singular vector of W (C, S, N, D) with the target's direction (S, D): (C, S)."""
    vectors = torch.linalg.eigh(weights.mT @ weights).eigenvectors[..., -1]
    return (vectors * direction).sum(-1).abs() / direction.norm(dim=-1)


def kernel_test_loss(
    problem: Problem, slopes: Tensor, test_slopes: Tensor, f0: Tensor, f0_test: Tensor, offset: Tensor | float, alpha: Tensor
) -> Tensor:
    """Test loss of regression with the initial kernel on what the initial output leaves, (C, S): where the linearised one ends."""
    x, x_test = problem.inputs, problem.test_inputs
    kernel = tangent_kernel(slopes, x, slopes, x, alpha)
    cross = tangent_kernel(test_slopes, x_test, slopes, x, alpha)
    target = problem.targets - (f0 if isinstance(offset, float) else 0.0)
    predicted = kernel_regression(kernel, cross, target.expand(kernel.shape[:-1])) + (f0_test if isinstance(offset, float) else 0.0)
    return (predicted - problem.test_targets).square().mean(-1)


def show_covariance(
    step: int,
    marks: list[int],
    chosen: list[Setting],
    weights: Tensor,
    problem: Problem,
    seeds: tuple[int, ...],
    record: Recorder,
    arm: str,
) -> None:
    """W'W / N of the first seed at the first step, in the middle and at the end, with the target's direction as the first axis."""
    shown = [number for number, setting in enumerate(chosen) if setting.alpha == 1 and setting.sweep == "alpha"]
    if step not in (marks[0], marks[len(marks) * 2 // 3], marks[-1]) or not shown or arm == "linearised":
        return
    w, direction = weights[shown[0], 0], problem.direction[0]
    basis, _ = torch.linalg.qr(torch.cat([direction[:, None], torch.eye(len(direction), device=w.device)[:, 1:]], 1))
    record.seed(seeds[0]).matrix(step, "feature covariance", basis.mT @ w.mT @ w @ basis / len(w))


def summarise(
    arm: str,
    params: Params,
    chosen: list[Setting],
    seeds: tuple[int, ...],
    marks: list[int],
    history: list[dict[str, Tensor]],
    kernel_limit: Tensor,
    record: Recorder,
) -> None:
    """A row of the table of settings for every model; a test loss that never falls counts as falling at the end."""
    curves = {name: torch.stack([values[name] for values in history]).numpy() for name in history[0]}  # (marks, C, S)
    steps = np.array(marks)
    for number, setting in enumerate(chosen):
        for place, seed in enumerate(seeds):
            curve = {name: values[:, number, place] for name, values in curves.items()}
            fell = {name: curve[f"{name}_loss"] < FALLEN for name in ("training", "test")}
            at = {name: int(steps[below.argmax()]) if below.any() else params.steps for name, below in fell.items()}
            alignment = curve["alignment"]
            rise = alignment - alignment[0] >= (alignment[-1] - alignment[0]) / 2
            row = {
                **setting._asdict(),
                "dimension": params.dimension,
                "training_step": max(at["training"], 1),
                "test_step": max(at["test"], 1),
                "gap": math.log10(max(at["test"], 1) / max(at["training"], 1)),
                "generalised": bool(fell["test"].any()),
                "training_loss": float(curve["training_loss"][-1]),
                "test_loss": float(curve["test_loss"][-1]),
                "least_test_loss": float(curve["test_loss"].min()),
                "alignment_growth": float(alignment[-1] / alignment[0]),
                "half_rise_step": max(int(steps[rise.argmax()]), 1),
                "norm_ratio": float(curve["norm"][steps.searchsorted(at["test"])]),
                "kernel_regression": float(kernel_limit[number, place]),
            }
            recorder = record.seed(seed)
            recorder.table("settings", row)
            if setting.sweep == "alpha":
                falls = [{"alpha": setting.alpha, "loss": name, "step": row[f"{name}_step"]} for name in ("training", "test")]
                recorder.table("falls", falls)
            if setting.alpha == (1.0 if arm == "network" else params.linearised[0]) and setting.sweep == "alpha":
                recorder.result(
                    **{name: row[name] for name in ("gap", "training_loss", "test_loss", "kernel_regression", "norm_ratio")}
                )


def run_mnist(params: Params, inputs: Inputs, record: Recorder) -> None:
    """Three hidden ReLU layers whose initial weights are 150 times the usual ones, squared error on one-hot targets, AdamW."""
    images = load(params.data)
    train, test = images.train.pixels.flatten(1)[: params.samples], images.test.pixels.flatten(1)
    labels, test_labels = images.train.labels[: params.samples], images.test.labels
    train, test, labels, test_labels = (part.to(inputs.device) for part in (train, test, labels, test_labels))
    target, test_target = one_hot(labels, 10).float(), one_hot(test_labels, 10).float()
    marks = set(log_spaced(params.steps))
    for seed in inputs.seeds:
        recorder, order = record.seed(seed), batch_order(len(train), 200, params.steps, generator("batches", seed))
        for number, alpha in enumerate(params.alphas):
            torch.manual_seed(seed)
            widths = (train.shape[1], params.units, params.units, params.units, 10)
            model = mlp(widths).to(inputs.device)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(150)
            optimiser = torch.optim.AdamW(model.parameters(), params.rate, weight_decay=0.01)
            initial: tuple[float, float] | None = None
            for step in range(params.steps + 1):
                if step in marks:
                    with evaluating(model):
                        now = tuple(
                            (alpha * model(x) - t).square().mean().item() for x, t in ((train, target), (test, test_target))
                        )
                        accuracy = (model(test).argmax(1) == test_labels).float().mean()
                    initial = initial or now
                    relative = {"training_loss": now[0] / initial[0], "test_loss": now[1] / initial[1], "test_accuracy": accuracy}
                    recorder.scalars(step, series=f"α = {alpha:g}", **relative)
                    record.progress(number * params.steps + step, len(params.alphas) * params.steps)
                if step == params.steps:
                    break
                batch = order[step].to(inputs.device)
                optimiser.zero_grad()
                (alpha * model(train[batch]) - target[batch]).square().mean().backward()
                optimiser.step()
