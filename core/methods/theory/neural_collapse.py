r"""Late in training, last-layer features shrink to their class means, the means form a rigid symmetric figure, and the classifier
lines up with them: neural collapse. The unconstrained features model explains it by treating the features themselves as free
variables with weight decay. This paper proves it for any number $M$ of linear layers on top, and solves the imbalanced, bias-free
case: class vectors become orthogonal with lengths set by the size of the class, and a class that is too small collapses to zero.

With $K$ classes of $n_k$ samples, $N=\sum n_k$, features $H$ and $W=W_M\cdots W_1$, the problem is
$$\min\ \tfrac1{2N}\|W_M\cdots W_1H-Y\|_F^2+\tfrac{\lambda_W}2\sum_j\|W_j\|_F^2+\tfrac{\lambda_H}2\|H\|_F^2 .$$

Its minimum is a *general orthogonal frame*. With $b=MN(N\lambda_W^M\lambda_H)^{1/M}$ let $x_k$ be the largest root of
$b/n_k=Mx^{M-1}/(x^M+1)^2$. A class lives where $b/n_k<(M-1)^{(M-1)/M}/M$ (1 for $M=1$), and then
$$a_k=N\lambda_Hx_k^M,\quad WW^\top=\mathrm{diag}(a_k),\quad \bar H^\top\bar H=\mathrm{diag}\tfrac{a_k}{(a_k+N\lambda_H)^2},\quad
W=\mathrm{diag}(a_k+N\lambda_H)\bar H^\top .$$

Balanced classes give equal lengths (an orthogonal frame); with a bias, for squared error and cross-entropy alike, a simplex.
Distances between geometries compare matrices divided by their norm, so that the lengths are looked at separately. The network
ends in a linear layer whose output is $H$; $\lambda_H$ applies to all its samples at once and $\lambda_W$ to the head alone.

The official network script averages the loss over classes too, while its formula does not; here both follow the formula.

Reference: Hien Dang, Tho Tran, Stanley Osher, Hung Tran-The, Nhat Ho, Tan Nguyen, *Neural Collapse in Deep Linear Networks: From
Balanced to Imbalanced Data*, ICML 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from core.data import load
from core.data.digits import digits_images
from core.measures.neural_collapse import class_means, geometry_distance, simplex, unit, within_class_variation
from core.methods.base import (
    Arm,
    Claim,
    Embedding,
    Heatmap,
    Inputs,
    Lines,
    Outcome,
    Paper,
    Points,
    Preset,
    Results,
    Verdict,
    decide_within,
    param,
)
from core.recorder import Recorder
from core.training import adam, cosine, generator, sgd, train
from models.resnet18 import ResNet18

# --- the theory -------------------------------------------------------------------------------------------------------


def threshold(layers: int) -> float:
    """A class lives where b / n_k is below this; 1 for one layer."""
    return (layers - 1) ** ((layers - 1) / layers) / layers if layers > 1 else 1.0


def difficulty(counts: Sequence[int], layers: int, decay_w: float, decay_h: float) -> float:
    """b: how many samples a class needs, times the threshold."""
    n = sum(counts)
    return layers * n * (n * decay_w**layers * decay_h) ** (1 / layers)


def frame_lengths(counts: Sequence[int], layers: int, decay_w: float, decay_h: float) -> Tensor:
    """a_k, the squared lengths of the rows of W at the global minimum, (K,) in float64; 0 for a class that has collapsed."""
    n_k = torch.tensor(counts, dtype=torch.float64)
    ratio = difficulty(counts, layers, decay_w, decay_h) / n_k
    if layers == 1:
        x = ratio.rsqrt() - 1
    else:  # the right side falls from its peak on: bisect there
        low = torch.full_like(n_k, ((layers - 1) / (layers + 1)) ** (1 / layers))
        high = low + 1 + (layers / ratio) ** (1 / (layers + 1))  # M x^(M-1) / (x^M + 1)^2 < M / x^(M+1)
        for _ in range(100):
            middle = (low + high) / 2
            above = layers * middle ** (layers - 1) / (middle**layers + 1).square() > ratio
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        x = low
    return torch.where(ratio < threshold(layers), n_k.sum() * decay_h * x**layers, 0.0)


def minimum(counts: Sequence[int], layers: int, decay_w: float, decay_h: float) -> float:
    """The least value of the problem: sum over classes of n_k / (x_k^M + 1) + b x_k, over 2 N."""
    n_k, n = torch.tensor(counts, dtype=torch.float64), sum(counts)
    x_m = frame_lengths(counts, layers, decay_w, decay_h) / (n * decay_h)
    b = difficulty(counts, layers, decay_w, decay_h)
    return float((n_k / (x_m + 1) + b * x_m ** (1 / layers)).sum() / (2 * n))


# --- declaration ------------------------------------------------------------------------------------------------------

PAPER = Paper(
    slug="neural-collapse",
    title="Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data",
    authors="Hien Dang, Tho Tran, Stanley Osher, Hung Tran-The, Nhat Ho, Tan Nguyen",
    year=2023,
    venue="ICML 2023",
    family="theory",
    arxiv="2301.00437",
    idea="Class vectors end up orthogonal, with lengths that follow from the size of the class; a class too small vanishes.",
    equation=r"WW^\top=\mathrm{diag}(a_k),\qquad a_k=N\lambda_Hx_k^M,\qquad \frac b{n_k}=\frac{Mx_k^{M-1}}{(x_k^M+1)^2}",
    code="https://github.com/Fsoft-AIC/Neural-Collapse-in-Deep-Linear-Networks",
)


@dataclass(frozen=True)
class Params:
    """What can be set."""

    data: str = param("digits", "Images that the network learns, the first classes of them.", choices=("digits", "uoft-cs/cifar10"))
    network: str = param("mlp", "Backbone: an MLP with two hidden layers, or ResNet-18.", choices=("mlp", "resnet-18"))
    counts: tuple[int, ...] = param((160, 80, 40, 40), "The network's samples of each class, imbalanced.", low=1, high=5000)
    balanced: int = param(80, "The network's samples of each class, balanced.", low=1, high=5000)
    width: int = param(256, "Hidden units of the MLP.", low=4, high=4096)
    features: int = param(64, "d, the size of the features and of the inner linear layers.", low=4, high=4096)
    layers: tuple[int, ...] = param((1, 3), "M, linear layers on top of the features, one run each.", low=1, high=9)
    decay: float = param(5e-4, "lambda_W = lambda_H of the network.", low=1e-7, high=1)
    rate: float = param(2e-3, "Adam's learning rate for the network, falling to 0 along a cosine.", low=1e-6, high=1)
    steps: int = param(3000, "Full-batch steps of the network.", low=10, high=100_000)
    free_counts: tuple[int, ...] = param((200, 100, 50, 50), "Samples of each class, free features.", low=1, high=5000)
    free_steps: int = param(3_333, "Steps of the free features for each of their M layers.", low=10, high=100_000)
    free_decay: float = param(5e-4, "lambda_W = lambda_H of the free features.", low=1e-7, high=1)
    smallest: tuple[int, ...] = param(
        (4, 6, 10, 16, 25, 40), "Sizes of the smallest class in the sweep, beside 100, 50 and 50.", low=1, high=1000
    )
    sweep_decays: tuple[float, ...] = param((0.005, 0.01, 0.02, 0.04), "Decays of the sweep.", low=1e-7, high=1)


INPUTS = ("own", "features")
BATCHED = True
ARMS = (
    Arm("head-decay", "Decay on the head alone", "Imbalanced, no bias, no decay of the features: no closed form."),
    Arm("imbalanced", "Imbalanced, no bias", "Squared error with decay of features and head.", role="method"),
    Arm("balanced", "Balanced, no bias", "The same with classes of one size.", role="method"),
    Arm("balanced-bias", "Balanced, bias", "With a bias in the last layer.", role="method"),
    Arm("cross-entropy", "Balanced, cross-entropy, bias", "Cross-entropy in place of squared error.", role="method"),
    Arm(
        "sweep",
        "Smaller and smaller class",
        "Free features, one layer: which sizes and decays let the smallest class live.",
        role="method",
    ),
)
QUICK = {"counts": (80, 40, 20, 20), "balanced": 40, "width": 128, "features": 32, "layers": (1,), "decay": 2e-3, "steps": 1000}
CIFAR = {
    "data": "uoft-cs/cifar10",
    "network": "resnet-18",
    "counts": (100, 100, 200, 200, 300, 300, 400, 400, 500, 500),
    "balanced": 300,
    "features": 512,
    "layers": (1, 3, 6),
    "decay": 1e-5,
    "rate": 1e-4,
}
PRESETS = {
    "smoke": Preset(2, (0, 1), QUICK | {"steps": 40, "free_steps": 40, "smallest": (4, 25), "sweep_decays": (0.02,)}),
    "quick": Preset(40, (0, 1, 2), QUICK | {"free_steps": 3000, "sweep_decays": (0.02,)}),
    "standard": Preset(550, (0, 1, 2), {"steps": 1700}),
    "paper": Preset(3600, (0, 1, 2), CIFAR | {"free_steps": 10_000}, needs="cuda"),
}

ALIVE = ("imbalanced", "balanced", "balanced-bias", "cross-entropy")
NO_BIAS, BIAS = ("balanced",), ("balanced-bias", "cross-entropy")


def ends(results: Results, arms: Sequence[str]) -> pd.DataFrame:
    """The last values of these arms, a row for each model, M and seed."""
    rows = results.table("ends")
    return rows[rows["arm"].isin(arms)]


def worst(rows: pd.DataFrame, value: str, low: float = -math.inf, high: float = math.inf) -> Verdict:
    """Whether a value lies in a range over seeds, in the model where it does so least."""
    order: tuple[Outcome, ...] = ("does not hold", "undecided", "holds")
    groups = rows.groupby(["arm", "model", "layers"])[value]
    verdicts = [decide_within(values.tolist(), low, high, detail=" ".join(map(str, key))) for key, values in groups]
    return min(
        verdicts, key=lambda verdict: order.index(verdict.outcome), default=Verdict("undecided", detail="An arm is missing.")
    )


def all_of(verdicts: Sequence[Verdict], unit: str, detail: str) -> Verdict:
    """Several conditions, all of which must hold: the one that does so least is shown."""
    order: tuple[Outcome, ...] = ("does not hold", "not testable here", "undecided", "holds")
    shown = min(verdicts, key=lambda verdict: order.index(verdict.outcome))
    said = f"{detail} Shown: {shown.detail}."
    return Verdict(shown.outcome, shown.effect, shown.low, shown.high, shown.n, shown.smallest, unit, said)


def decide_balanced(results: Results) -> Verdict:
    """Without bias an orthogonal frame and no simplex; with bias nearer to the simplex by 0.2 or more."""
    free, biased = ends(results, NO_BIAS), ends(results, BIAS)
    biased = biased.assign(nearer=biased["of"] - biased["etf"]) if len(biased) else biased
    if free.empty or biased.empty:
        return Verdict("undecided", detail="It needs balanced arms with and without bias.")
    conditions = (worst(free, "of", high=0.1), worst(free, "etf", low=0.4), worst(biased, "nearer", low=0.2))
    detail = (
        f"Without bias the distance from the orthogonal frame is {free['of'].max():.3g} at most and from the simplex "
        f"{free['etf'].min():.3g} at least; with bias {biased['of'].min():.3g} at least and {biased['etf'].max():.3g} at most."
    )
    return all_of(conditions, "of distance", detail)


def decide_collapse(results: Results) -> Verdict:
    """Within-class variation below a thousandth, and a hundred times below its start, wherever no class has collapsed."""
    rows = ends(results, ALIVE)
    if rows.empty:
        return Verdict("undecided", detail="No arm has run.")
    rows = rows.assign(level=np.log10(rows["nc1"]), fall=np.log10(rows["nc1_start"] / rows["nc1"]))
    detail = f"NC1 ends at {rows['nc1'].max():.2g} at most, and falls by a factor of {10 ** rows['fall'].min():.2g} at least."
    return all_of((worst(rows, "level", high=-3.0), worst(rows, "fall", low=2.0)), "decades", detail)


def decide_frame(results: Results) -> Verdict:
    """Imbalanced: half as far from the general frame as from equal lengths, a quarter as from the simplex; lengths within 2%."""
    rows = ends(results, ("imbalanced",))
    if rows.empty:
        return Verdict("undecided", detail="It needs the arm imbalanced.")
    rows = rows.assign(of_share=rows["gof"] / rows["of"], etf_share=rows["gof"] / rows["etf"])
    free = rows[rows["model"] == "free features"]
    conditions = (worst(rows, "of_share", high=0.5), worst(rows, "etf_share", high=0.25), worst(free, "length_error", high=0.02))
    detail = (
        f"Distance from the general frame over that from equal lengths: {rows['of_share'].max():.3g} at most; from the simplex: "
        f"{rows['etf_share'].max():.3g}. Squared lengths of free features are off by {free['length_error'].max():.2%} at most."
    )
    return all_of(conditions, "of distance", detail)


def decide_threshold(results: Results) -> Verdict:
    """The smallest class lives or collapses as predicted, on every point of the sweep that is not within 20% of the threshold."""
    rows = results.table("sweep")
    rows = rows[rows["clear"].astype(bool)] if len(rows) else rows
    if rows.empty:
        return Verdict("undecided", detail="It needs the arm sweep.")
    if rows["predicted"].nunique() < 2:
        return Verdict("not testable here", detail="All points of the sweep lie on one side of the threshold.")
    right = (rows["found"] == rows["predicted"]).groupby(rows["seed"]).mean() * 100
    points = len(rows) // rows["seed"].nunique()
    detail = f"Share of {points} points on which the smallest class lives or collapses as predicted."
    outcome: Outcome = "undecided" if len(right) < 2 else "holds" if right.min() == 100 else "does not hold"
    shown = decide_within(right.tolist(), low=100)
    return Verdict(outcome, shown.effect, shown.low, shown.high, len(right), 100, "% of the points", detail)


CLAIMS = (
    Claim(
        "c1",
        "Balanced classes: without bias the classifier becomes an orthogonal frame, with bias a simplex.",
        decide_balanced,
        "Theorems 3.1, 3.2 and 5.1; metrics against epochs for M from 1 to 9 (Figs. 2 and 4).",
    ),
    Claim(
        "c2",
        "Features collapse to their class means: within-class variation ends below a thousandth, a hundredth of its start or less.",
        decide_collapse,
        "NC1 falls to zero in every experiment (Figs. 2 to 5).",
    ),
    Claim(
        "c3",
        "Imbalanced classes, no bias: the classifier becomes the general orthogonal frame, whose lengths follow class sizes.",
        decide_frame,
        "Theorems 4.1 and 4.4; metrics against epochs on imbalanced data (Figs. 3 and 5).",
    ),
    Claim(
        "c4",
        "A class too small for the decay vanishes, exactly where the threshold says.",
        decide_threshold,
        "Minority collapse: below a threshold a class's vectors are zero at the minimum (Theorem 4.1).",
    ),
)

VIEWS = (
    Heatmap(
        title="Where the classifier ends",
        caption="Products of the class vectors of the imbalanced network. From the left: measured, general frame, equal lengths, "
        "simplex. The diagonal orders itself by class size.",
        matrix="class vectors",
        facet_title="step",
        value_title="product",
        diverging=True,
        where={"arm": "imbalanced"},
    ),
    Lines(
        title="Which geometry wins",
        caption="Distance of the network's classifier from each geometry: the right one goes down and stays down.",
        y="distance",
        y_title="distance",
        colour="series",
        facet="arm",
        log_y=True,
    ),
    Points(
        title="Lengths as predicted",
        caption="Squared lengths of the class vectors. Where the formula is right, points lie on the line.",
        table="lengths",
        x="predicted",
        y="measured",
        colour="samples",
        shape="model",
        segments="diagonal",
        log_x=True,
        log_y=True,
        x_title="predicted squared length (log)",
        y_title="measured squared length (log)",
        where={"arm": ("imbalanced", "balanced")},
    ),
    Points(
        title="Who lives and who vanishes",
        caption="The smallest of four classes, by its share of the samples and the decay. The line is the threshold.",
        table="sweep",
        x="share",
        y="decay",
        colour="found",
        segments="threshold",
        log_x=True,
        log_y=True,
        x_title="share of the smallest class (log)",
        y_title="decay (log)",
    ),
    Embedding(title="Classes shrink to points", caption="The network's features at four moments.", name="network"),
)

# --- models of all seeds at once: parameters carry a leading axis of the seeds ----------------------------------------


class Model:
    """Features (S, N, d) of one kind or the other, and a head of M linear layers without bias, or with one in the last."""

    def __init__(self, parameters: list[Tensor], features: Callable[[], Tensor], heads: list[Tensor], bias: Tensor | None) -> None:
        self.parameters, self.features, self.heads, self.bias = parameters, features, heads, bias

    def product(self) -> Tensor:
        """W = W_M ... W_1, (S, K, d)."""
        product = self.heads[0]
        for head in self.heads[1:]:
            product = head @ product
        return product

    def logits(self, features: Tensor) -> Tensor:
        """(S, N, K)."""
        for head in self.heads:
            features = features @ head.mT
        return features if self.bias is None else features + self.bias[:, None]


def draw(shape: tuple[int, ...], stream: str, seeds: Sequence[int], device: str, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers (S, *shape), each seed's from its own stream."""
    parts = [torch.randn(shape, generator=generator(stream, seed), dtype=dtype) for seed in seeds]
    return torch.stack(parts).to(device)


def free_features(
    counts: Sequence[int], d: int, layers: int, biased: bool, seeds: Sequence[int], device: str, copies: int = 1
) -> Model:
    """The unconstrained features model in float64: features and weights from N(0, 0.1^2). `copies` repeats every seed."""
    dtype = torch.float64 if device != "mps" else torch.float32

    def start(*shape: int, stream: str) -> Tensor:
        values = 0.1 * draw(shape, stream, seeds, device, dtype)
        return values.repeat_interleave(copies, 0).requires_grad_()

    k = len(counts)
    features = start(sum(counts), d, stream="free features")
    heads = [start(k if j == layers - 1 else d, d, stream=f"free head {j}") for j in range(layers)]
    bias = torch.zeros(len(features), k, dtype=dtype, device=device).requires_grad_() if biased else None
    parameters = [features, *heads, *([bias] if bias is not None else [])]
    return Model(parameters, lambda: features, heads, bias)


def network(x: Tensor, k: int, layers: int, biased: bool, params: Params, seeds: Sequence[int], device: str) -> Model:
    """A backbone that ends in a linear layer, He initialisation, and a head with orthonormal rows. x is (S, N, ...)."""
    d = params.features
    parameters: list[Tensor] = []
    if params.network == "resnet-18" and x.ndim == 5:
        nets = [ResNet18(d, generator=generator("backbone", seed)).to(device) for seed in seeds]
        parameters = [parameter for net in nets for parameter in net.parameters()]

        def features() -> Tensor:
            return torch.stack([net(part) for net, part in zip(nets, x, strict=True)])
    else:
        inputs = x.flatten(2)
        widths = (inputs.shape[-1], d) if x.ndim == 3 else (inputs.shape[-1], params.width, params.width, d)
        for number, (fan_in, fan_out) in enumerate(pairwise(widths)):
            weight = math.sqrt(2 / fan_in) * draw((fan_out, fan_in), f"layer {number}", seeds, device, x.dtype)
            parameters += [weight.requires_grad_(), torch.zeros(len(seeds), 1, fan_out, device=device).requires_grad_()]

        def features() -> Tensor:
            h = inputs
            for number in range(0, len(parameters_of_backbone), 2):
                h = torch.baddbmm(parameters_of_backbone[number + 1], h, parameters_of_backbone[number].mT)
                h = h if number == len(parameters_of_backbone) - 2 else h.relu()
            return h

    parameters_of_backbone = list(parameters)
    shapes = [(k if j == layers - 1 else d, d) for j in range(layers)]
    heads = [orthonormal_rows(draw(shape, f"head {j}", seeds, device, x.dtype)).requires_grad_() for j, shape in enumerate(shapes)]
    bias = torch.zeros(len(seeds), k, device=device).requires_grad_() if biased else None
    return Model([*parameters, *heads, *([bias] if bias is not None else [])], features, heads, bias)


def orthonormal_rows(matrix: Tensor) -> Tensor:
    """(..., a, b) with a <= b: orthonormal rows that span the same space."""
    return torch.linalg.qr(matrix.mT)[0].mT.contiguous()


def objective(
    model: Model, labels: Tensor, classes: int, decay_w: float | Tensor, decay_h: float | Tensor, entropy: bool = False
) -> Tensor:
    """The problem of each seed, (S,): squared error over 2 N or cross-entropy, and both decays."""
    features = model.features()
    logits = model.logits(features)
    if entropy:
        many = logits.shape[0]
        fit = cross_entropy(logits.flatten(0, 1), labels.repeat(many), reduction="none").view(many, -1).mean(1)
    else:
        fit = (logits - one_hot(labels, classes).to(logits.dtype)).square().sum((1, 2)) / (2 * len(labels))
    head = torch.stack([weight.square().sum((1, 2)) for weight in model.heads]).sum(0)
    return fit + decay_w / 2 * head + decay_h / 2 * features.square().sum((1, 2))


# --- one arm, all seeds -----------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """What an arm trains: its counts, and what its loss has."""

    counts: tuple[int, ...]
    decay_h: float
    biased: bool
    entropy: bool


def case(arm: str, counts: tuple[int, ...], balanced: int, decay: float) -> Case:
    """The arm's case for given sizes of classes."""
    uneven = arm in ("head-decay", "imbalanced")
    chosen = counts if uneven else (balanced,) * len(counts)
    biased = arm in BIAS
    return Case(chosen, 0.0 if arm == "head-decay" else decay, biased, arm == "cross-entropy")


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Free features and the network, with every M; or the sweep."""
    if arm == "sweep":
        return run_sweep(params, inputs, record)
    total = sum(layers * params.free_steps + params.steps for layers in params.layers)
    before = 0
    for layers in params.layers:
        free_steps = layers * params.free_steps
        chosen = case(arm, params.free_counts, sum(params.free_counts) // len(params.free_counts), params.free_decay)
        labels = torch.arange(len(chosen.counts)).repeat_interleave(torch.tensor(chosen.counts)).to(inputs.device)
        free = free_features(chosen.counts, params.features, layers, chosen.biased, inputs.seeds, inputs.device)
        watch = Watch(arm, "free features", layers, chosen, params.free_decay, labels, inputs.seeds, record, (before, total))
        descend(free, sgd(free.parameters, 0.1, momentum=0.9), free_steps, None, watch)
        before += free_steps

        chosen = case(arm, params.counts, params.balanced, params.decay)
        x, labels, counts = samples(params, chosen.counts, inputs)
        chosen = chosen._replace(counts=counts)
        model = network(x, len(counts), layers, chosen.biased, params, inputs.seeds, inputs.device)
        watch = Watch(arm, "network", layers, chosen, params.decay, labels, inputs.seeds, record, (before, total))
        schedule, first = cosine(params.steps), layers == params.layers[0]
        descend(model, adam(model.parameters, params.rate), params.steps, schedule, watch, show=first)
        before += params.steps
    return None


def samples(params: Params, counts: tuple[int, ...], inputs: Inputs) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Images (S, N, c, h, w) or frozen features (S, N, D), sorted by class, each seed's own draw; labels (N,), the true counts."""
    if inputs.features:
        vectors, labels = torch.from_numpy(inputs.features.vectors).float(), torch.from_numpy(inputs.features.labels).long()
        vectors = (vectors - vectors.mean(0)) / vectors.std()
    else:
        images = digits_images() if params.data == "digits" else load(params.data).train
        vectors, labels = images.pixels - images.pixels.mean(), images.labels
    present = torch.bincount(labels)
    wanted = [min(count, int(there)) for count, there in zip(counts, present.tolist(), strict=False) if there]
    drawn = []
    for seed in inputs.seeds:
        order = np.random.default_rng(seed).permutation(len(labels))
        of_class = [order[labels.numpy()[order] == label][:count] for label, count in enumerate(wanted)]
        drawn.append(vectors[np.concatenate(of_class)])
    sizes = torch.tensor(wanted)
    return torch.stack(drawn).to(inputs.device), torch.arange(len(wanted)).repeat_interleave(sizes).to(inputs.device), tuple(wanted)


@dataclass
class Watch:
    """Looks at a model every 20 steps, and at its end."""

    arm: str
    model: str
    layers: int
    case: Case
    decay: float
    labels: Tensor
    seeds: tuple[int, ...]
    record: Recorder
    part: tuple[int, int]  # steps before this model, and of all models
    start: Tensor | None = None

    def geometries(self) -> dict[str, Tensor]:
        """Gram matrices of the rows of W that compete, up to scale."""
        k = len(self.case.counts)
        lengths = frame_lengths(self.case.counts, self.layers, self.decay, self.decay)
        alive = lengths if lengths.sum() > 0 else torch.ones(k, dtype=torch.float64)
        return {"gof": torch.diag(alive), "of": torch.eye(k, dtype=torch.float64), "etf": simplex(k)}

    @torch.no_grad()
    def look(self, model: Model, step: int, loss: Tensor, last: bool, show: bool) -> None:
        """Records the distances to the geometries and the collapse; at the end also lengths, and the table that claims read."""
        features, w = model.features(), model.product().double().cpu()
        gram = w @ w.mT  # (S, K, K)
        nc1 = within_class_variation(features.double().cpu(), self.labels.cpu(), len(self.case.counts))
        accuracy = (model.logits(features).argmax(-1) == self.labels).double().mean(1)
        distances = {name: geometry_distance(gram, target) for name, target in self.geometries().items()}
        if self.start is None:
            self.start = nc1
        if show:
            for name, distance in distances.items():
                self.record.scalars(step, series=GEOMETRY[name], distance=distance)
        series = f"{self.model}, M = {self.layers}"
        self.record.scalars(step, series=series, loss=loss, accuracy=accuracy, nc1=nc1)
        self.record.progress(self.part[0] + step, self.part[1])
        if last:
            self.conclude(model, features, gram, nc1, accuracy, distances)

    def conclude(
        self, model: Model, features: Tensor, gram: Tensor, nc1: Tensor, accuracy: Tensor, distances: dict[str, Tensor]
    ) -> None:
        """The last values of every seed."""
        assert self.start is not None
        predicted = frame_lengths(self.case.counts, self.layers, self.decay, self.decay)
        lengths = gram.diagonal(dim1=1, dim2=2)
        error = ((lengths - predicted).abs() / predicted)[:, predicted > 0].amax(1)
        means = class_means(features.double().cpu(), self.labels.cpu(), len(self.case.counts)).mT  # (S, d, K)
        aligned = geometry_distance(
            model.product().double().cpu(), torch.diag(predicted + sum(self.case.counts) * self.decay) @ means.mT
        )
        for place, seed in enumerate(self.seeds):
            recorder = self.record.seed(seed)
            row = {
                "model": self.model,
                "layers": self.layers,
                **{name: float(distance[place]) for name, distance in distances.items()},
                "nc1": float(nc1[place]),
                "nc1_start": float(self.start[place]),
                "length_error": float(error[place]),
                "alignment_error": float(aligned[place]),
                "accuracy": float(accuracy[place]),
            }
            recorder.table("ends", row)
            recorder.table("lengths", list(self.rows(lengths[place], predicted)))
            if self.model == "network":
                recorder.result(**{name: row[name] for name in ("gof", "of", "etf", "nc1", "accuracy")})

    def rows(self, lengths: Tensor, predicted: Tensor) -> Iterator[dict[str, Any]]:
        """Lengths by class."""
        for count, found, expected in zip(self.case.counts, lengths.tolist(), predicted.tolist(), strict=True):
            yield {"model": self.model, "layers": self.layers, "samples": str(count), "predicted": expected, "measured": found}


GEOMETRY = {"gof": "general frame", "of": "equal lengths", "etf": "simplex"}


def descend(
    model: Model,
    optimiser: torch.optim.Optimizer,
    steps: int,
    schedule: Callable[[int], float] | None,
    watch: Watch,
    show: bool = False,
) -> None:
    """Full-batch training of all seeds, whose objectives are summed: none sees another's gradient."""
    moments = {0, steps // 20, steps // 4, steps}

    def losses() -> Tensor:
        return objective(model, watch.labels, len(watch.case.counts), watch.decay, watch.case.decay_h, watch.case.entropy)

    def evaluate(step: int, _: float) -> None:
        with torch.no_grad():
            values = losses()
        watch.look(model, step, values, last=step == steps, show=show)

    def after_step(step: int) -> None:
        if show and step in moments:
            picture(model, watch, step)

    if show:
        picture(model, watch, 0)
    train(lambda step: losses().sum(), optimiser, steps, schedule=schedule, evaluate=evaluate, every=20, after_step=after_step)
    if watch.model == "network":
        return
    low, high = 1e-3, 2 * float(frame_lengths(watch.case.counts, watch.layers, watch.decay, watch.decay).max())
    for seed in watch.seeds[:1]:
        watch.record.seed(seed).table("diagonal", {"x": low, "y": low, "x2": high, "y2": high})


@torch.no_grad()
def picture(model: Model, watch: Watch, step: int) -> None:
    """The first seed's Gram matrix beside the geometries, and its features."""
    recorder = watch.record.seed(watch.seeds[0])
    w = model.product()[0].double().cpu()
    gap = torch.full((len(w), 1), math.nan, dtype=torch.float64)
    panels = [unit(w @ w.mT)]
    for target in watch.geometries().values():
        panels += [gap, unit(target)]
    recorder.matrix(step, "class vectors", torch.cat(panels, 1))
    recorder.embedding(step, model.features()[0], watch.labels, name="network")


def run_sweep(params: Params, inputs: Inputs, record: Recorder) -> None:
    """Free features with one layer for every size of the smallest class and every decay, decays side by side in one batch."""
    many = len(params.sweep_decays)
    for number, smallest in enumerate(params.smallest):
        counts = (100, 50, 50, smallest)
        labels = torch.arange(4).repeat_interleave(torch.tensor(counts)).to(inputs.device)
        model = free_features(counts, params.features, 1, False, inputs.seeds, inputs.device, copies=many)
        decay = torch.tensor(params.sweep_decays, dtype=model.heads[0].dtype, device=inputs.device).repeat(len(inputs.seeds))
        loss = lambda step, m=model, y=labels, d=decay: objective(m, y, 4, d, d).sum()  # noqa: E731
        train(loss, sgd(model.parameters, 0.1, momentum=0.9), params.free_steps)
        with torch.no_grad():
            w = model.product()
            lengths = w.square().sum(-1).view(len(inputs.seeds), many, 4)
        ratio = lengths[..., 3] / lengths[..., 0]
        for place, seed in enumerate(inputs.seeds):
            found = zip(params.sweep_decays, ratio[place].tolist(), strict=True)
            record.seed(seed).table("sweep", [sweep_row(counts, value, float(share)) for value, share in found])
            record.seed(seed).result(**{f"ratio at {smallest}": float(ratio[place, -1])})
        record.progress(number + 1, len(params.smallest))
    shares = np.geomspace(min(params.smallest) / (200 + min(params.smallest)) / 1.5, 0.3, 30)
    line = [
        {"share": share, "decay": math.sqrt(share / (200 / (1 - share)))} for share in shares
    ]  # n = N^2 lambda^2, N = 200 / (1 - share)
    segments = [{"x": a["share"], "y": a["decay"], "x2": b["share"], "y2": b["decay"]} for a, b in pairwise(line)]
    record.seed(inputs.seeds[0]).table("threshold", segments)


def sweep_row(counts: tuple[int, ...], decay: float, ratio: float) -> dict[str, Any]:
    """One point of the sweep. It is clear where the smallest class is not within 20% of the size where it vanishes."""
    smallest, needed = counts[-1], difficulty(counts, 1, decay, decay) / threshold(1)
    return {
        "smallest": smallest,
        "share": smallest / sum(counts),
        "decay": decay,
        "ratio": ratio,
        "found": "vanishes" if ratio < 0.02 else "lives",
        "predicted": "vanishes" if smallest <= needed else "lives",
        "clear": not 0.8 <= smallest / needed <= 1.2,
    }
