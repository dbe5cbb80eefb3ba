r"""A few labelled items of new classes, the support, come with many unlabelled ones, the queries. Recognising the queries is then
clustering with some labels known. On the features of an ordinary classifier even K-means, started at the support's means, rivals
elaborate few-shot training, above all with one example a class: one item is a poor prototype, and the queries repair it.

Points $x_p$ are support and queries together, $z_p$ their soft assignments to classes $k$ with prototypes $m_k$, the support's kept
at the truth; $w_{pq}=1$ where $q$ is one of the two nearest neighbours of $p$. One objective covers four methods:
$$\min_{z,m}\ \sum_{p,k}z_{pk}\,a_{pk}\;-\;\lambda\sum_{p,q}w_{pq}\,z_p^\top z_q\;+\;\sum_p z_p^\top\log z_p .$$
K-means has $a_{pk}=\|x_p-m_k\|^2$ and K-modes $a_{pk}=-e^{-\|x_p-m_k\|^2/2\sigma^2}$, with hard assignments and no graph. With the
graph they are SLK-Means and SLK-MS, and assignments come from *bound updates*, for every point by itself:
$$z_p\leftarrow\mathrm{softmax}_k\Bigl(-a_{pk}+\lambda\sum_q w_{pq}z_{qk}\Bigr).$$

1. Centre features by the mean of the base classes, give them length 1, and move a task's queries until their mean is the support's.
2. Start $m_k$ at the means of the support, and label every query by the nearest.
3. Move each $m_k$ to the mean of its points, support included, or by mean shift from where it is to a mode of their density.
4. Assign the queries anew, to the nearest prototype or by bound updates; go to 3 until the energy settles.

Reference: Imtiaz Masud Ziko, Malik Boudiaf, Jose Dolz, Eric Granger, Ismail Ben Ayed, *Transductive Few-Shot Learning: Clustering
is All You Need?*, 2021, [arXiv 2106.09516](https://arxiv.org/abs/2106.09516). The released code lets the updates overwrite the
support: here that is `clamp` off. Its $\sigma^2$ is a sum over 2 neighbours divided by 5, and so is this one. The update is the
exact bound step of the energy with $\lambda/2$ for $\lambda$: that energy is drawn; the one above decides when to stop, as in
the code. LaplacianShot comes without its own correction of prototypes; it gets the shift that all get.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from core.data import Images, load
from core.data.augmentation import flip_and_shift
from core.data.episodes import Episodes, draw_episodes, split_classes
from core.data.images import Parts
from core.data.mnist import rotated_digits
from core.measures.prototypes import centred_and_normalised, class_means, nearest_prototype, squared_distances
from core.methods.base import (
    Arm,
    Bars,
    Claim,
    Inputs,
    Lines,
    Paired,
    Paper,
    Points,
    Preset,
    Results,
    Verdict,
    decide_by_interval,
    param,
)
from core.recorder import Recorder
from core.training import adam, batch_order, generator, predict, sgd, step_decay, train
from models.convnet import ConvNet
from models.resnet import CifarResNet

# --- the algorithm, for a batch of tasks: T tasks of n points, the support first, d features, K classes -----------------


def neighbours_of(x: Tensor, count: int = 2) -> Tensor:
    """The graph w as indices (T, n, count): the nearest points of each point of x (T, n, d), itself left out."""
    distances = squared_distances(x, x)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return distances.topk(min(count, x.shape[1] - 1), largest=False).indices


def squared_bandwidth(x: Tensor, neighbours: Tensor) -> Tensor:
    """sigma^2 (T, 1, 1): the squared distances of all points to their neighbours, summed and divided by 5 n."""
    return squared_distances(x, x).gather(2, neighbours).sum((1, 2), keepdim=True) / (5 * x.shape[1])


def dissimilarity(x: Tensor, m: Tensor, sigma2: Tensor | None = None) -> Tensor:
    """a (T, K, n): squared distances of prototypes m (T, K, d) to points; with sigma^2, minus their Gaussian kernel."""
    distances = squared_distances(m, x)
    return distances if sigma2 is None else -(-distances / (2 * sigma2)).exp()


def mean_shift(x: Tensor, labels: Tensor, m: Tensor, sigma2: Tensor, tolerance: float = 1e-5, limit: int = 1000) -> Tensor:
    """Moves each prototype m (T, K, d) uphill to a mode of the density of its points, until its coordinates hardly change."""
    weight = (-x.square().sum(2) / (2 * sigma2[:, 0])).unsqueeze(1)  # the kernel's logarithm up to what cancels
    weight = weight.masked_fill(one_hot(labels, m.shape[1]).mT == 0, -torch.inf)  # (T, K, n)
    m, moving, at_work = m.clone(), torch.ones_like(m[..., :1], dtype=torch.bool), torch.arange(len(m), device=m.device)
    for _ in range(limit):
        points, start = x[at_work], m[at_work]
        moved = (start @ points.mT / sigma2[at_work] + weight[at_work]).softmax(2) @ points
        m[at_work] = torch.where(moving[at_work], moved, start)
        moving[at_work] &= (moved - start).abs().amax(2, keepdim=True) >= tolerance * start.abs().amax(2, keepdim=True)
        at_work = at_work[moving[at_work].any(1).squeeze(1)]
        if not len(at_work):
            break
    return m


def potential(z: Tensor, a: Tensor, neighbours: Tensor, strength: float) -> Tensor:
    """u = a - lambda w z (T, K, n): what it costs to put a point into a class while its neighbours are as z says."""
    votes = sum(z.gather(2, nearest[:, None].expand_as(z)) for nearest in neighbours.unbind(2))
    return a - strength * votes


def energy(z: Tensor, u: Tensor) -> Tensor:
    """The objective (T,): z u + z log z, summed over points and classes; hard assignments have no entropy."""
    return (z * (u + z.clamp(min=1e-20).log())).sum((1, 2))


def bound_updates(
    a: Tensor,
    neighbours: Tensor,
    strength: float,
    support: Tensor,
    *,
    clamp: bool = True,
    limit: int = 600,
    tolerance: float = 1e-7,
) -> Iterator[Tensor]:
    """Yields z (T, K, n) at the start, softmax(-a) with the support at the truth, and after every update; the last is the result.

    A task is done when its energy changes by no more than `tolerance` of itself, from the third update on.

    Args:
        support: (T, K, s) the truth on the first s points. With `clamp` they stay there; without, only the start knows it.
    """
    s = support.shape[2]
    z = (-a).softmax(1)
    z[:, :, :s] = support
    yield z
    u, before = potential(z, a, neighbours, strength), torch.full_like(a[:, 0, 0], torch.nan)
    running = torch.ones_like(before, dtype=torch.bool)
    for update in range(1, limit + 1):
        updated = (-u).softmax(1)
        if clamp:
            updated[:, :, :s] = support
        z = torch.where(running[:, None, None], updated, z)
        yield z
        u = potential(z, a, neighbours, strength)
        now = energy(z, u)
        if update > 2:
            running = running & ((now - before).abs() > tolerance * before.abs())
            if not running.any():
                return
        before = now


def assign(a: Tensor, neighbours: Tensor, strength: float | None, support: Tensor, clamp: bool = True) -> Tensor:
    """z (T, K, n): every point to its nearest prototype, or, given a `strength`, where bound updates end."""
    if strength is not None:
        *_, z = bound_updates(a, neighbours, strength, support, clamp=clamp)
        return z
    z = one_hot(a.argmin(1), a.shape[1]).mT.to(a)
    if clamp:
        z[:, :, : support.shape[2]] = support
    return z


class Clustering(NamedTuple):
    """Where tasks stand: prototypes m (T, K, d), labels (T, n) of all points, energy (T,) without entropy (NaN at the start)."""

    m: Tensor
    labels: Tensor
    energy: Tensor


def cluster(
    x: Tensor,
    support_labels: Tensor,
    ways: int,
    *,
    modes: bool = False,
    strength: float | None = None,
    clamp: bool = True,
    limit: int = 100,
) -> Iterator[Clustering]:
    """Yields the start and every iteration of K-means or, with `modes`, K-modes; given a `strength`, lambda, of SLK.

    The last is the result. A task is done when its energy changes by no more than 1e-4 of itself, from the third iteration on, or
    when a class would be left without points, which only happens without `clamp`.

    Args:
        x: (T, n, d) the support's s points, then the queries. support_labels: (T, s) from 0 to ways - 1.
    """
    s = support_labels.shape[1]
    support = one_hot(support_labels, ways).mT.to(x)  # (T, K, s)
    neighbours = neighbours_of(x)
    sigma2 = squared_bandwidth(x, neighbours)
    m = class_means(x[:, :s], support_labels, ways)
    labels = torch.cat([support_labels, nearest_prototype(x[:, s:], m)], dim=1)
    before = torch.full_like(x[:, 0, 0], torch.nan)
    yield Clustering(m, labels, before)
    at_work = torch.arange(len(x), device=x.device)  # tasks that are not done
    for iteration in range(1, limit + 1):
        points, old, truth, graph, width = (part[at_work] for part in (x, labels, support, neighbours, sigma2))
        moved = mean_shift(points, old, m[at_work], width) if modes else class_means(points, old, ways)
        a = dissimilarity(points, moved, width if modes else None)
        z = assign(a, graph, strength, truth, clamp)
        new, now = z.argmax(1), (z * potential(z, a, graph, strength or 0.0)).sum((1, 2))
        full = one_hot(new, ways).any(1).all(1)
        going_on = full & ((now - before[at_work]).abs() > 1e-4 * before[at_work].abs()) if iteration > 2 else full
        m, labels, before = m.clone(), labels.clone(), before.clone()
        m[at_work[full]], labels[at_work[full]], before[at_work[full]] = moved[full], new[full], now[full]
        yield Clustering(m, labels, before)
        at_work = at_work[going_on]
        if not len(at_work):
            return


def laplacian_shot(queries: Tensor, m: Tensor, strength: float) -> Tensor:
    """Labels (T, queries) by bound updates of the queries alone, around prototypes that stay put (Ziko et al. 2020)."""
    a, nobody = squared_distances(m, queries), m.new_zeros(*m.shape[:2], 0)
    *_, z = bound_updates(a, neighbours_of(queries), strength, nobody, limit=20, tolerance=1e-6)
    return z.argmax(1)


def recognise(
    arm: str, support: Tensor, support_labels: Tensor, queries: Tensor, ways: int, strength: float | None = None, clamp: bool = True
) -> Tensor:
    """Labels (T, queries) that an arm gives to queries (T, queries, d), by the support (T, s, d) and its labels (T, s)."""
    m = class_means(support, support_labels, ways)
    if arm == "ncm":
        return nearest_prototype(queries, m)
    queries = shifted(queries, support)
    if arm == "ncm-shift":
        return nearest_prototype(queries, m)
    if arm == "laplacian-shot":
        return laplacian_shot(queries, m, strength or 0.0)
    x = torch.cat([support, queries], dim=1)
    *_, last = cluster(x, support_labels, ways, modes=arm in MODES, strength=strength, clamp=clamp)
    return last.labels[:, support.shape[1] :]


def shifted(queries: Tensor, support: Tensor) -> Tensor:
    """Queries (T, queries, d) moved so that their mean is that of the support (T, s, d)."""
    return queries + support.mean(1, keepdim=True) - queries.mean(1, keepdim=True)


# --- declaration ------------------------------------------------------------------------------------------------------

PAPER = Paper(
    slug="transductive-clustering",
    title="Transductive Few-Shot Learning: Clustering is All You Need?",
    authors="Imtiaz Masud Ziko, Malik Boudiaf, Jose Dolz, Eric Granger, Ismail Ben Ayed",
    year=2021,
    venue="arXiv preprint",
    family="metric_learning",
    arxiv="2106.09516",
    idea="When the items to recognise come all at once, clustering them around the few labelled examples is hard to beat.",
    equation=r"\min_{z,m}\ \sum_{p,k}z_{pk}\,a_{pk}-\lambda\sum_{p,q}w_{pq}\,z_p^\top z_q+\sum_p z_p^\top\log z_p",
    code="https://github.com/imtiazziko/SLK-few-shot",
)

MODES = ("k-modes", "slk-ms")
WITH_GRAPH = ("laplacian-shot", "slk-means", "slk-ms")
STRENGTHS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
DATA = ("rotated-digits", "uoft-cs/cifar100")


@dataclass(frozen=True)
class Params:
    """What can be set. Where features are given, what concerns data, network and training does not matter."""

    data: str = param("rotated-digits", "Where classes come from; uoft-cs/cifar100 is on the Hub.", choices=DATA)
    network: str = param("conv-3", "Three convolutions, or a ResNet-20 four times as wide.", choices=("conv-3", "resnet-20"))
    steps: int = param(400, "Training steps of the network on the base classes.", low=1, high=200_000)
    batch_size: int = param(100, "Images in a step.", low=1, high=4096)
    learning_rate: float = param(1e-3, "Of Adam; for ResNet-20, of SGD with momentum 0.9.", low=0, high=10)
    ways: int = param(5, "K, the classes of a task.", low=2, high=26)
    queries: int = param(15, "Unlabelled items of each class in a task.", low=1, high=500)
    tasks: int = param(300, "Tasks of novel classes, of every kind.", low=1, high=100_000)
    strengths: tuple[float, ...] = param(STRENGTHS, "Values of lambda to choose from on known classes.", low=0, high=100)
    validation_tasks: int = param(100, "Tasks of known classes to choose lambda by.", low=1, high=100_000)
    sweep: tuple[int, ...] = param((1, 5, 15, 50), "Queries of each class in further 1-shot tasks.", low=1, high=500)
    evenness: float = param(2.0, "Dirichlet parameter by which uneven tasks share out their queries.", low=0.01, high=1000)
    clamp: bool = param(True, "Keeps the support at the truth after every update, as the objective demands.")


FIRST = ("ncm",)
ARMS = (
    Arm("ncm", "Nearest prototype", "To the nearest mean of the support; this arm trains the network that all use."),
    Arm("ncm-shift", "Nearest prototype, shifted", "The same after the queries' mean is moved onto the support's.", after=FIRST),
    Arm("laplacian-shot", "LaplacianShot", "Neighbouring queries agree, prototypes stay where they are.", after=FIRST),
    Arm("k-means", "K-means", "Prototypes move to the means of their points.", "method", FIRST),
    Arm("k-modes", "K-modes", "Prototypes move to modes of their points.", "method", FIRST),
    Arm("slk-means", "SLK-Means", "K-means in which neighbours agree.", "method", FIRST),
    Arm("slk-ms", "SLK-MS", "K-modes in which neighbours agree.", "method", FIRST),
)

QUICK = {"steps": 150, "tasks": 60, "strengths": (0.3,), "validation_tasks": 20}
SMALL = {"ways": 3, "queries": 5, "sweep": (1, 5)}
CIFAR = {"data": "uoft-cs/cifar100", "network": "resnet-20", "steps": 22_500, "batch_size": 128, "learning_rate": 0.1}
PRESETS = {
    "smoke": Preset(3, (0, 1), QUICK | SMALL | {"steps": 5, "tasks": 4, "validation_tasks": 4}),
    "quick": Preset(35, (0, 1, 2), QUICK),
    "standard": Preset(240, (0, 1, 2, 3, 4, 5, 6, 7)),
    "paper": Preset(3600, (0, 1, 2), CIFAR | {"tasks": 10_000, "validation_tasks": 1000}, needs="cuda"),
}


def nothing_to_gain(results: Results) -> str:
    """Why no gain of 3 points is possible, where the baseline is nearly perfect."""
    accuracy = results.by_seed("ncm", "one_shot").mean()
    return f"Nearest prototypes get {accuracy:.1f}% of 1-shot tasks right: 3 points are not left to gain." if accuracy > 97 else ""


def gain_shrinks(results: Results) -> Verdict:
    """What K-means gains over nearest prototypes with one shot, minus the same with five."""
    one, five = (results.by_seed("k-means", shots) - results.by_seed("ncm", shots) for shots in ("one_shot", "five_shot"))
    detail = f"K-means gains {one.mean():.2f} points with one shot, {five.mean():.2f} with five."
    return decide_by_interval(list((one - five).dropna()), 1.0, "points", detail)


def graph_helps(results: Results) -> Verdict:
    """1-shot accuracy of SLK minus the same algorithm at lambda = 0, mean of SLK-Means and SLK-MS."""
    means, modes = (results.by_seed(arm, "one_shot") - results.by_seed(arm, "one_shot_no_graph") for arm in ("slk-means", "slk-ms"))
    detail = f"SLK-Means {means.mean():+.2f} points, SLK-MS {modes.mean():+.2f} points."
    return decide_by_interval(list(((means + modes) / 2).dropna()), 0.3, "points", detail)


CLAIMS = (
    Claim(
        "c1",
        "Plain K-means beats nearest prototypes in 1-shot tasks by 3 points or more.",
        Paired("one_shot", "k-means", "ncm", 3.0, unit="points"),
        "mini-ImageNet, wide residual network, 1-shot: K-means 73.80, nearest prototypes (SimpleShot) 65.87 (the code's README).",
        nothing_to_gain,
    ),
    Claim(
        "c2",
        "Clustering matters most where labels are fewest: K-means gains a point more with one shot than with five.",
        gain_shrinks,
        "K-means minus nearest prototypes: 7.93 points with one shot, 2.53 with five (the same table).",
        nothing_to_gain,
    ),
    Claim(
        "c3",
        "Modes are better prototypes than means: K-modes beats K-means in 1-shot tasks by half a point or more.",
        Paired("one_shot", "k-modes", "k-means", 0.5, unit="points"),
        "1-shot: K-modes 74.78, K-means 73.80 (the same table).",
    ),
    Claim(
        "c4",
        "The graph helps: SLK, lambda chosen on known classes, beats itself at lambda = 0 in 1-shot tasks by 0.3 points or more.",
        graph_helps,
        "1-shot: SLK-Means 74.75 against K-means 73.80, SLK-MS 75.17 against K-modes 74.78 (the same table).",
    ),
)

VIEWS = (
    Points(
        title="Prototypes slide into the middle of the clouds",
        caption="One 1-shot task of each seed in its first two principal directions. K-means starts at the labelled points.",
        table="task",
        x="x",
        y="y",
        colour="cluster",
        shape="what",
        facet="seed",
        frame="iteration",
        segments="paths",
        x_title="first direction",
        y_title="second direction",
        where={"arm": "k-means"},
    ),
    Bars(
        title="How many queries are recognised",
        caption="Clustering gains most with one shot. In uneven tasks queries are shared out by chance, and the shift misleads.",
        table="accuracy",
        y="accuracy",
        facet="setting",
        y_title="accuracy (%)",
    ),
    Lines(
        title="More queries, better prototypes",
        caption="What each method gains over nearest prototypes in the same 1-shot tasks.",
        table="sweep",
        x="queries",
        y="gain",
        log_x=True,
        x_title="queries of each class",
        y_title="gain (points)",
    ),
    Lines(
        title="Iteration by iteration",
        caption="Accuracy while 1-shot tasks are clustered: it is watched, nothing stops or is chosen by it.",
        y="query_accuracy",
        x_title="iteration",
        y_title="accuracy (%)",
    ),
    Lines(
        title="Bound updates go downhill",
        caption="Energy with half of lambda, above where it ends; mean of 1-shot tasks. The first updates do most of the work.",
        table="descent",
        x="update",
        y="energy",
        colour="iteration",
        facet="arm",
        x_title="bound update",
        y_title="energy above its end",
    ),
    Lines(
        title="What lambda is chosen by",
        caption="What the graph gains over lambda = 0 in tasks of known classes, where lambda is chosen for each number of shots.",
        table="strengths",
        x="strength",
        y="gain",
        colour="shots",
        facet="arm",
        x_title="lambda",
        y_title="gain (points)",
    ),
)
INPUTS = ("own", "features")

# --- features: of a network trained on the base classes, or given -------------------------------------------------------


def own_parts(params: Params, seed: int) -> Parts:
    """Base, validation and novel images. With digits, validation is on images of the base classes that were not trained on."""
    if params.data != "rotated-digits":
        return split_classes(load(params.data).train, ways=params.ways, rng=np.random.default_rng(1000 + seed))
    known, novel = rotated_digits(seed)
    index = torch.arange(len(known)).view(len(known.classes), -1)  # sorted by class, 500 each
    return Parts(known.take(index[:, :-100].flatten()), known.take(index[:, -100:].flatten()), novel)


def base_network(images: Images, params: Params, inputs: Inputs, record: Recorder) -> nn.Module:
    """A network trained by cross-entropy with label smoothing 0.1 to tell the base classes apart, without its last layer."""
    pixels, labels = images.pixels.to(inputs.device), images.labels.unique(return_inverse=True)[1].to(inputs.device)
    classes, (channels, height, width) = int(labels.max()) + 1, pixels.shape[1:]
    source, changes = (generator(stream, inputs.seed) for stream in ("initial weights", "augmentation"))
    large = params.network == "resnet-20"
    network: ConvNet | CifarResNet
    optimiser: torch.optim.Optimizer
    if large:
        network = CifarResNet(20, classes, channels=channels, width=64, generator=source).to(inputs.device)
        optimiser = sgd(network.parameters(), params.learning_rate, weight_decay=5e-4)
    else:
        network = ConvNet((channels, height, width), (32, 32, 32), classes, generator=source).to(inputs.device)
        optimiser = adam(network.parameters(), params.learning_rate)
    order = batch_order(len(labels), params.batch_size, params.steps, generator("batches", inputs.seed)).to(inputs.device)

    def loss(step: int) -> Tensor:
        batch = pixels[order[step]]
        logits = network(flip_and_shift(batch, changes) if large else batch)
        return cross_entropy(logits, labels[order[step]], label_smoothing=0.1)

    schedule = step_decay([params.steps // 2, 3 * params.steps // 4]) if large else None
    train(loss, optimiser, params.steps, schedule=schedule, after_step=lambda done: record.progress(done, params.steps + 1))
    network.output = nn.Identity()
    return network


def features(params: Params, inputs: Inputs, record: Recorder) -> dict[str, tuple[Tensor, Tensor]]:
    """Vectors, centred by the base classes and of length 1, and labels: of known classes ("validation") and of novel ones."""
    if inputs.features is not None:
        given = inputs.features
        items = Images(torch.as_tensor(given.vectors).float(), torch.as_tensor(given.labels).long(), given.classes)
        parts = split_classes(items, ways=params.ways, rng=np.random.default_rng(1000 + inputs.seed))
        network: nn.Module = nn.Identity()
    else:
        parts = own_parts(params, inputs.seed)
        network = base_network(parts.train, params, inputs, record)
    base, validation, novel = (
        predict(network, part.pixels.to(inputs.device), 500).cpu() for part in (parts.train, parts.validation, parts.test)
    )
    mean = base.mean(0)
    return {
        "validation": (centred_and_normalised(validation, mean), parts.validation.labels),
        "novel": (centred_and_normalised(novel, mean), parts.test.labels),
    }


# --- one arm, one seed ------------------------------------------------------------------------------------------------

AT_ONCE = {"cpu": 50, "cuda": 500}  # tasks: few fit the cache, and need not wait for a slow one among many
ITERATIONS_SHOWN, UPDATES_SHOWN = 8, 6


class Kind(NamedTuple):
    """A kind of task: labelled items and queries of each class; with a concentration, queries are shared out by chance."""

    shots: int
    queries: int
    concentration: float | None = None

    @property
    def title(self) -> str:
        return f"{self.shots}-shot" + (", uneven" if self.concentration else "")


class Bench:
    """The features of one seed, and tasks drawn from them: the same for every arm."""

    def __init__(self, parts: dict[str, tuple[Tensor, Tensor]], params: Params, inputs: Inputs) -> None:
        self.params, self.seed = params, inputs.seed
        device = inputs.device if inputs.device in AT_ONCE else "cpu"  # others have no 64 bits
        self.vectors = {name: vectors.to(device, torch.float64) for name, (vectors, _) in parts.items()}
        self.labels = {name: labels for name, (_, labels) in parts.items()}
        self.at_once = AT_ONCE[device]
        self.found: dict[tuple[Any, ...], float] = {}

    def fits(self, kind: Kind) -> bool:
        """Whether every novel class has the items for such tasks."""
        most = kind.queries * (self.params.ways if kind.concentration else 1)
        return kind.shots + most <= int(self.labels["novel"].unique(return_counts=True)[1].min())

    def batches(self, part: str, kind: Kind) -> Iterator[Episodes]:
        numbers = (self.seed, kind.shots, kind.queries, int(100 * (kind.concentration or 0)))
        rng = np.random.default_rng(generator(f"{part} tasks", *numbers).initial_seed())
        tasks = self.params.tasks if part == "novel" else self.params.validation_tasks
        drawn = draw_episodes(self.labels[part], tasks=tasks, ways=self.params.ways, rng=rng, **kind._asdict())
        return drawn.to(self.vectors[part].device).batches(self.at_once)

    def accuracy(self, arm: str, kind: Kind, strength: float | None = None, part: str = "novel") -> float:
        """The share of queries that an arm recognises, in percent, mean over tasks."""
        asked = (arm, kind, strength, part)
        if asked not in self.found:
            right = []
            for tasks in self.batches(part, kind):
                support, queries = tasks.of(self.vectors[part])
                labels = recognise(arm, support, tasks.support_labels, queries, tasks.ways, strength, self.params.clamp)
                right.append((labels == tasks.query_labels).double().mean(1))
            self.found[asked] = 100 * torch.cat(right).mean().item()
        return self.found[asked]


def choose_strength(arm: str, shots: int, bench: Bench, record: Recorder) -> float:
    """The lambda that recognises most in tasks of known classes, the smallest of equals."""
    kind, candidates = Kind(shots, bench.params.queries), sorted(bench.params.strengths)
    accuracy = {strength: bench.accuracy(arm, kind, strength, "validation") for strength in (0.0, *candidates)}
    rows = [{"shots": kind.title, "strength": strength, "gain": found - accuracy[0.0]} for strength, found in accuracy.items()]
    record.table("strengths", rows)
    return max(candidates, key=accuracy.__getitem__)


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Recognises the queries of the same tasks as every arm; the first arm makes the features that all use."""
    if arm == "ncm":
        parts = features(params, inputs, record)
        for name, (vectors, labels) in parts.items():
            record.embedding(0, vectors, labels, name=name)
    else:
        arrays = {(r.name, r.part): torch.tensor(r.array) for r in inputs.recorded["ncm"] if r.kind == "embedding"}
        parts = {name: (arrays[name, "vectors"], arrays[name, "labels"]) for name in ("validation", "novel")}
    bench = Bench(parts, params, inputs)
    strengths: dict[int, float | None] = {}
    for shots, metric in ((1, "one_shot"), (5, "five_shot")):
        strengths[shots] = choose_strength(arm, shots, bench, record) if arm in WITH_GRAPH else None
        kind, uneven = Kind(shots, params.queries), Kind(shots, params.queries, params.evenness)
        accuracy = bench.accuracy(arm, kind, strengths[shots])
        record.result(**{metric: accuracy})
        record.table("accuracy", {"setting": kind.title, "accuracy": accuracy})
        if bench.fits(uneven):
            record.table("accuracy", {"setting": uneven.title, "accuracy": bench.accuracy(arm, uneven, strengths[shots])})
        if arm != "ncm":  # whose training was the work
            record.progress(shots, 6 + len(params.sweep))
    for done, kind in enumerate((Kind(1, queries) for queries in params.sweep), start=6):
        if arm != "ncm" and bench.fits(kind):
            gain = bench.accuracy(arm, kind, strengths[1]) - bench.accuracy("ncm", kind)
            record.table("sweep", {"queries": kind.queries, "gain": gain})
            record.progress(done, 6 + len(params.sweep))
    if arm in ("slk-means", "slk-ms"):
        record.result(one_shot_no_graph=bench.accuracy(arm, Kind(1, params.queries), 0.0))
    if arm not in ("ncm", "ncm-shift", "laplacian-shot"):
        watch(arm, bench, strengths[1], record)


# --- pictures: how the first 1-shot tasks are clustered -------------------------------------------------------------------


def watch(arm: str, bench: Bench, strength: float | None, record: Recorder) -> None:
    """Records every iteration for a batch of tasks, and the first task point by point. Nothing is decided by it."""
    tasks, params = next(bench.batches("novel", Kind(1, bench.params.queries))), bench.params
    support, queries = tasks.of(bench.vectors["novel"])
    x, labels = torch.cat([support, shifted(queries, support)], dim=1), tasks.support_labels
    states = list(cluster(x, labels, params.ways, modes=arm in MODES, strength=strength, clamp=params.clamp))
    states = (states + [states[-1]] * ITERATIONS_SHOWN)[: ITERATIONS_SHOWN + 1]  # what is done stays as it is
    for iteration, state in enumerate(states):
        right = (state.labels[:, support.shape[1] :] == tasks.query_labels).double().mean()
        record.scalars(iteration, query_accuracy=100 * right)
        if iteration:
            changes = (state.labels != states[iteration - 1].labels).double().sum(1).mean()
            record.scalars(iteration, label_changes=changes, energy=state.energy.mean())
    record_task(states, x[0].cpu(), tasks.query_labels[0].tolist(), record)
    if strength is not None:
        neighbours = neighbours_of(x)
        sigma2 = squared_bandwidth(x, neighbours) if arm in MODES else None
        truth, rows = one_hot(labels, params.ways).mT.to(x), []
        for iteration, state in enumerate(states[1:4], start=1):
            a = dissimilarity(x, state.m, sigma2)
            updates = bound_updates(a, neighbours, strength, truth, clamp=params.clamp, limit=10 * UPDATES_SHOWN, tolerance=0)
            energies = [energy(z, potential(z, a, neighbours, strength / 2)).mean().item() for z in updates]
            above = [now - energies[-1] for now in energies[: UPDATES_SHOWN + 1]]
            rows += [{"iteration": iteration, "update": update, "energy": now} for update, now in enumerate(above)]
        record.table("descent", rows)


def record_task(states: list[Clustering], x: Tensor, truth: list[int], record: Recorder) -> None:
    """The points (n, d) of the first task and its prototypes in the plane of the points' first two principal directions."""
    s, centre = len(x) - len(truth), x.mean(0)
    plane = torch.linalg.svd(x - centre, full_matrices=False).Vh[:2].T  # (d, 2)
    points, rows, paths = ((x - centre) @ plane).tolist(), [], []
    prototypes = [((state.m[0].cpu() - centre) @ plane).tolist() for state in states]
    for iteration, state in enumerate(states):
        labels = state.labels[0].tolist()
        kinds = ["labelled"] * s + ["query" if k == true else "query, wrong" for k, true in zip(labels[s:], truth, strict=True)]
        shown = [*zip(points, labels, kinds, strict=True), *((at, k, "prototype") for k, at in enumerate(prototypes[iteration]))]
        rows += [{"iteration": iteration, "x": x, "y": y, "cluster": ascii_uppercase[k], "what": what} for (x, y), k, what in shown]
        for before, after in pairwise(prototypes[: iteration + 1]):
            ends = zip(before, after, strict=True)
            paths += [{"iteration": iteration, "x": x, "y": y, "x2": x2, "y2": y2} for (x, y), (x2, y2) in ends]
    record.table("task", rows)
    record.table("paths", paths)
