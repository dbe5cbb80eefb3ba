r"""The contrastive loss pulls two views of an item together and pushes other items away, each with a force that grows exponentially
with its similarity to the anchor. A small temperature puts nearly all force on the nearest negatives: the embedding spreads evenly
over the sphere (*uniformity*), but items of one class are torn apart (low *tolerance*). A large one keeps neighbours together and
separates little. Features are best in between. That this *hardness-awareness* is what matters shows where hard negatives are picked
outright: then even a linear loss works.

With $s_{ij}$ the cosine of anchor $i$ and candidate $j$, $s_{ii}$ the positive pair and $j\neq i$ the $N-1$ negatives,
$$L_i=-\log\frac{e^{s_{ii}/\tau}}{e^{s_{ii}/\tau}+\sum_{k\neq i}e^{s_{ik}/\tau}},\qquad
r_i(s_{ij})=\frac{e^{s_{ij}/\tau}}{\sum_{k\neq i}e^{s_{ik}/\tau}},$$
where $r_i$, the *relative penalty*, is how the anchor's push is shared out among its negatives.

1. As $\tau\to 0$, $\tau L_i$ becomes the triplet loss $\max(\max_j s_{ij}-s_{ii},0)$. As $\tau\to\infty$, $L_i$ becomes, up to
   a scale and a constant, the *simple loss* $-s_{ii}+\lambda\sum_{j\neq i}s_{ij}$ with $\lambda=1/(N-1)$, which pushes all alike.
2. *Hard* losses see each anchor's $K=\max(1,\mathrm{round}(\alpha(N-1)))$ most similar negatives alone, with $\lambda=1/K$.
3. Uniformity is $-\log\mathbb E\,e^{-2\lVert x-y\rVert^2}$ over pairs of test items, tolerance the mean cosine of two items of one
   class, both where the loss sees them; features are judged before the projection head, on the encoder's output.

Reference: Feng Wang, Huaping Liu, *Understanding the Behaviour of Contrastive Loss*, CVPR 2021,
[arXiv 2012.09740](https://arxiv.org/abs/2012.09740). Different here: candidates are the other view of the whole batch, both ways;
the paper has a memory bank. Tolerance is the mean over pairs of one class, the only reading that fits the paper's values. $\lambda$
is the limit's; the paper leaves it open. Where a claim speaks of the best temperature, each seed's is the one that does best on the
other seeds, since the best of several on the same seeds would flatter it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.data import Images, Split, load
from core.data.augmentation import view_of
from core.data.frozen import frozen_split
from core.measures.representation import alignment, probes, tolerance, uniformity
from core.methods.base import (
    Arm,
    Bars,
    Claim,
    Embedding,
    Inputs,
    Lines,
    Paper,
    ParameterError,
    Preset,
    Results,
    Stack,
    Verdict,
    decide_by_interval,
    param,
)
from core.recorder import Recorder
from core.training import adam, batch_order, cosine, generator, predict, train
from models.encoder import encoder_and_head

PAPER = Paper(
    slug="contrastive-temperature",
    title="Understanding the Behaviour of Contrastive Loss",
    authors="Feng Wang, Huaping Liu",
    year=2021,
    venue="CVPR 2021",
    family="contrastive",
    arxiv="2012.09740",
    idea="The temperature of a contrastive loss sets how hard it pushes near negatives, and features are best at a compromise.",
    equation=r"L_i=-\log\frac{e^{s_{ii}/\tau}}{e^{s_{ii}/\tau}+\sum_{k\neq i}e^{s_{ik}/\tau}}",
)

# --- the losses: functions of similarities, whatever these come from ------------------------------------------------


def split_pairs(similarities: Tensor) -> tuple[Tensor, Tensor]:
    """Positives (..., n), the diagonal, and each anchor's negatives (..., n, n - 1), of similarities (..., anchors, candidates)."""
    n = similarities.shape[-1]
    beside = similarities.flatten(-2)[..., 1:].unflatten(-1, (n - 1, n + 1))[..., :-1]  # a row: from one diagonal entry to the next
    return similarities.diagonal(dim1=-2, dim2=-1), beside.reshape(*similarities.shape[:-1], n - 1)


def hardest(negatives: Tensor, share: float) -> Tensor:
    """Step 2: of each anchor's negatives (..., m) the K most similar, (..., K)."""
    count = max(1, round(share * negatives.shape[-1]))
    return negatives if count == negatives.shape[-1] else negatives.topk(count, sorted=False).values


def contrastive_loss(positive: Tensor, negatives: Tensor, tau: float) -> Tensor:
    """L_i of each anchor, (...), given its positive (...) and its negatives (..., m); with an infinite tau, the simple loss."""
    if math.isinf(tau):
        return negatives.mean(-1) - positive
    candidates = torch.cat([positive.unsqueeze(-1), negatives], dim=-1)
    return (candidates / tau).logsumexp(-1) - positive / tau


def relative_penalty(negatives: Tensor, tau: float) -> Tensor:
    """r_i, each anchor's distribution over its negatives (..., m); an infinite tau makes it even."""
    return (negatives / tau).softmax(-1)


def entropy(shares: Tensor) -> Tensor:
    """Of distributions along the last axis, in nats."""
    return torch.special.entr(shares).sum(-1)


# --- declaration ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Params:
    """What can be set."""

    data: str = param("mnist-14", "Images to learn; CIFAR-10 is on the Hub.", choices=("digits-8", "mnist-14", "uoft-cs/cifar10"))
    network: str = param("convnet", "Convolutions that halve the image to 2 x 2, or ResNet-18.", choices=("convnet", "resnet-18"))
    steps: int = param(400, "Training steps.", low=1, high=100_000)
    batch_size: int = param(256, "Items a step; each anchor has one negative fewer.", low=8, high=4096)
    learning_rate: float = param(2e-3, "Of Adam at the start; it falls to 0 along a cosine.", low=0, high=1)
    weight_decay: float = param(1e-5, "L2 penalty on all parameters.", low=0, high=1)
    hard_share: float = param(0.25, "Alpha, the share of the negatives that hard losses keep.", low=0.001, high=1)
    every: int = param(20, "Steps between evaluations.", low=1, high=10_000)


PLAIN = "The ordinary loss at this temperature."
HARD = "The ordinary loss of each anchor's nearest negatives."

ARMS = (
    Arm("simple", "Simple loss", "Pushes every negative alike: the limit of an infinite temperature."),
    *(Arm(f"tau-{tau}", f"Contrastive, τ = {tau}", PLAIN, role="method") for tau in (0.05, 0.1, 0.2, 0.5, 1.0)),
    *(Arm(f"hard-{tau}", f"Hard, τ = {tau}", HARD, role="method") for tau in (0.1, 0.5, 1.0)),
    Arm("hard-simple", "Hard-simple loss", "Pushes each anchor's nearest negatives alike.", role="method"),
    *(Arm(f"tau-{tau}", f"Contrastive, τ = {tau}", PLAIN, role="ablation") for tau in (0.07, 0.3, 0.7)),
    Arm("hard-0.7", "Hard, τ = 0.7", HARD, role="ablation"),
)

QUICK_ARMS = ("simple", "tau-0.05", "tau-0.2", "tau-1.0", "hard-simple")
CIFAR = {
    "data": "uoft-cs/cifar10", "network": "resnet-18", "steps": 3880, "batch_size": 512, "learning_rate": 1e-3, "every": 97
}  # fmt: skip
CIFAR_ARMS = ("simple", "tau-0.07", "tau-0.2", "tau-0.3", "tau-0.7", "tau-1.0", "hard-0.7", "hard-simple")

PRESETS = {
    "smoke": Preset(2, (0, 1), {"data": "digits-8", "steps": 8, "batch_size": 64, "every": 4}),
    "quick": Preset(45, (0, 1, 2, 3, 4), {"data": "digits-8", "steps": 200}, QUICK_ARMS),
    "standard": Preset(450, (0, 1, 2, 3, 4)),
    "paper": Preset(5400, (0, 1, 2), CIFAR, CIFAR_ARMS, needs="cuda"),
}


def temperature(arm: str) -> float:
    """The arm's tau; infinite for the simple losses."""
    return math.inf if arm.endswith("simple") else float(arm.split("-")[1])


def by_temperature(results: Results, metric: str, kind: str = "tau", least: float = 0.0):
    """A metric of the arms "tau-..." or "hard-..." at finite temperatures of at least `least`: rows seeds, columns tau."""
    arms = [arm for arm in results.metrics["arm"].unique() if arm.startswith(kind) and least <= temperature(arm) < math.inf]
    rows = results.metrics[results.metrics["arm"].isin(arms)]
    return rows.assign(tau=rows["arm"].map(temperature)).pivot(index="seed", columns="tau", values=metric).dropna()


def best_by_others(scores):
    """For each seed (row) its score in the column that is best on average over the other seeds."""
    others = {seed: scores.drop(index=seed) if len(scores) > 1 else scores for seed in scores.index}
    return scores.apply(lambda row: row[others[row.name].mean().idxmax()], axis=1)


def weakest(parts: Sequence[Verdict], detail: str) -> Verdict:
    """Of a claim that says several things at once: the one that it fails by, or passes by the least."""
    order = ("does not hold", "undecided", "holds")
    return replace(min(parts, key=lambda part: (order.index(part.outcome), part.effect / part.smallest)), detail=detail)


def dilemma(results: Results) -> Verdict:
    """Uniformity falls and tolerance rises from the least temperature of 0.1 or more to the largest, and in order between."""
    from scipy.stats import spearmanr

    even, tolerant = (by_temperature(results, metric, least=0.1) for metric in ("uniformity", "tolerance"))
    if len(even.columns) < 2:
        return Verdict("undecided", detail="It needs two temperatures of 0.1 or more.")
    low, high = even.columns[0], even.columns[-1]
    parts = [
        decide_by_interval(list(even[low] - even[high]), 0.2, "uniformity"),
        decide_by_interval(list(tolerant[high] - tolerant[low]), 0.05, "tolerance"),
    ]
    means = even.assign(simple=results.by_seed("simple", "uniformity")).dropna(axis=1).mean(), tolerant.mean()
    falls, rises = (float(spearmanr(range(len(values)), values).statistic) for values in means)
    detail = f"Uniformity {listed(means[0])} (Spearman {falls:.2f}); tolerance {listed(means[1])} (Spearman {rises:.2f})."
    verdict = weakest(parts, detail)
    in_order = falls <= -0.8 and rises >= 0.8
    return verdict if in_order or verdict.outcome == "undecided" else replace(verdict, outcome="does not hold")


def reverse_u(results: Results) -> Verdict:
    """The best temperature in between against the least and against the largest."""
    scores = 100 * by_temperature(results, "few_shot")
    if len(scores.columns) < 3:
        return Verdict("undecided", detail="It needs three temperatures.")
    middle = best_by_others(scores.iloc[:, 1:-1])
    detail = f"Few-shot accuracy in percent: {listed(scores.mean())}; best in between {middle.mean():.2f}."
    return weakest([decide_by_interval(list(middle - scores.iloc[:, end]), 0.5, "points") for end in (0, -1)], detail)


def hardness_is_the_key(results: Results) -> Verdict:
    """The best contrastive loss and the hard-simple loss against the simple loss."""
    scores = 100 * by_temperature(results, "few_shot")
    simple, hard_simple = (100 * results.by_seed(arm, "few_shot") for arm in ("simple", "hard-simple"))
    if scores.empty or simple.empty or hard_simple.empty:
        return Verdict("undecided", detail="It needs the simple, the hard-simple and a contrastive loss.")
    best = best_by_others(scores)
    means = f"simple {simple.mean():.2f}, best contrastive {best.mean():.2f}, hard-simple {hard_simple.mean():.2f}"
    gains = [decide_by_interval(list((ours - simple).dropna()), 2.0, "points") for ours in (best, hard_simple)]
    return weakest(gains, f"Few-shot accuracy in percent: {means}.")


def hard_losses_keep_uniformity(results: Results) -> Verdict:
    """Half the ordinary loss's range of uniformity minus the hard loss's, over the temperatures that both have."""
    frames = [by_temperature(results, "uniformity", kind) for kind in ("tau", "hard")]
    ordinary, hard = frames[0].align(frames[1], join="inner")
    ranges = [frame.max(axis=1) - frame.min(axis=1) for frame in (ordinary, hard)]
    detail = f"Range over the temperatures: ordinary {ranges[0].mean():.3f} ({listed(ordinary.mean())}), "
    detail += f"hard {ranges[1].mean():.3f} ({listed(hard.mean())})."
    return decide_by_interval(list(ranges[0] / 2 - ranges[1]), 0.0, "below half the ordinary range", detail)


def hard_losses_ran(results: Results) -> str:
    """Why there is no range of the hard losses to look at, if so."""
    tried = sorted(set(by_temperature(results, "uniformity")) & set(by_temperature(results, "uniformity", "hard")))
    return "" if len(tried) >= 2 else f"Ordinary and hard losses share {len(tried)} temperatures in this run; a range needs two."


def listed(means) -> str:
    """Means by temperature, in words."""
    return ", ".join(f"{value:.4g} at {tau}" for tau, value in means.items())


CLAIMS = (
    Claim(
        "c1",
        "The dilemma: from temperature 0.1 to 1, uniformity falls by 0.2 or more and tolerance rises by 0.05 or more.",
        dilemma,
        "CIFAR-10 at 0.07, 0.3, 0.7 and 1: uniformity 3.86, 3.60, 3.17, 2.96; tolerance 0.04, 0.178, 0.333, 0.372 (Table 1).",
    ),
    Claim(
        "c2",
        "A middle temperature is best: few-shot accuracy is half a point or more above the smallest's and the largest's.",
        reverse_u,
        "CIFAR-10 at 0.07, 0.3, 0.7 and 1: 79.75, 83.27, 82.69 and 82.21% by a linear probe (Table 1).",
    ),
    Claim(
        "c3",
        "Hardness-awareness is the key: the best contrastive and the hard-simple loss beat the simple one by two points or more.",
        hardness_is_the_key,
        "CIFAR-10: simple 74.83%, best contrastive 83.27%, hard-simple 84.84% (Table 1).",
    ),
    Claim(
        "c4",
        "With hard negatives picked, uniformity hardly depends on the temperature: its range is at most half the ordinary loss's.",
        hard_losses_keep_uniformity,
        "CIFAR-10: from 0.07 to 1 uniformity changes by 0.03 with hard negatives, by 0.90 with all (Table 1).",
        hard_losses_ran,
    ),
)

TEMPERATURE_AXIS: dict[str, Any] = {
    "table": "dilemma", "x": "tau", "log_x": True, "x_title": "temperature τ",
    "colour": "loss", "rule": "simple loss", "dashed": ("hard negatives",),
}  # fmt: skip
ORDINARY: dict[str, Any] = {
    "dashed": ("simple loss",),
    "where": {"arm": ("simple", *(f"tau-{tau}" for tau in (0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)))},
}
VIEWS = (
    Stack(
        title="The dilemma of the temperature",
        caption="A small temperature spreads the embedding, a large one keeps classes together; accuracy peaks between. The rule "
        "is the simple loss, the end of the road to ever larger temperatures.",
        views=(
            Lines(title="Uniformity", caption="Larger: spread more evenly.", y="uniformity", **TEMPERATURE_AXIS),
            Lines(title="Tolerance", caption="Larger: classes hold together.", y="tolerance", **TEMPERATURE_AXIS),
            Lines(
                title="Accuracy",
                caption="Five labels a class.",
                y="few_shot",
                y_title="few-shot accuracy",
                y_format=".0%",
                **TEMPERATURE_AXIS,
            ),
        ),
    ),
    Bars(
        title="What the features are worth",
        caption="Accuracy of a linear probe with five labels a class. The simple loss pushes all alike; looking near pays.",
        y="few_shot",
        y_title="few-shot accuracy",
        y_format=".1%",
    ),
    Lines(
        title="Who gets the push",
        caption="The push on a negative by its similarity, as a multiple of an even share: the smaller τ, the sharper.",
        table="penalty",
        x="similarity",
        y="multiple",
        x_title="similarity to the anchor",
        y_title="times an even share",
        colour="loss",
        **ORDINARY,
    ),
    Lines(
        title="The neighbourhood of a positive",
        caption="Mean similarity of two views of a test item, at 0, and of its ten nearest others, which a small τ pushes away.",
        table="neighbours",
        x="rank",
        y="similarity",
        x_title="rank among the negatives (0 is the positive)",
        y_title="similarity to the anchor",
        colour="loss",
        **ORDINARY,
    ),
    Lines(
        title="Spreading out",
        caption="Uniformity of the test embedding while it is trained.",
        y="uniformity",
        colour="series",
        **ORDINARY,
    ),
    Embedding(
        title="The embedding itself",
        caption="Test items by class in the two directions of largest variance, during training. The simple loss uses few others.",
        where={"arm": ("tau-0.05", "tau-0.2", "tau-1.0", "simple")},
    ),
)
INPUTS = ("own", "features")

# --- one arm, one seed ------------------------------------------------------------------------------------------------

MEASURED, SHOWN = 1000, 500  # test items that spread is measured on, and those of them that the embedding's picture shows


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Trains an encoder and its projection head with the arm's loss, and measures both."""
    tau, share = temperature(arm), params.hard_share if arm.startswith("hard") else 1.0
    split = read(params, inputs)
    items, view, changes = split.train.pixels, view_of(split.train.pixels), generator("views", inputs.seed)
    order = batch_order(len(items), params.batch_size, params.steps, generator("batches", inputs.seed)).to(inputs.device)
    network: Any = "convnet" if inputs.features else params.network
    encoder, head = encoder_and_head(items.shape[1:], network, generator=generator("initial weights", inputs.seed))
    model = nn.Sequential(encoder, head).to(inputs.device)

    def loss(step: int) -> Tensor:
        batch = items[order[step]]
        with torch.autocast("cuda", torch.bfloat16, enabled=inputs.device.startswith("cuda")):
            embedded = model(view(torch.cat([batch, batch]), changes))
        first, second = normalize(embedded.float()).chunk(2)
        similarities = first @ second.T  # (batch, batch)
        positive, negatives = split_pairs(torch.stack([similarities, similarities.T]))  # both views are anchors
        chosen = hardest(negatives, share)
        value = contrastive_loss(positive, chosen, tau).mean()
        record_step(step, value, positive, chosen, tau, name_of(arm), record)
        return value

    evaluate = Evaluation(name_of(arm), params, model, split.test, record)
    train(
        loss,
        adam(model.parameters(), params.learning_rate, weight_decay=params.weight_decay),
        params.steps,
        schedule=cosine(params.steps),
        after_step=lambda done: record.progress(done, params.steps),
        evaluate=evaluate,
        every=params.every,
    )
    features = [predict(encoder, part.pixels).cpu() for part in (split.train, split.test)]
    metrics = probes(features[0], split.train.labels.cpu(), features[1], split.test.labels.cpu()) | evaluate.spread
    record.result(**metrics)
    if arm != "hard-simple":  # has no temperature, and the picture has one rule only
        kind = "simple loss" if math.isinf(tau) else "hard negatives" if share < 1 else "all negatives"
        record.table("dilemma", {"loss": kind, "tau": math.nan if math.isinf(tau) else tau, **metrics})
    record_similarities(evaluate.similarities(), tau, name_of(arm), record)


def read(params: Params, inputs: Inputs) -> Split:
    """The data on the device. Raises: ParameterError where it does not fill a batch."""
    chosen = inputs.features
    split = frozen_split(chosen.vectors, chosen.labels, chosen.classes) if chosen else load(params.data)
    if params.batch_size > len(split.train):
        raise ParameterError(f"batch_size is {params.batch_size}; there are only {len(split.train)} items to train on.")
    return Split(split.train.to(inputs.device), split.test.to(inputs.device))


class Evaluation:
    """Measures the embedding of test items during training, and keeps it at five moments from start to end.

    Attributes:
        spread: uniformity, tolerance and alignment as they were last.
    """

    def __init__(self, name: str, params: Params, model: nn.Module, test: Images, record: Recorder) -> None:
        self.name, self.model, self.record, self.test = name, model, record, test.take(slice(MEASURED))
        view, changes = view_of(test.pixels), generator("test views")  # the same pairs for every arm and seed
        self.views = [view(self.test.pixels, changes) for _ in range(2)]
        times = [*range(0, params.steps, params.every), params.steps]
        self.kept = {times[round(quarter / 4 * (len(times) - 1))] for quarter in range(5)}
        self.spread: dict[str, float] = {}

    def __call__(self, step: int, training_loss: float) -> None:
        vectors, labels = self.embed(self.test.pixels), self.test.labels.cpu()
        self.spread = {
            "uniformity": uniformity(vectors),
            "tolerance": tolerance(vectors, labels),
            "alignment": alignment(*map(self.embed, self.views)),
        }
        self.record.scalars(step, series=self.name, **self.spread)
        if step in self.kept:
            self.record.embedding(step, vectors[:SHOWN], labels[:SHOWN])

    def embed(self, pixels: Tensor) -> Tensor:
        """On the sphere, (n, d), on the CPU."""
        return normalize(predict(self.model, pixels)).cpu()

    def similarities(self) -> Tensor:
        """Of a view of each test item (rows) and another view of each (columns), (n, n)."""
        first, second = map(self.embed, self.views)
        return first @ second.T


@torch.no_grad()
def record_step(step: int, loss: Tensor, positive: Tensor, negatives: Tensor, tau: float, name: str, record: Recorder) -> None:
    """Loss and mean positive; of the first 64 anchors, which do for a mean, the ten nearest negatives and the penalty's entropy."""
    some = negatives[0, :64]
    nearest = some.topk(min(10, some.shape[1]), sorted=False).values.mean()
    spread = entropy(relative_penalty(some, tau)).mean()
    record.scalars(step, series=name, loss=loss, positive=positive.mean(), nearest=nearest, entropy=spread)


def record_similarities(similarities: Tensor, tau: float, name: str, record: Recorder) -> None:
    """How the push is shared out by similarity, in bins of a tenth, and how near the ten nearest negatives come."""
    positive, negatives = split_pairs(similarities)  # (n,), (n, n - 1)
    multiples = relative_penalty(negatives, tau) * negatives.shape[1]
    bins = (10 * negatives).floor().int()
    counts = torch.bincount(bins.flatten() + 10, minlength=21)  # from -1 to 1
    filled = [index - 10 for index in (counts >= 100).nonzero().flatten().tolist()]
    rows = [{"loss": name, "similarity": (index + 0.5) / 10, "multiple": multiples[bins == index].mean()} for index in filled]
    record.table("penalty", rows)
    nearest = negatives.topk(min(10, negatives.shape[1])).values.mean(0)
    ranked = torch.cat([positive.mean(0, keepdim=True), nearest])  # (11,)
    record.table("neighbours", [{"loss": name, "rank": rank, "similarity": value} for rank, value in enumerate(ranked)])


def name_of(arm: str) -> str:
    """How legends call the arm's loss."""
    if math.isinf(temperature(arm)):
        return f"{arm} loss"
    return ("hard, " if arm.startswith("hard") else "") + f"τ = {temperature(arm):g}"
