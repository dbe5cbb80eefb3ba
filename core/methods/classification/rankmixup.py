r"""Mixup trains on interpolated images and interpolated labels, which calms overconfident networks. But the label of a mixture is
a poor guess of what a network should say about it, and often leaves it underconfident. RankMixup throws the mixed labels away and
keeps an order only: more confidence in a raw image than in its mixtures, and more in a purer mixture than in a muddier one.

A raw image $x_i$ with label $y_i$ has mixtures $j=1..M$ with a share $\lambda_j\sim\mathrm{Beta}(a,a)$ and a partner $\pi_j(i)$ of
its batch, $\tilde x^j_i=\lambda_jx_i+(1-\lambda_j)x_{\pi_j(i)}$. Their coefficient $\bar\lambda_{ij}$ is the largest entry of the
mixed label: $\max(\lambda_j,1-\lambda_j)$, or 1 where both images have one class. Raw images are trained as ever, mixtures ranked:
$$\mathcal L=\mathrm{CE}(o,y)+w\,\mathcal L_\text{rank}.$$
**MRL** ($M=1$) asks the largest *logit* of a mixture of two classes to stay a margin $m$ below that of the raw image:
$$\mathcal L_\text{rank}=\frac1B\sum_i\kappa_i\Bigl[\max_k\tilde o_{ik}-\max_ko_{ik}+m\Bigr]_+,\qquad\kappa_i=[\bar\lambda_i<1].$$
**M-NDCG** ($M=3$) ranks *probabilities* $p_i=\max_k\mathrm{softmax}(o_i)_k$, the mixtures by falling coefficient in the ranks
$r=2..M+1$ behind the raw image:
$$\mathrm{DCG}_i=p_i+\sum_r\frac{\tilde p_{i(r)}}{\log_2(1+r)},\;\mathrm{IDCG}_i=1+\sum_r\frac{\bar\lambda_{i(r)}}{\log_2(1+r)},$$
$$\mathcal L_\text{rank}=\frac1B\sum_i1-\min\bigl(\mathrm{DCG}_i/\mathrm{IDCG}_i,\;\mathrm{IDCG}_i/\mathrm{DCG}_i\bigr).$$
The lesser ratio punishes too much confidence as well, so the loss vanishes where discounted confidences match coefficients *in
total*.

Reference: Jongyoun Noh, Hyekang Park, Junghyup Lee, Bumsub Ham, *RankMixup: Ranking-Based Mixup Training for Network Calibration*,
ICCV 2023, [arXiv 2308.11990](https://arxiv.org/abs/2308.11990). The released code multiplies a mask of shape (B) with hinges of
shape (B, 1), which comes to the mean of $\kappa$ times the mean hinge; here it is the masked mean, the other is `factorised`. Each
arm with a strength ($w$, mixup's $\alpha$, the smoothing) chooses it from a grid by the likelihood of validation images, in every
seed anew. In a short training the paper's $w=0.1$ does nothing, so that the grid has larger ones, and is short. Mixtures of test
images are of two classes, their shares uniform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from core.data import Images, load
from core.data.augmentation import flip_and_shift
from core.data.images import Parts, shuffled
from core.data.mnist import mnist_images
from core.measures.calibration import bin_index, expected_calibration_error, negative_log_likelihood, softmax, summary, top_label
from core.measures.calibrators import TemperatureScaling
from core.methods.base import (
    Arm,
    Bars,
    Claim,
    Inputs,
    Lines,
    Paired,
    Paper,
    Preset,
    Reliability,
    Results,
    Verdict,
    decide_by_interval,
    param,
    weakest,
)
from core.methods.base import Images as Pictures
from core.recorder import Recorder
from core.training import batch_order, generator, predict, sgd, step_decay, train
from models.mlp import mlp
from models.resnet18 import ResNet18

PAPER = Paper(
    slug="rankmixup",
    title="RankMixup: Ranking-Based Mixup Training for Network Calibration",
    authors="Jongyoun Noh, Hyekang Park, Junghyup Lee, Bumsub Ham",
    year=2023,
    venue="ICCV 2023",
    family="classification",
    arxiv="2308.11990",
    idea="Mixed images need no mixed labels: it is enough that confidence falls in the order in which they are mixed.",
    equation=r"\mathcal L=\mathrm{CE}(o,y)+\frac wB\sum_i1-\min\Bigl(\frac{\mathrm{DCG}_i}{\mathrm{IDCG}_i},"
    r"\frac{\mathrm{IDCG}_i}{\mathrm{DCG}_i}\Bigr)",
    code="https://github.com/cvlab-yonsei/RankMixup",
)

# --- mixtures and the losses that rank them -------------------------------------------------------------------------


def mix(images: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """M mixtures of every image, (M, B, ...): share times the image plus the rest of its partner.

    Args:
        images: (B, ...). shares: (M, 1), or (M, B) for one an image, in [0, 1]. partners: (M, B) indices into the batch.
    """
    shares = shares.view(*shares.shape, *[1] * (images.dim() - 1))
    return shares * images + (1 - shares) * images[partners]


def coefficients(labels: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """The largest entry of each mixture's label, (M, B): the share of the purer part, 1 where both images have one class."""
    return torch.where(labels == labels[partners], 1.0, torch.maximum(shares, 1 - shares))


def mixed_cross_entropy(mixed: Tensor, labels: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """Mixup's loss: cross-entropy of logits (M, B, classes) with mixed labels, mean over all mixtures."""
    of_both = [cross_entropy(mixed.mT, target, reduction="none") for target in (labels.expand(partners.shape), labels[partners])]
    return (shares * of_both[0] + (1 - shares) * of_both[1]).mean()


def margin_ranking_loss(raw: Tensor, mixed: Tensor, coefficient: Tensor, margin: float = 2.0, factorised: bool = False) -> Tensor:
    """MRL on logits (B, classes), of which a mixture's largest must stay `margin` below the raw image's.

    Args:
        coefficient: (B,), mixtures with 1 are of one class and do not count.
        factorised: the released code's mean over the mask times mean over the hinge.
    """
    hinge = relu(mixed.amax(-1) - raw.amax(-1) + margin)
    mask = (coefficient < 1).to(hinge)
    return mask.mean() * hinge.mean() if factorised else (mask * hinge).mean()


def ndcg_loss(raw: Tensor, mixed: Tensor, coefficient: Tensor) -> Tensor:
    """M-NDCG on logits (B, classes) and (M, B, classes), with coefficients (M, B): in [0, 1), 0 where confidences match them."""
    confidence, mixed_confidence = raw.softmax(-1).amax(-1), mixed.softmax(-1).amax(-1)
    ranked, order = coefficient.sort(dim=0, descending=True)
    discount = torch.arange(3, len(mixed) + 3).to(raw).log2().reciprocal()  # 1 / log2(1 + r), r = 2 ... M + 1
    dcg = confidence + discount @ mixed_confidence.gather(0, order)
    ideal = 1 + discount @ ranked
    return (1 - torch.minimum(dcg / ideal, ideal / dcg)).mean()


def misordered(confidence: Tensor, coefficient: Tensor) -> Tensor:
    """Of all pairs of one image's versions with different coefficients, the share in which the purer has less confidence.

    Args:
        confidence, coefficient: (versions, n); the raw image is a version of coefficient 1.
    """
    purer = coefficient[:, None] > coefficient
    return (purer & (confidence[:, None] < confidence)).sum() / purer.sum()


# --- declaration ----------------------------------------------------------------------------------------------------

INPUTS = ("own", "features")


@dataclass(frozen=True)
class Params:
    """What can be set."""

    data: str = param("mnist-5k", "Images to learn; the last from the Hub.", choices=("mnist-5k", "uoft-cs/cifar10"))
    network: str = param("mlp", "Two hidden layers of 256, or ResNet-18; features get the first.", choices=("mlp", "resnet-18"))
    train: int = param(2000, "Images to train on; at most half of MNIST's, or of features.", low=20, high=60_000)
    validation: int = param(500, "Images that strengths and temperatures are chosen on; at most a fifth.", low=20, high=20_000)
    test: int = param(3000, "Images to test on, as far as there are so many.", low=100, high=20_000)
    epochs: int = param(60, "Passes over the training images.", low=1, high=1000)
    batch_size: int = param(128, "Raw images a step.", low=2, high=4096)
    learning_rate: float = param(
        0.1, "Of SGD with momentum 0.9; a tenth after 40% of the steps, of that after 60%.", low=0, high=10
    )
    weight_decay: float = param(5e-4, "L2 penalty on all parameters.", low=0, high=1)
    augment: bool = param(False, "Mirrors and shifts training images at random; features stay as they are.")
    keep_best: bool = param(False, "Keeps the weights of the best validation accuracy, not the last.")
    evaluations: int = param(10, "How often training is looked at.", low=1, high=1000)
    weights: tuple[float, ...] = param((1.0, 3.0), "w of the mixtures' loss, to choose from.", low=0, high=100)
    alphas: tuple[float, ...] = param((0.1, 0.4), "alpha of mixup, to choose from.", low=0.01, high=100)
    smoothings: tuple[float, ...] = param((0.05, 0.1), "Label smoothing, to choose from.", low=0, high=1)
    concentration: float = param(2.0, "a, RankMixup's shares are Beta(a, a); always among the alphas.", low=0.01, high=100)
    mixtures: int = param(3, "M, the mixtures of every image in M-NDCG.", low=1, high=10)
    margin: float = param(2.0, "m of MRL, between logits.", low=0, high=100)
    factorised: bool = param(False, "MRL's mask as in the released code.")


ARMS = (
    Arm("ce", "Cross-entropy", "Raw images only."),
    Arm("temperature", "Temperature scaling", "The same network, its logits divided by what validation images ask.", after=("ce",)),
    Arm("label-smoothing", "Label smoothing", "Raw images; a little of each label goes to all classes."),
    Arm("mixup", "Mixup", "Mixtures only, with mixed labels."),
    Arm("mixture-ce", "Raw images and mixup", "RankMixup's images with mixed labels: what the extra images alone do."),
    Arm("ndcg", "M-NDCG", "Ranks several mixtures by their confidence.", role="method"),
    Arm("ndcg-one", "M-NDCG, one mixture", "The same with M = 1.", role="method"),
    Arm("mrl", "MRL", "Ranks one mixture below its raw image, by logits.", role="method"),
)
KNOBS = {"label-smoothing": "label smoothing", "mixup": "alpha of mixup"}  # of arms that choose a strength, the others have w

SMALL = {
    "train": 256, "validation": 100, "test": 500, "epochs": 2, "evaluations": 2, "alphas": (0.4,), "smoothings": (0.05,),
}  # fmt: skip
SHORT = {"train": 1000, "epochs": 26}
CIFAR = {
    "data": "uoft-cs/cifar10", "network": "resnet-18", "train": 45_000, "validation": 5000, "test": 10_000,
    "augment": True, "keep_best": True, "evaluations": 60, "weights": (0.1,), "alphas": (0.2, 0.4, 2.0),
}  # fmt: skip
PRESETS = {
    "smoke": Preset(3, (0, 1), SMALL),
    "quick": Preset(50, (0, 1, 2), SHORT, ("ce", "temperature", "mixup", "ndcg", "ndcg-one", "mrl")),
    "standard": Preset(400, (0, 1, 2, 3, 4)),
    "paper": Preset(4500, (0,), CIFAR, ("ce", "temperature", "mixup", "ndcg", "mrl"), needs="cuda"),
}


def gap(results: Results, arm: str, smallest: float, null: float = 0.0, metric: str = "ece") -> Verdict:
    """How many points of ECE (or `metric`) of an arm M-NDCG saves, seed by seed."""
    theirs, ours = results.by_seed(arm, metric), results.by_seed("ndcg", "ece")
    seeds = ours.index.intersection(theirs.index)
    detail = f"ECE is {100 * ours[seeds].mean():.2f}% for M-NDCG and {100 * theirs[seeds].mean():.2f}% for {arm}."
    return decide_by_interval(list(100 * (theirs[seeds] - ours[seeds])), smallest, "points of ECE", detail, null)


def both(main: Verdict, condition: Verdict, words: str) -> Verdict:
    """The first verdict, with the worse outcome of the two; `words` say what the condition's mean and interval are of."""
    if not condition.n:
        return replace(main, outcome="undecided", detail=f"{main.detail} It needs the arm of the second comparison too.")
    found = f"{condition.effect:+.2f} points"
    if condition.n > 1:
        found += f" ({condition.low:+.2f} to {condition.high:+.2f})"
    return replace(main, outcome=weakest(main.outcome, condition.outcome), detail=f"{main.detail} {words.format(found)}")


def calibrates(results: Results) -> Verdict:
    """ECE falls by at least a point from cross-entropy to M-NDCG, and accuracy on average by no more than half a point."""
    ours, theirs = (results.by_seed(arm, "accuracy") for arm in ("ndcg", "ce"))
    accuracy = decide_by_interval(list(100 * (ours - theirs).dropna()), -0.5, null=-math.inf)
    return both(gap(results, "ce", 1.0), accuracy, "Accuracy changes by {}; half a point may be lost.")


def beats_mixup(results: Results) -> Verdict:
    """M-NDCG's ECE is less than 0.3 points above that of mixup with its likeliest alpha, and below mixup's with the same shares."""
    same = gap(results, "mixup", 0.0, metric="ece_same_shares")
    return both(gap(results, "mixup", -0.3, null=-0.3), same, "Against mixup with the shares of RankMixup it saves {}.")


def needs_several(results: Results) -> Verdict:
    """M-NDCG's ECE is below MRL's, and below that of M-NDCG with one mixture."""
    return both(gap(results, "mrl", 0.0), gap(results, "ndcg-one", 0.0), "Against M-NDCG with one mixture it saves {}.")


def no_overconfidence(results: Results) -> str:
    """Where cross-entropy is not overconfident, there is nothing to repair."""
    excess = 100 * (results.by_seed("ce", "confidence") - results.by_seed("ce", "accuracy")).mean()
    if not excess < 1:  # nor where cross-entropy was not run, of which the claim itself knows
        return ""
    return f"Cross-entropy is not overconfident: its confidence exceeds its accuracy by {excess:.2f} points."


CLAIMS = (
    Claim(
        "c1",
        "M-NDCG is calibrated better than cross-entropy, by a point of ECE or more, and loses at most half a point of accuracy.",
        calibrates,
        "Lower ECE than cross-entropy on CIFAR-10, Tiny-ImageNet and CUB (the paper's main tables).",
        precondition=no_overconfidence,
    ),
    Claim(
        "c2",
        "M-NDCG is as well calibrated as mixup with a tuned alpha, to 0.3 points of ECE, and better than with the same shares.",
        beats_mixup,
        "Lower ECE than mixup and its variants (the paper's main tables).",
    ),
    Claim(
        "c3",
        "Ranking several mixtures calibrates better than ranking one, whether by a margin between logits (MRL) or by M-NDCG.",
        needs_several,
        "M-NDCG improves on MRL, and three mixtures on one (the paper's ablations).",
    ),
    Claim(
        "c4",
        "Confidence follows purity: over unseen mixtures, Kendall's tau between both is at least 0.05 above that of cross-entropy.",
        Paired("tau", "ndcg", "ce", 0.05),
        "Confidence on mixtures rises with the coefficient only when it is ranked (the paper's motivating figure).",
    ),
)

VIEWS = (
    Reliability(
        title="Confidence that means what it says",
        caption="On the diagonal, 80% sure is right 80% of the time. Cross-entropy hangs below it; mixup may swing above.",
        where={"arm": ("ce", "mixup", "ndcg", "mrl")},
    ),
    Lines(
        title="Sure of the pure, unsure of the mixed",
        caption="Mean confidence in unseen mixtures of two classes. M-NDCG draws it towards the share of the purer image.",
        where={"arm": ("ce", "mixup", "ndcg")},
        table="mixtures",
        x="coefficient",
        y="confidence",
        x_title="share of the purer image",
        y_title="mean confidence",
        x_format=".0%",
        y_format=".0%",
    ),
    Pictures(
        title="From one class towards another",
        caption="An unseen image, and its mixtures with one of the next class, down to half and half.",
        images="mixtures",
        where={"arm": "ce"},
    ),
    Lines(
        title="How sure on the way",
        caption="Mean confidence in mixtures like those above, of up to 50 unseen images of each of six classes.",
        where={"arm": ("ce", "mixup", "ndcg")},
        table="paths",
        x="share",
        y="confidence",
        facet="pair",
        reverse_x=True,
        x_title="share of the first image",
        x_format=".0%",
        y_format=".0%",
    ),
    Bars(
        title="Calibration error, all arms",
        caption="ECE over 15 bins on test images, each arm with the strength that it chose on validation images.",
        y="ece",
        y_title="ECE",
        y_format=".1%",
    ),
    Lines(
        title="What the strength does",
        caption="ECE on test images for every strength tried. Validation images chose one of each grid, by likelihood.",
        table="sweep",
        x="strength",
        y="ece",
        facet="knob",
        log_x=True,
        y_title="ECE",
        y_format=".1%",
    ),
    Lines(
        title="Is the order learned?",
        caption="Of an unseen image and its mixtures, the share of pairs in which the purer one gets less confidence.",
        y="misordered",
        y_title="pairs in the wrong order",
        y_format=".0%",
    ),
)

# --- one arm, one seed ------------------------------------------------------------------------------------------------


PATH = tuple(1 - number / 14 for number in range(8))  # shares of the first image on the way from one class to another


def parts_of(params: Params, inputs: Inputs) -> Parts:
    """Training, validation and test images of a seed. MNIST and features are dealt anew in each.

    Features become images of one pixel with as many channels, standardised by one mean and deviation of the training items.
    """
    if inputs.features is not None:
        vectors = torch.tensor(inputs.features.vectors, dtype=torch.float32)[:, :, None, None]
        labels = torch.tensor(inputs.features.labels, dtype=torch.long)
        images = Images(vectors, labels, inputs.features.classes)
    elif params.data == "mnist-5k":
        images = mnist_images()
    else:
        parts = load(params.data).with_validation(params.validation, inputs.seed)
        return replace(parts, train=parts.train.take(slice(params.train)), test=parts.test.take(slice(params.test)))
    n = min(params.train, len(images) // 2)
    end = n + min(params.validation, len(images) // 5)
    images = shuffled(images, inputs.seed)
    if inputs.features is not None:
        seen = images.pixels[:n]
        images = replace(images, pixels=(images.pixels - seen.mean()) / seen.std())
    return Parts(*(images.take(slice(*ends)) for ends in ((0, n), (n, end), (end, end + params.test))))


def held_out_mixtures(images: Images, count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mixtures (count, n, ...) of unseen images with uniform shares, and their coefficients (count, n)."""
    shares, order = (torch.rand(count, len(images), generator=source).to(images.pixels.device) for _ in range(2))
    partners = order.argsort(-1)
    return mix(images.pixels, shares, partners), coefficients(images.labels, shares, partners)


def paths_between(images: Images) -> tuple[list[str], Tensor]:
    """Up to 50 mixtures for each share of PATH between two classes, three pairs at most: names, and (pairs, 8, n, ...)."""
    count = torch.bincount(images.labels, minlength=len(images.classes))
    present = count.nonzero().flatten().tolist()
    classes = present[: 2 * min(len(present) // 2, 3)]
    n = min(50, *(int(count[label]) for label in classes))
    ends = torch.stack([images.pixels[images.labels == label][:n] for label in classes]).unflatten(0, (-1, 2))
    shares, other = torch.tensor(PATH, device=ends.device)[:, None], torch.tensor([[1, 0]]).expand(len(PATH), 2)
    names = [f"{images.classes[one]} into {images.classes[two]}" for one, two in zip(classes[::2], classes[1::2], strict=True)]
    return names, torch.stack([mix(pair, shares, other)[:, 0] for pair in ends])


class Setting:
    """Data, order of batches, draws and probes of one seed: the same for every arm and strength."""

    def __init__(self, params: Params, inputs: Inputs) -> None:
        self.params, self.seed, self.device = params, inputs.seed, inputs.device
        self.parts = parts_of(params, inputs).to(self.device)
        self.network = "mlp" if inputs.features is not None else params.network
        self.augments = params.augment and inputs.features is None
        n = len(self.parts.train)
        self.steps = params.epochs * (n // params.batch_size)
        self.order = batch_order(n, params.batch_size, self.steps, generator("batches", self.seed)).to(self.device)
        draws = torch.rand(self.steps, params.mixtures, params.batch_size, generator=generator("partners", self.seed))
        self.partners = draws.argsort(-1).to(self.device)
        source = generator("held-out mixtures", self.seed)
        self.watched = self.parts.validation.take(slice(200))
        self.watched_mixtures = held_out_mixtures(self.watched, params.mixtures, source)
        mixtures, coefficient = held_out_mixtures(self.parts.test, 1, source)
        self.coefficient = coefficient[coefficient < 1]
        self.pairs, self.paths = paths_between(self.parts.test)
        self.probes = {
            "test": self.parts.test.pixels,
            "validation": self.parts.validation.pixels,
            "mixtures": mixtures[coefficient < 1],
            "paths": self.paths.flatten(0, 2),
        }

    def shares(self, concentration: float) -> Tensor:
        """Beta distributed, (steps, M, 1)."""
        source = np.random.default_rng(generator("shares", self.seed).initial_seed())
        drawn = source.beta(concentration, concentration, (self.steps, self.params.mixtures, 1))
        return torch.tensor(drawn, dtype=torch.float32, device=self.device)

    def untrained(self) -> nn.Module:
        source, classes = generator("initial weights", self.seed), len(self.parts.train.classes)
        channels, height, width = self.parts.train.pixels.shape[1:]
        if self.network == "mlp":
            return mlp((channels * height * width, 256, 256, classes), generator=source).to(self.device)
        return ResNet18(classes, channels=channels, generator=source).to(self.device)

    def course(self, model: nn.Module) -> dict[str, Tensor]:
        """Confidence in validation images and in their mixtures, and how far their order is wrong."""
        mixtures, coefficient = self.watched_mixtures
        versions = torch.cat([self.watched.pixels[None], mixtures])  # (1 + M, n, ...)
        confidence = predict(model, versions.flatten(0, 1)).softmax(-1).amax(-1).unflatten(0, versions.shape[:2])
        wrong = misordered(confidence, torch.cat([torch.ones_like(coefficient[:1]), coefficient]))
        return {"raw_confidence": confidence[0].mean(), "mixed_confidence": confidence[1:].mean(), "misordered": wrong}


class Objective:
    """The losses of one arm, unweighted: cross-entropy and, where it has one, that of the mixtures."""

    def __init__(self, arm: str, strength: float, setting: Setting) -> None:
        self.arm, self.strength, self.params = arm, strength, setting.params
        count = 1 if arm in ("mixup", "mrl", "ndcg-one") else setting.params.mixtures
        self.shares = setting.shares(strength if arm == "mixup" else setting.params.concentration)[:, :count]
        self.partners = setting.partners[:, :count]

    def __call__(self, model: nn.Module, step: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if self.arm in ("ce", "label-smoothing"):
            return {"cross_entropy": cross_entropy(logits_of(model, images), labels, label_smoothing=self.strength)}
        shares, partners = self.shares[step], self.partners[step]
        raw = logits_of(model, images) if self.arm != "mixup" else None  # a pass of its own: batch statistics stay apart
        mixed = logits_of(model, mix(images, shares, partners).flatten(0, 1)).unflatten(0, partners.shape)
        if raw is None:
            return {"cross_entropy": mixed_cross_entropy(mixed, labels, shares, partners)}
        coefficient = coefficients(labels, shares, partners)
        match self.arm:
            case "mixture-ce":
                loss = mixed_cross_entropy(mixed, labels, shares, partners)
            case "mrl":
                loss = margin_ranking_loss(raw, mixed[0], coefficient[0], self.params.margin, self.params.factorised)
            case _:
                loss = ndcg_loss(raw, mixed, coefficient)
        return {"cross_entropy": cross_entropy(raw, labels), "mixture_loss": loss}


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """A pass with 16-bit products on a GPU; losses see 32 bits."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        return model(images).float()


class Trial(NamedTuple):
    """A network trained with one strength, its course (scalars by step), its NLL on validation and its ECE on test images."""

    strength: float
    model: nn.Module
    course: dict[int, dict[str, Any]]
    validation_nll: float
    test_ece: float


def train_with(arm: str, strength: float, setting: Setting, after_step: Callable[[int], None]) -> Trial:
    """Trains one network."""
    p, model = setting.params, setting.untrained()
    objective, changes = Objective(arm, strength, setting), generator("augmentation", setting.seed)
    course: dict[int, dict[str, Any]] = {}
    terms: dict[str, Tensor] = {}
    best: dict[str, Any] = {"accuracy": -1.0}

    def loss(step: int) -> Tensor:
        batch = setting.parts.train.take(setting.order[step])
        images = flip_and_shift(batch.pixels, changes) if setting.augments else batch.pixels
        terms.update(objective(model, step, images, batch.labels))
        return terms["cross_entropy"] + (strength * terms["mixture_loss"] if "mixture_loss" in terms else 0.0)

    def evaluate(step: int, _: float) -> None:
        course[step] = {name: float(value.detach()) for name, value in (terms | setting.course(model)).items()}
        if p.keep_best:
            images = setting.parts.validation
            accuracy = float((predict(model, images.pixels).argmax(-1) == images.labels).float().mean())
            if accuracy > best["accuracy"]:
                best.update(accuracy=accuracy, state={name: value.clone() for name, value in model.state_dict().items()})

    optimiser = sgd(model.parameters(), p.learning_rate, momentum=0.9, weight_decay=p.weight_decay)
    drops = step_decay([round(0.4 * setting.steps), round(0.6 * setting.steps)])
    every = max(1, setting.steps // p.evaluations)
    train(loss, optimiser, setting.steps, schedule=drops, clip=2.0, evaluate=evaluate, every=every, after_step=after_step)
    if p.keep_best:
        model.load_state_dict(best["state"])
    validation, test = (softmax(predict(model, setting.probes[name])) for name in ("validation", "test"))
    nll = negative_log_likelihood(validation, setting.parts.validation.labels)
    return Trial(strength, model, course, nll, expected_calibration_error(*top_label(test, setting.parts.test.labels)))


def strengths(arm: str, params: Params) -> tuple[float, ...]:
    """What an arm chooses from."""
    mixup = tuple(sorted({*params.alphas, params.concentration}))
    return {"ce": (0.0,), "label-smoothing": params.smoothings, "mixup": mixup}.get(arm, params.weights)


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Trains a network with every strength, and reports the one that makes the validation labels likeliest."""
    setting = Setting(params, inputs)
    if arm == "temperature":
        logits = inputs.arrays("ce", "matrix")
        temperature = temperature_of(logits, setting)
        report(arm, {name: values / temperature for name, values in logits.items()}, setting, record)
        return
    grid = strengths(arm, params)
    trials: list[Trial] = []

    def after_step(step: int) -> None:
        record.progress(len(trials) * setting.steps + step, len(grid) * setting.steps)

    for strength in grid:
        trials.append(train_with(arm, strength, setting, after_step))
    chosen = min(trials, key=lambda trial: trial.validation_nll)
    for step, scalars in chosen.course.items():
        record.scalars(step, **scalars)
    if arm != "ce":
        knob = KNOBS.get(arm, "w, the weight of mixtures")
        record.table("sweep", [{"knob": knob, "strength": trial.strength, "ece": trial.test_ece} for trial in trials])
        record.result(strength=chosen.strength)
    if arm == "mixup":
        record.result(ece_same_shares=trials[grid.index(params.concentration)].test_ece)
    report(arm, {name: predict(chosen.model, images) for name, images in setting.probes.items()}, setting, record)


def temperature_of(logits: Mapping[str, Any], setting: Setting) -> float:
    """What validation images ask the logits to be divided by."""
    return TemperatureScaling().fit(logits["validation"], setting.parts.validation.labels).temperature_


def report(arm: str, logits: Mapping[str, Any], setting: Setting, record: Recorder) -> None:
    """Records a network by its logits on every probe, given by name."""
    labels = setting.parts.test.labels
    record.predictions(setting.steps, logits["test"], labels)
    if arm == "ce":
        for name, values in logits.items():
            record.matrix(setting.steps, name, values)  # temperature scaling starts from them
        if setting.paths.shape[-1] > 1:  # pictures, not features
            record.images(0, "mixtures", setting.paths[0, :, 0].movedim(1, -1).squeeze(-1))
    temperature = temperature_of(logits, setting)
    scaled = expected_calibration_error(*top_label(softmax(logits["test"], temperature), labels))
    confidence, coefficient = softmax(logits["mixtures"]).max(axis=1), setting.coefficient.cpu().numpy()
    tau = kendalltau(coefficient, confidence).statistic
    record.result(**summary(softmax(logits["test"]), labels), temperature=temperature, ece_scaled=scaled, tau=tau)
    bins = bin_index(2 * coefficient - 1, 10)
    means = {index: confidence[bins == index].mean() for index in np.unique(bins)}
    record.table("mixtures", [{"coefficient": 0.525 + 0.05 * index, "confidence": mean} for index, mean in means.items()])
    along = softmax(logits["paths"]).max(axis=1).reshape(setting.paths.shape[:3]).mean(axis=2)
    for pair, path in zip(setting.pairs, along, strict=True):
        on_the_way = zip(PATH, path, strict=True)
        record.table("paths", [{"pair": pair, "share": share, "confidence": mean} for share, mean in on_the_way])
