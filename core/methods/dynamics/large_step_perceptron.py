r"""Gradient descent with large step sizes, from logistic regression to the perceptron.

On separable data, with rows $z_i = y_i a_i$, the logistic loss $f(\theta) = \frac1n\sum_i\log(1 + e^{-z_i^\top\theta})$ has no
minimiser, and gradient descent on it (LR+GD) separates the data with any step size $\gamma$. Every method here moves along a
weighted sum of the $z_i$; what differs is how much a sample counts:
$$\theta_{t+1} = \theta_t + \gamma\sum_i w_i z_i,\qquad
w_i^{\text{LR+GD}} = \frac{s_i}{n},\qquad w_i^{\text{Normalized LR+GD}} = \frac{s_i}{\sum_j s_j},\qquad
s_i = \frac{1}{1 + e^{z_i^\top\theta_t}}.$$
As $\gamma\to\infty$ each $s_i$ becomes 0 (right) or 1 (wrong), and $\theta_t/\gamma$ the iterate of a perceptron that adds up its
mistakes. So perceptron theory bounds the steps whatever $\gamma$; the loss on the way says little; and averaging over all $n$
samples costs a factor $n$, which dividing by the mean error weight removes.

The task is solved at the first $t$ where every $z_i^\top\theta_t > 0$. Full batch, float64, no intercept, $\theta_0 = 0$. Of a
pair of classes the first is $+1$ and the second may be rare. The perceptron's order is free in the paper: here, the first mistake.

Reference: Alexander Tyurin, From Logistic Regression to the Perceptron Algorithm, AAAI 2025, [arXiv 2412.08424](https://arxiv.org/abs/2412.08424).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, one_hot, softplus

from core.data import hub
from core.data.mnist import mnist_images
from core.measures.statistics import bootstrap_interval
from core.methods.base import (
    Arm,
    Claim,
    Inputs,
    Lines,
    Outcome,
    Paper,
    Points,
    Preset,
    Results,
    Stack,
    Verdict,
    decide_by_interval,
    decide_within,
    param,
)
from core.recorder import Recorder

LIMIT = {"lr-gd": "batch-perceptron", "normalized-lr-gd": "normalized-batch-perceptron"}  # for ever larger steps


def error_weights(arm: str, margins: Tensor, step: int) -> Tensor:
    """The samples' weights w (..., n) in step number `step`, from 0, where their margins z_i' theta are (..., n)."""
    n = margins.shape[-1]
    s = torch.sigmoid(-margins) if arm in LIMIT else (margins <= 0).to(margins.dtype)  # theta = 0 has every sample wrong
    match arm:
        case "lr-gd":
            return s / n
        case "batch-perceptron":
            return s / n if step else s / (2 * n)  # sigmoid(0) is 1/2 for every step size, and so for the limit
        case "normalized-lr-gd" | "normalized-batch-perceptron":
            return s / s.sum(-1, keepdim=True)
        case "perceptron":
            return one_hot(s.argmax(-1), n).to(margins.dtype)  # the first mistake
    raise ValueError(f"There is no method {arm!r}.")


def iterates(z: Tensor, arm: str, gamma: float = 1.0) -> Iterator[Tensor]:
    """theta_0 = 0, theta_1, ...: the method as the paper writes it, until an iterate separates the data; that one is the last.

    Args:
        z: (n, d) samples times their labels.
        gamma: the step size; the perceptrons need none.
    """
    theta = z.new_zeros(z.shape[1])
    for step in count():
        yield theta
        margins = z @ theta
        if (margins > 0).all():
            return
        theta = theta + gamma * error_weights(arm, margins, step) @ z


class Separation(NamedTuple):
    """How far one method came with each of m step sizes.

    steps (m,) is T_sep, or the cap where `separated` (m,) is false; peak_loss (m,) the largest logistic loss at 0 < t < T_sep, NaN
    for perceptrons and where there is no such t; theta (m, d) the last iterate.
    """

    steps: Tensor
    separated: Tensor
    peak_loss: Tensor
    theta: Tensor


Watch = Callable[[int, Tensor, Tensor, Tensor], None]


def separate(z: Tensor, arm: str, gammas: Tensor, cap: int, watch: Watch | None = None) -> Separation:
    """What `iterates` does, for step sizes (m,) side by side; each leaves when it has separated the data z (n, d).

    The methods see the data only through inner products: with theta = Z' alpha, a step adds gamma w to alpha and gamma Z Z' w to
    the margins. One product with the Gram matrix Z Z' serves for two where it is smaller than Z and Z' together (perceptrons are
    done too soon to earn it). Both forms agree up to rounding; where large steps are chaotic, rounding alone can move T_sep.

    Args:
        watch: called at some 400 log-spaced steps, and when a step size is done, with the step, the indices (k,) of the step sizes
            still at work, their alpha (k, n) and their margins (k, n).
    """
    n, d = z.shape
    factors = (z @ z.T,) if arm in LIMIT and n <= 2 * d else (z, z.T.contiguous())
    marks = set(np.geomspace(1, cap, 400).round().astype(int).tolist())
    found = Separation(gammas * 0 + cap, gammas < 0, gammas * math.nan, z.new_zeros(len(gammas), d))
    at_work, gamma, peak = torch.arange(len(gammas), device=z.device), gammas[:, None], found.peak_loss.clone()
    alpha = margins = z.new_zeros(len(gammas), n)
    for step in range(cap):
        change = weights = gamma * error_weights(arm, margins, step)
        for factor in factors:
            change = change @ factor
        alpha, margins = alpha + weights, margins + change  # now those of theta_(step + 1)
        smallest = margins.amin(1)
        finished = bool(smallest.max() > 0)
        if watch and (finished or step + 1 in marks):
            seen = smallest > (-math.inf if step + 1 in marks else 0)
            watch(step + 1, at_work[seen], alpha[seen], margins[seen])
        if finished:
            done = smallest > 0
            found.steps[at_work[done]], found.separated[at_work[done]] = step + 1.0, True
            found.peak_loss[at_work], found.theta[at_work] = peak, alpha @ z
            at_work, gamma, peak, alpha, margins = (values[~done] for values in (at_work, gamma, peak, alpha, margins))
            if not len(at_work):
                return found
        if arm in LIMIT:
            peak = torch.fmax(peak, softplus(-margins).mean(1))
    found.peak_loss[at_work], found.theta[at_work] = peak, alpha @ z
    return found


def iterate_gap(z: Tensor, gamma: float, steps: int = 4) -> float:
    """The largest relative distance of LR+GD's theta_t / gamma from the Batch Perceptron's iterate during the first steps."""
    together = islice(zip(iterates(z, "lr-gd", gamma), iterates(z, "batch-perceptron"), strict=False), 1, steps + 1)
    return max(float((theta / gamma - limit).norm() / limit.norm()) for theta, limit in together)


def worst_case(n: int) -> Tensor:
    """Theorem 5.1's set times its labels, (n, 2): one (0.5, -1) of class +1, n - 1 times (-0.5, -1) of class -1."""
    return torch.tensor([(0.5, -1.0)] + [(0.5, 1.0)] * (n - 1), dtype=torch.float64)


def two_blobs() -> tuple[Tensor, Tensor]:
    """The same for the eye, times labels (40, 2), and labels (40,): blobs at (0.5, 1) and (-0.5, -1), and one odd point of each."""
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-0.3, 0.3, (40, 2)))
    return worst_case(39)[[0, *range(39)]] + noise, torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(20)


PAPER = Paper(
    slug="large-step-perceptron",
    title="From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step Sizes",
    authors="Alexander Tyurin",
    year=2024,
    venue="AAAI 2025",
    family="dynamics",
    arxiv="2412.08424",
    idea="With huge steps, gradient descent on the logistic loss is a perceptron; dividing by its mean error saves a factor n.",
    equation=r"\theta_{t+1} = \theta_t + \gamma\,\frac{\sum_i s_i z_i}{\sum_i s_i},\qquad s_i = \frac{1}{1 + e^{z_i^\top\theta_t}}",
)

INPUTS = ("own", "features")
DATA = ("mnist-5k", "ylecun/mnist", "zalando-datasets/fashion_mnist", "uoft-cs/cifar10")
PAIRS = ("3-8", *(f"{a}-{b}" for a in range(10) for b in range(a + 1, 10) if (a, b) != (3, 8)))
EITHER_WAY = tuple(f"{a}-{b}" for a in range(10) for b in range(10) if a != b)


@dataclass(frozen=True)
class Params:
    """What is to be separated, and with which steps."""

    data: tuple[str, ...] = param(("mnist-5k",), "Data sets; features of a snapshot take their place.", choices=DATA)
    majority: tuple[int, ...] = param((500,), "Samples of the first class; fewer where a class has fewer.", low=10, high=5000)
    balanced: tuple[str, ...] = param(PAIRS, "Pairs of classes with as many samples of both.", choices=EITHER_WAY)
    imbalanced: tuple[str, ...] = param(PAIRS, "Pairs of classes of which the second is made rare.", choices=EITHER_WAY)
    imbalance: tuple[int, ...] = param((250, 100, 50, 20, 5), "How many times rarer the second class is.", low=2, high=5000)
    gammas: tuple[float, ...] = param((0.1, 1.0, 10.0, 100.0, 1000.0), "Step sizes of both LR methods.", low=1e-4, high=1e5)
    cap: int = param(8000, "Steps after which a method has failed to separate the data.", low=10, high=1_000_000, unit="steps")
    turns: int = param(5, "The balanced pairs are shared out among so many seeds, which would all draw the same.", low=1, high=100)


ARMS = (
    Arm("lr-gd", "LR+GD", "Gradient descent on the logistic loss, with every step size of the grid."),
    Arm("normalized-lr-gd", "Normalized LR+GD", "The same divided by the mean error weight, on the same grid.", role="method"),
    Arm("batch-perceptron", "Batch Perceptron", "Adds the sum of its mistakes over n: the limit of LR+GD."),
    Arm("normalized-batch-perceptron", "Normalized Batch Perceptron", "Adds their mean: the limit of Normalized LR+GD."),
    Arm("perceptron", "Perceptron", "Adds one mistake, the first."),
)

ONE = {"balanced": ("3-8",), "imbalanced": ("3-8",), "turns": 1}
FEW = {"balanced": ("3-8", "4-9"), "imbalanced": ("3-8", "8-3", "4-9", "3-5"), "imbalance": (100,), "cap": 3000, "turns": 3}
LARGE = {"data": DATA[1:], "majority": (500, 2500, 5000), "imbalance": (100,), "cap": 1_000_000}
PRESETS = {  # steps of 0.01 only in `paper`: never the best where tried, they would double the time of `standard`
    "smoke": Preset(2, (0, 1), {**ONE, "majority": (100,), "imbalance": (100, 20), "gammas": (0.1, 10.0, 1000.0), "cap": 200}),
    "quick": Preset(30, (0, 1, 2), FEW),
    "standard": Preset(435, (0, 1, 2, 3, 4)),
    "paper": Preset(3600, (0,), {**ONE, **LARGE, "gammas": (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)}, needs="cuda"),
}

PAIR = ["data", "majority", "pair"]  # the unit of every interval; seeds draw other samples of a pair and are averaged first
PROBLEM = [*PAIR, "imbalance", "seed"]


def separations(results: Results, *arms: str) -> pd.DataFrame:
    """What these arms did, by problem; without the worst case, which says nothing about data."""
    rows = results.table("separation").set_index(PROBLEM)
    return rows[rows["arm"].isin(arms) & ~rows["worst_case"]]


def by_pair(values: pd.Series) -> list[float]:
    """The means of the pairs."""
    return values.groupby(PAIR).mean().dropna().tolist()


def as_factor(verdict: Verdict, unit: str = "", detail: str = "") -> Verdict:
    """A verdict on logarithms, told in factors."""
    effect, low, high, smallest = (math.exp(x) for x in (verdict.effect, verdict.low, verdict.high, verdict.smallest))
    return replace(verdict, effect=effect, low=low, high=high, smallest=smallest, unit=unit, detail=detail)


def decide_limit(results: Results) -> Verdict:
    """At the step size 1000, steps within 15 % of the Batch Perceptron's on most pairs, and the first four iterates within 1 %."""
    lr, perceptron = (separations(results, arm).set_index("gamma", append=True) for arm in ("lr-gd", "batch-perceptron"))
    distance = 100 * abs(lr["steps"] / perceptron["steps"][perceptron["separated"]] - 1)
    medians = {gamma: np.median(by_pair(values)) for gamma, values in distance.dropna().groupby("gamma")}
    if 1000 not in medians:
        return Verdict("not testable here", detail="Needs LR+GD at the step size 1000, and data that a Batch Perceptron separates.")
    values = np.array(by_pair(distance.xs(1000, level="gamma")))
    effect, low, high = bootstrap_interval(lambda pairs: float(np.median(values[pairs])), len(values))
    gap = 100 * np.median(by_pair(lr["iterate_gap"].xs(1000, level="gamma")))
    holds, fails = high <= 15 and gap <= 1, low > 15 or gap > 1
    outcome: Outcome = "undecided" if len(values) < 2 or not (holds or fails) else "holds" if holds else "does not hold"
    course = ", ".join(f"{median:.3g} % at {gamma:g}" for gamma, median in medians.items())
    detail = f"Median over pairs, by step size: {course}. The first four iterates are {gap:.2g} % apart."
    return Verdict(outcome, effect, low, high, len(values), 15, "% between the numbers of steps", detail)


def decide_speed_and_loss(results: Results) -> Verdict:
    """From the step size 0.1 to 10, the steps fall at least threefold and the peak of the loss at least doubles."""
    lr = separations(results, "lr-gd")
    small, large = lr[lr["gamma"] == 0.1], lr[lr["gamma"] == 10]
    if small.empty or large.empty:
        return Verdict("not testable here", detail="Needs LR+GD at the step sizes 0.1 and 10.")
    known = small["separated"] | large["separated"]
    steps = decide_by_interval(by_pair(np.log(small["steps"] / large["steps"])[known]), math.log(3))
    peaks = decide_by_interval(by_pair(np.log(large["peak_loss"] / small["peak_loss"])[known]), math.log(2))
    outcome: Outcome = max(steps.outcome, peaks.outcome, key=["holds", "undecided", "does not hold"].index)
    peak = as_factor(peaks)
    detail = (
        f"The peak of the loss grows {peak.effect:.3g} times ({peak.low:.3g} to {peak.high:.3g}; 2 counts). Where steps of 0.1 "
        f"met the cap, on {(~small['separated'])[known].mean():.0%} of {known.sum()} problems, it stands for their number."
    )
    return as_factor(replace(steps, outcome=outcome), "times fewer steps", detail)


def log_best_steps(results: Results) -> pd.DataFrame:
    """Log of the steps of LR+GD, Normalized LR+GD, and their quotient (columns), each at its best step size, where one succeeds.

    The rows are pairs and imbalances.
    """
    rows = separations(results, *LIMIT)
    solved = rows[rows["separated"].groupby(PROBLEM).transform("any")].set_index("arm", append=True)
    logs = np.log(solved["steps"].groupby([*PROBLEM, "arm"]).min()).unstack("arm").reindex(columns=list(LIMIT)).dropna()
    logs["quotient"] = logs["lr-gd"] - logs["normalized-lr-gd"]
    return logs.groupby([*PAIR, "imbalance"]).mean()


def decide_imbalanced(results: Results) -> Verdict:
    """At an imbalance of 100, LR+GD takes at least 1.5 times the steps of Normalized LR+GD, each at its best step size.

    With three imbalances or more, this quotient must also grow with the imbalance, as fast as from 1 at 1 to 1.5 at 100.
    """
    logs = log_best_steps(results).unstack("imbalance")  # (pairs, columns x imbalances)
    if ("quotient", 100) not in logs:
        return Verdict("not testable here", detail="Needs both LR methods at an imbalance of 100 that one of them overcomes.")
    verdict = decide_by_interval(logs["quotient", 100].dropna().tolist(), math.log(1.5))
    smallest, logs = math.log(1.5) / math.log(100), logs.dropna()
    imbalances = logs["quotient"].columns.to_numpy(float)
    if len(imbalances) < 3 or len(logs) < 2:
        return as_factor(verdict, "times the steps", "For a slope it takes three imbalances and two pairs.")

    def slope(column: str) -> tuple[float, float, float]:
        curves = logs[column].to_numpy()  # (pairs, imbalances)
        return bootstrap_interval(lambda pairs: float(np.polyfit(np.log(imbalances), curves[pairs].mean(0), 1)[0]), len(curves))

    growth, low, high = slope("quotient")
    if high < smallest:
        verdict = replace(verdict, outcome="does not hold")
    elif verdict.outcome == "holds" and (low <= 0 or growth < smallest):
        verdict = replace(verdict, outcome="undecided")
    plain, normalized = ("{:.2f} ({:.2f} to {:.2f})".format(*slope(arm)) for arm in LIMIT)
    detail = (
        f"The quotient goes with the imbalance to the power {growth:.2f} ({low:.2f} to {high:.2f}; {smallest:.2f} counts), "
        f"the steps of LR+GD to the power {plain}, those of Normalized LR+GD {normalized}."
    )
    return as_factor(verdict, "times the steps", detail)


def decide_balanced(results: Results) -> Verdict:
    """On balanced data the same quotient lies between 0.7 and 1.3."""
    logs = log_best_steps(results)["quotient"]
    quotients = logs[logs.index.get_level_values("imbalance") == 1].tolist()
    if not quotients:
        return Verdict("not testable here", detail="Needs both LR methods on balanced data that one of them separates.")
    detail = f"Allowed from 0.7 to 1.3; single pairs range from {math.exp(min(quotients)):.3g} to {math.exp(max(quotients)):.3g}."
    return as_factor(decide_within(quotients, math.log(0.7), math.log(1.3)), "times the steps", detail)


CLAIMS = (
    Claim("c1", "With growing steps LR+GD becomes the Batch Perceptron.", decide_limit, "Theorem 3.2, Figures 2 and 3."),
    Claim("c2", "Larger steps separate sooner, at a higher loss on the way.", decide_speed_and_loss, "Figures 1, 4 and 5."),
    Claim(
        "c3",
        "On imbalanced data LR+GD pays for averaging over all samples, and Normalized LR+GD does not.",
        decide_imbalanced,
        "Theorems 5.1 and 6.1; Table 1, worst-case set: 308 steps of LR+GD against 2; Figure 7.",
    ),
    Claim(
        "c4",
        "On balanced data LR+GD takes about as many steps as Normalized LR+GD.",
        decide_balanced,
        "Table 1, balanced Fashion-MNIST: 2778 steps of LR+GD against 3160.",
    ),
)

VIEWS = (
    Stack(
        title="Huge steps: a soaring loss, and data separated sooner",
        caption="The largest steps have the highest loss and are among the first to get all samples right, as the perceptron does.",
        views=(
            Lines(
                title="Training accuracy",
                caption="LR+GD and, in dashes, the Batch Perceptron on the first balanced pair.",
                where={"arm": ("lr-gd", "batch-perceptron")},
                y="accuracy",
                colour="series",
                dashed=("perceptron",),
                log_x=True,
                y_format="%",
            ),
            Lines(
                title="Logistic loss",
                caption="LR+GD on the same pair.",
                where={"arm": "lr-gd"},
                y="loss",
                colour="series",
                log_x=True,
                log_y=True,
            ),
        ),
    ),
    Points(
        title="The price of averaging",
        caption="A dot is a problem at its best step size. Fewer samples are easier; the gap between the lines is the price.",
        where={"best": True, "worst_case": False, "arm": tuple(LIMIT)},
        table="separation",
        x="imbalance",
        y="steps",
        fit=True,
        log_x=True,
        log_y=True,
        x_title="samples of the first class for one of the second",
        y_title="steps to separate the data",
    ),
    Lines(
        title="Every step size",
        caption="To the right both LR methods come to their perceptrons (dashes), which have no step size. Unsolved: at the cap.",
        where={"shown": True},
        table="separation",
        x="gamma",
        y="steps",
        facet="samples",
        dashed=("batch-perceptron", "normalized-batch-perceptron", "perceptron"),
        log_x=True,
        log_y=True,
        x_title="step size",
        y_title="steps to separate the data",
    ),
    Points(
        title="In the plane",
        caption="Move through the steps: averaging over all samples, the line is slow to turn for the sake of two odd points.",
        table="plane",
        x="x",
        y="y",
        colour="label",
        shape="sample",
        facet="arm",
        frame="step",
        segments="line",
        x_title="first input",
        y_title="second input",
    ),
)


class Problem(NamedTuple):
    """A pair of classes, the second `imbalance` times rarer than the first; or the worst case of `imbalance` + 1 samples."""

    data: str
    majority: int
    pair: str
    imbalance: int
    shown: bool


def plan(params: Params, inputs: Inputs) -> list[Problem]:
    """The problems of a seed, the first balanced pair in front. Pairs of classes that the features lack are left out."""
    names, classes = ((inputs.features.source,), len(inputs.features.classes)) if inputs.features else (params.data, 10)
    absent = {pair for pair in EITHER_WAY if max(ends(pair)) >= classes}
    balanced, rare = ([pair for pair in pairs if pair not in absent] or ["0-1"] for pairs in (params.balanced, params.imbalanced))
    mine = [pair for i, pair in enumerate(balanced) if i == 0 or i % params.turns == inputs.seed % params.turns]
    return [
        Problem(name, majority, pair, imbalance, (name, majority, pair) == (names[0], params.majority[0], balanced[0]))
        for name, majority in product(names, params.majority)
        for pair, imbalance in [*product(mine, [1]), *product(rare, params.imbalance)]
    ] + [Problem("worst case", n - 1, "worst case", n - 1, True) for n in (10, 100, 1000)]


def ends(pair: str) -> tuple[int, ...]:
    """The classes of a pair such as "3-8"."""
    return tuple(map(int, pair.split("-")))


def draw(problem: Problem, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Samples times their labels: (n, d) to separate and (m, d) left over, without the inputs that are 0 in all of the former."""
    if problem.data == "worst case":
        return worst_case(problem.imbalance + 1), torch.empty(0, 2, dtype=torch.float64)
    if inputs.features:
        vectors, labels = torch.from_numpy(inputs.features.vectors), torch.from_numpy(inputs.features.labels)
        vectors = vectors - vectors.mean(0)
        vectors = vectors / vectors.norm(dim=1).mean()
    else:
        images = mnist_images() if problem.data == "mnist-5k" else hub.images(problem.data, "train")
        vectors, labels = images.pixels.flatten(1), images.labels
    order = np.random.default_rng(inputs.seed)
    first, second = (order.permutation(np.flatnonzero(labels == label)) for label in ends(problem.pair))
    majority = min(problem.majority, len(first), len(second))
    parts = np.split(first, [majority]), np.split(second, [max(1, majority // problem.imbalance)])
    z, left = (torch.cat([vectors[np.sort(a)], -vectors[np.sort(b)]]).double() for a, b in zip(*parts, strict=True))
    return z[:, z.any(0)], left[:, z.any(0)]


def curves(arm: str, z: Tensor, gammas: Tensor, record: Recorder) -> Watch:
    """Records the way of every step size, beside the perceptron that the method tends to."""
    limits = enumerate(iterates(z, LIMIT.get(arm, arm)))
    time, limit = next(limits)

    def watch(step: int, at_work: Tensor, alpha: Tensor, margins: Tensor) -> None:
        nonlocal time, limit
        while time < step:
            time, limit = next(limits, (step, limit))  # it stays where it has separated the data
        for gamma, theta, m in zip(gammas[at_work].tolist(), alpha @ z, margins, strict=True):
            values = {"accuracy": (m > 0).double().mean(), "mistakes": (m <= 0).sum(), "size": theta.norm() / gamma}
            values["cosine"] = cosine_similarity(theta, limit, dim=0)
            if arm in LIMIT and values["mistakes"]:  # the loss of separated data falls off every axis
                values |= {"loss": softplus(-m).mean(), "gradient_norm": (torch.sigmoid(-m) @ z).norm() / len(z)}
            record.scalars(step, series=f"γ = {gamma:g}" if arm in LIMIT else "perceptron", **values)

    return watch


def outcome(arm: str, params: Params, problem: Problem, z: Tensor, left: Tensor, found: Separation) -> pd.DataFrame:
    """A row for each step size; perceptrons, which have none, get the same for all."""
    minority = max(1, round(len(z) / (problem.imbalance + 1)))
    columns = {
        "steps": found.steps,
        "separated": found.separated,
        "best": found.separated & (found.steps == found.steps.min()),
        "peak_loss": found.peak_loss,
        "margin": (found.theta @ z.T).amin(1) / found.theta.norm(dim=1),
        "held_out_accuracy": (found.theta @ left.T > 0).double().mean(1),
    }
    rows = pd.DataFrame({name: values.cpu().expand(len(params.gammas)).numpy() for name, values in columns.items()})
    gaps = [iterate_gap(z, gamma) if arm == "lr-gd" else math.nan for gamma in params.gammas]
    samples, worst = f"{problem.pair}, {len(z) - minority}:{minority}", problem.data == "worst case"
    return rows.assign(gamma=params.gammas, iterate_gap=gaps, **problem._asdict(), samples=samples, worst_case=worst)


def record_plane(arm: str, record: Recorder) -> None:
    """Two classes in the plane and the line between them, step by step at the step size 1; the last line stays."""
    z, labels = two_blobs()
    points = labels[:, None] * z
    thetas = list(islice(iterates(z, arm), 65))
    for step in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        theta = thetas[min(step, len(thetas) - 1)]
        x, y = (1.5 * theta / theta.norm()).tolist()
        record.table("line", {"step": step, "x": -y, "y": x, "x2": y, "y2": -x})  # where theta' a = 0
        right = np.where(z @ theta > 0, "right", "wrong")
        columns = {"x": points[:, 0], "y": points[:, 1], "label": np.where(labels > 0, "+1", "-1"), "sample": right}
        record.table("plane", pd.DataFrame({"step": step, **columns}))


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Solves every problem of the seed with one method, at all its step sizes."""
    device = "cpu" if inputs.device == "mps" else inputs.device  # Apple's GPUs have no float64
    gammas = torch.tensor(params.gammas if arm in LIMIT else (1.0,), dtype=torch.float64, device=device)
    record_plane(arm, record)
    problems, best = plan(params, inputs), []
    for number, problem in enumerate(problems):
        z, left = (part.to(device) for part in draw(problem, inputs))
        found = separate(z, arm, gammas, params.cap, watch=None if number else curves(arm, z, gammas, record))
        record.table("separation", outcome(arm, params, problem, z, left, found))
        record.progress(number + 1, len(problems))
        best.append(found.steps[found.separated].amin().item() if found.separated.any() else math.inf)
    solved = [steps for steps in best if steps < math.inf]
    record.result(solved=len(solved) / len(best), typical_steps=math.exp(np.log(solved).mean()))  # the geometric mean
