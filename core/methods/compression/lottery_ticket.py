r"""A pruned network is usually hard to train from scratch. Yet a dense, randomly initialised network contains a sparse subnetwork
that, trained alone *from its own initial weights*, matches the dense network in at most as many steps: a winning ticket. It is
found by training, pruning the smallest weights, putting the survivors back to where they started, and repeating. The mask alone
is not enough: with fresh weights in the same mask, training is slower and ends lower.

$$\text{There is a mask}\ m\in\{0,1\}^{|\theta|},\ \|m\|_0\ll|\theta|,\ \text{such that}\ f(x;\,m\odot\theta_0)\
\text{trains to the accuracy of}\ f(x;\,\theta_0)\ \text{in as many steps.}$$

The mask is on weights only, never on biases or normalisation:

1. start with $m=1$ and keep the initial weights $\theta_0$;
2. train $f(\cdot\,;m\odot\theta)$ from $m\odot\theta_0$ for $T$ steps to $\theta_T$;
3. in each layer $l$ remove the $\mathrm{round}(p_l n_l)$ of its $n_l$ survivors with the smallest $|\theta_T|$;
4. put the survivors and all biases back to $\theta_0$ and go to 2, with a fresh optimiser and the same order of batches.

The output layer is pruned at half the rate. For deep convolutional networks one threshold serves all layers (`scope`) and the
learning rate warms up; later work rewinds to an early step instead of 0 (`rewind`).

Densities count weights, not biases; early stopping looks at validation images only. The released MNIST code removes one weight
more a layer than asked for, here it is exactly that number. ResNet-20 learns from mirrored and shifted images.

On a model of the Hub the pretrained variant runs: $\theta_0$ are the *pretrained* weights under a new head, every round fine-tunes
from them, and `reinit` draws only the head anew. That is not the paper's claim about random initial weights, which stays untested.

Reference: Jonathan Frankle, Michael Carbin, *The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks*, ICLR
2019, arXiv:1803.03635.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.data import load
from core.data.augmentation import flip_and_shift
from core.measures.masks import density, drop_lowest, layer_densities, shuffled
from core.methods.base import (
    Arm,
    Claim,
    Heatmap,
    Histogram,
    Inputs,
    Lines,
    Outcome,
    PairedRows,
    Paper,
    ParameterError,
    Preset,
    Results,
    Verdict,
    param,
)
from core.recorder import Recorder
from core.training import adam, batch_order, generator, predict, sgd, step_decay, train, warm_up
from models.mlp import mlp
from models.pretrained import PretrainedClassifier
from models.resnet import CifarResNet
from models.weights import Masked, connection_weights

# --- the algorithm, on the named weights of any torch module ----------------------------------------------------------


def pruning_rates(weights: Mapping[str, Tensor], rate: float) -> dict[str, float]:
    """p for every layer, half of it for the last: at the full rate extreme sparsity would cut classes off."""
    *_, output = weights
    return dict.fromkeys(weights, rate) | {output: rate / 2}


def prune(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], rates: Mapping[str, float]) -> dict[str, Tensor]:
    """Step 3: in each layer the round(p n) of its n survivors with the smallest magnitude go, ties by index; none comes back."""
    return {name: drop_lowest(weights[name].abs(), mask, round(rates[name] * int(mask.sum()))) for name, mask in masks.items()}


def prune_globally(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Step 3 with one threshold: the round(p n) of all n survivors with the smallest magnitude go, whichever their layer."""
    magnitudes = torch.cat([weights[name].abs().flatten() for name in masks])
    alive = torch.cat([mask.flatten() for mask in masks.values()])
    kept = drop_lowest(magnitudes, alive, round(rate * int(alive.sum())))
    parts = kept.split([mask.numel() for mask in masks.values()])
    return {name: part.view_as(mask) for (name, mask), part in zip(masks.items(), parts, strict=True)}


def same_sign(weights: Mapping[str, Tensor], source: torch.Generator) -> dict[str, Tensor]:
    """For each weight a value drawn from its layer's weights of the same sign: the released code's milder reinitialisation."""
    drawn = {name: weight.clone() for name, weight in weights.items()}
    for name, weight in weights.items():
        for chosen in (weight > 0, weight < 0):
            pool = weight[chosen]
            if len(pool):
                drawn[name][chosen] = pool[torch.randint(len(pool), (len(pool),), generator=source).to(pool.device)]
    return drawn


# --- declaration ------------------------------------------------------------------------------------------------------

PAPER = Paper(
    slug="lottery-ticket",
    title="The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks",
    authors="Jonathan Frankle, Michael Carbin",
    year=2018,
    venue="ICLR 2019",
    family="compression",
    arxiv="1803.03635",
    idea="A dense network hides a sparse one that trains just as well alone, if it starts from its own initial weights.",
    equation=r"f(x;\,m\odot\theta_0)\ \text{trains to the accuracy of}\ f(x;\,\theta_0)\ \text{with}\ \|m\|_0\ll|\theta|",
    code="https://github.com/google-research/lottery-ticket-hypothesis",
)

DATA = ("mnist-5k", "ylecun/mnist", "uoft-cs/cifar10")


@dataclass(frozen=True)
class Params:
    """What can be set."""

    data: str = param("mnist-5k", "Images to learn; those named owner/name come from the Hub.", choices=DATA)
    network: str = param("mlp", "An MLP with 300 and 100 hidden units, or ResNet-20.", choices=("mlp", "resnet-20"))
    steps: int = param(1200, "T, the training steps of every round.", low=1, high=200_000)
    every: int = param(20, "Steps between evaluations: as finely is the early-stopping step known.", low=1, high=10_000)
    batch_size: int = param(60, "Images in a step.", low=1, high=4096)
    optimiser: str = param("adam", "Adam, or SGD with momentum 0.9.", choices=("adam", "sgd"))
    learning_rate: float = param(1.2e-3, "The optimiser's, after the warm-up.", low=0, high=10)
    warm_up: int = param(0, "Steps over which the learning rate rises; deep networks need it.", low=0, high=100_000)
    decays: tuple[float, ...] = param((1.0,), "Parts of the training after which the rate falls to a tenth.", low=0, high=1)
    weight_decay: float = param(0.0, "L2 penalty on all parameters.", low=0, high=1)
    augment: bool = param(False, "Mirrors and shifts training images at random.")
    validation: int = param(500, "Training images held out for early stopping.", low=1, high=20_000)
    prune: float = param(0.2, "p, the share of the survivors removed in a round.", low=0, high=0.99)
    scope: str = param("layer", "Prune layer by layer, or by one threshold for all.", choices=("layer", "global"))
    rounds: int = param(16, "Rounds of pruning.", low=1, high=40)
    compare_every: int = param(2, "Arms that do not prune for themselves train at every so many rounds.", low=1, high=40)
    rewind: int = param(0, "The step whose weights the survivors go back to; 0 as in the paper.", low=0, high=100_000)


NEEDED = ("dense", "ticket")
ARMS = (
    Arm("dense", "Dense network", "All weights, trained once; the first round prunes its trained weights."),
    Arm("ticket", "Winning ticket", "Train, prune, rewind, repeat.", role="method", after=("dense",)),
    Arm("reinit", "New weights", "The ticket's mask, weights drawn afresh from the initial distribution.", after=NEEDED),
    Arm("random-mask", "Random mask", "The initial weights; as many survive in each layer, in random places.", after=NEEDED),
    Arm("same-sign", "New weights, same sign", "The ticket's mask, initial weights of the same sign.", "ablation", NEEDED),
    Arm("one-shot", "Pruned once", "Every density straight from the dense run, rewound.", "ablation", ("dense",)),
    Arm("fine-tune", "Not rewound", "Pruned round by round, trained on from where it is.", "ablation", ("dense",)),
)

FULL_MNIST = {"data": "ylecun/mnist", "validation": 5000, "steps": 50_000, "every": 100, "rounds": 20}
CIFAR = {"data": "uoft-cs/cifar10", "network": "resnet-20", "augment": True, "validation": 5000, "batch_size": 128}
EPOCH = 45_000 // 128
SGD = {"optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4, "warm_up": 2 * EPOCH, "decays": (0.5, 0.75)}
GLOBAL = {"scope": "global", "rounds": 8, "steps": 40 * EPOCH, "every": EPOCH}
INPUTS = ("own", "weights")
PRESETS = {  # the time of the two that need a GPU is an estimate
    "smoke": Preset(2, (0, 1), {"steps": 10, "every": 10, "prune": 0.75, "rounds": 2, "compare_every": 1}),
    "quick": Preset(40, (0, 1, 2), {"steps": 300, "prune": 0.6, "rounds": 4, "compare_every": 1}),
    "standard": Preset(400, (0, 1, 2)),
    "paper": Preset(3600, (0, 1, 2, 3, 4), FULL_MNIST, needs="cuda"),
    "paper-resnet": Preset(3600, (0,), CIFAR | SGD | GLOBAL, needs="cuda"),
}


def is_pretrained(results: Results) -> str:
    """The claims are about random initial weights."""
    if "pretrained" not in results.metrics:
        return ""
    return (
        "This run is the pretrained variant: it rewinds to the weights of a Hub model, and the claim is about random initial ones."
    )


def matches_dense(results: Results) -> Verdict:
    """The smallest density whose mean final accuracy is at most half a point below the dense network's: 25% or less holds."""
    from core.measures.statistics import bootstrap_interval

    dense, ticket = (results.grid("rounds", arm, "round", "final_accuracy") for arm in ("dense", "ticket"))
    if dense.empty or ticket.empty:
        return Verdict("undecided", detail="It needs the arms dense and ticket.")
    gaps = ticket.sub(dense[0], axis=0).dropna()  # (seeds, rounds)
    left = 100 * results.grid("rounds", "ticket", "round", "density").mean()

    def smallest(seeds: np.ndarray) -> float:
        matching = gaps.iloc[seeds].mean() >= -0.5
        return float(left[matching].min()) if matching.any() else 100.0

    effect, low, high = bootstrap_interval(smallest, len(gaps))
    listed = ", ".join(f"{gap:+.2f} at {left[number]:.3g}%" for number, gap in gaps.mean().items())
    outcome: Outcome = "undecided" if len(gaps) < 2 else "holds" if effect <= 25 else "does not hold"
    detail = f"Ticket minus dense, in points, by the share of weights left: {listed}. The interval resamples seeds."
    return Verdict(outcome, effect, low, high, len(gaps), 25, "% of the weights", detail)


def learns_faster(results: Results) -> Verdict:
    """Steps that tickets take to the dense network's loss over those of new weights, both in the mean: 0.8 or less holds."""
    from core.measures.statistics import bootstrap_interval

    rows = PairedRows("rounds", "steps_to_dense", "ticket", "reinit", 0.2, "round", "density", 0.1, 0.4)
    ticket, reinit = (frame.mean(axis=1).dropna() for frame in rows.pair(results))
    if ticket.empty or reinit.empty:
        return Verdict("undecided", detail="It needs the arms ticket and reinit with 10 to 40% of the weights left.")
    ratio = lambda seeds: float(ticket.iloc[seeds].mean() / reinit.iloc[seeds].mean())  # noqa: E731
    effect, low, high = bootstrap_interval(ratio, len(ticket))
    never = [int((reached == 0).to_numpy().sum()) for reached in rows.pair(results, "reached")]
    outcome: Outcome = "undecided" if len(ticket) < 2 else "holds" if effect <= 0.8 else "does not hold"
    detail = (
        f"Tickets take {ticket.mean():.0f} steps, new weights {reinit.mean():.0f}, in the mean. Never got there, and count as T: "
        f"{never[0]} ticket and {never[1]} reinit runs. The interval resamples seeds."
    )
    return Verdict(outcome, effect, low, high, len(ticket), 0.8, "of the steps", detail)


CLAIMS = (
    Claim(
        "c1",
        "Tickets match the dense network: within half a point of its final test accuracy with a quarter of the weights or fewer.",
        matches_dense,
        "Down to about 21% of the weights tickets test slightly better than the dense network, at 3.6% as well as it (Fig. 4).",
        precondition=is_pretrained,
    ),
    Claim(
        "c2",
        "The initial weights matter: with 5 to 10% of the weights left, a ticket beats new weights in its mask by a point or more.",
        PairedRows("rounds", "accuracy", "ticket", "reinit", 1, "round", "density", 0.05, 0.1, unit="points"),
        "Reinitialised tickets learn more slowly and test worse, the more so the sparser they are (Figs. 3 and 4).",
        precondition=is_pretrained,
    ),
    Claim(
        "c3",
        "The structure matters: with 5 to 10% of the weights left, a ticket beats random masks of its density by a point or more.",
        PairedRows("rounds", "accuracy", "ticket", "random-mask", 1, "round", "density", 0.05, 0.1, unit="points"),
        "Random sparse networks learn more slowly and test worse, the more so the sparser they are (Fig. 1).",
        precondition=is_pretrained,
    ),
    Claim(
        "c4",
        "Tickets learn faster: with 10 to 40% of the weights left, they come within 5% of the dense network's least validation "
        "loss in at most four fifths of the steps that new weights in the same mask take.",
        learns_faster,
        "At 21% of the weights tickets reach the least validation loss about 2.5 times sooner than reinitialised (Fig. 4).",
        precondition=is_pretrained,
    ),
)

NEAREST = "nearest to 16%"
DENSITY: dict[str, Any] = {
    "x": "density",
    "log_x": True,
    "reverse_x": True,
    "x_title": "weights left (log)",
    "x_format": ".1%",
}
VIEWS = (
    Lines(
        title="Tickets stay up while the others sag",
        caption="Test accuracy at the step where validation stops training. The rule is the dense network.",
        table="rounds",
        y="accuracy",
        y_title="test accuracy at early stop (%)",
        rule="dense",
        **DENSITY,
    ),
    Lines(
        title="How soon training is done",
        caption="The evaluation with the least validation loss; lower learns faster. The rule is the dense network.",
        table="rounds",
        y="early_stop",
        y_title="early-stopping step",
        rule="dense",
        **DENSITY,
    ),
    Lines(
        title="Learning with a sixth of the weights",
        caption="Validation loss of the dense network, and at the round whose share of weights left is nearest to 16%.",
        y="validation_loss",
        y_title="validation loss",
        where={"series": ("dense", NEAREST), "arm": ("dense", "ticket", "reinit")},
    ),
    Heatmap(
        title="Where the network still looks",
        caption="Surviving weights from each pixel, as a multiple of the mean. The border goes dark: structure found, not random.",
        matrix="surviving inputs",
        facet_title="round",
        value_title="times the mean",
        where={"arm": "ticket"},
    ),
    Histogram(
        title="Where the survivors started",
        caption="Initial values of the first layer's survivors. Two humps grow: weights that start near zero go first.",
        matrix="initial values of survivors",
        facet_title="round",
        x_title="initial value",
        where={"arm": "ticket"},
    ),
)

# --- one arm, one seed ------------------------------------------------------------------------------------------------

LEAST_LOSS = "least validation loss"
LARGEST = 30_000_000  # parameters of a pretrained model
BY_LOSS = attrgetter("loss")


class Evaluation(NamedTuple):
    """After `step` updates: loss on the validation images, accuracy on the test images in percent."""

    step: int
    loss: float
    accuracy: float


class Setting:
    """Images, order of batches and network of one seed: the same for every arm and round."""

    def __init__(self, params: Params, inputs: Inputs) -> None:
        if params.rewind >= params.steps:
            raise ParameterError(f"rewind is {params.rewind}; it must be smaller than steps, which is {params.steps}.")
        self.params, self.seed, self.device = params, inputs.seed, inputs.device
        self.weights = inputs.weights
        split = load(params.data).standardised()
        if params.validation + params.batch_size > len(split.train):
            raise ParameterError(
                f"validation is {params.validation}; that leaves no batch of the {len(split.train)} training images."
            )
        self.images = split.with_validation(params.validation, self.seed).to(self.device)
        self.held_out = torch.cat([self.images.validation.pixels, self.images.test.pixels])  # evaluated in one pass
        order = batch_order(len(self.images.train), params.batch_size, params.steps, generator("batches", self.seed))
        self.order = order.to(self.device)

    def network(self, draw: int = 0) -> nn.Module:
        """The network with this seed's initial weights, or with another draw of them: of a pretrained model, of its head's."""
        source = generator("initial weights", self.seed, draw)
        channels, height, width = self.images.train.pixels.shape[1:]
        classes = len(self.images.train.classes)
        if self.weights:
            return small_enough(PretrainedClassifier(self.weights, classes, source)).to(self.device)
        if self.params.network == "resnet-20":
            return CifarResNet(20, classes, channels=channels, generator=source).to(self.device)
        widths = (channels * height * width, 300, 100, classes)
        return mlp(widths, initialisation="glorot-normal", generator=source).to(self.device)

    def train_subnetwork(
        self, model: nn.Module, masks: Mapping[str, Tensor], record: Recorder, series: str, start: int, after: Callable[[int], None]
    ) -> list[Evaluation]:
        """Step 2: trains the weights that the masks leave, from where the model is, and records as it goes."""
        p, images = self.params, self.images
        evaluations: list[Evaluation] = []
        masked, changes = Masked(connection_weights(model), masks), generator("augmentation", self.seed)

        def loss(step: int) -> Tensor:
            batch = self.order[step]
            pixels = images.train.pixels[batch]
            return cross_entropy(model(flip_and_shift(pixels, changes) if p.augment else pixels), images.train.labels[batch])

        def after_step(step: int) -> None:
            masked.weights()
            after(step)

        def evaluate(step: int, training_loss: float) -> None:
            validation, test = predict(model, self.held_out).split([len(images.validation), len(images.test)])
            validation_loss = cross_entropy(validation, images.validation.labels).item()
            accuracy = 100 * (test.argmax(1) == images.test.labels).float().mean().item()
            evaluations.append(Evaluation(step, validation_loss, accuracy))
            record.scalars(
                step, series=series, training_loss=training_loss, validation_loss=validation_loss, test_accuracy=accuracy
            )

        train(
            loss,
            (adam if p.optimiser == "adam" else sgd)(model.parameters(), p.learning_rate, weight_decay=p.weight_decay),
            p.steps,
            start=start,
            schedule=warm_up(p.warm_up, step_decay(round(part * p.steps) for part in p.decays)),
            before_update=masked.gradients,
            after_step=after_step,
            evaluate=evaluate,
            every=p.every,
        )
        return evaluations


def small_enough(model: nn.Module) -> nn.Module:
    """The model. Raises: ParameterError where it has more weights than are kept at every seed, at the start and at the end."""
    count = sum(weight.numel() for weight in model.parameters())
    if count > LARGEST:
        raise ParameterError(
            f"The model has {count:,} parameters; at most {LARGEST:,} can be kept to rewind to. Choose a smaller one."
        )
    return model


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Trains the dense network, or one subnetwork for every round of pruning."""
    setting = Setting(params, inputs)
    if inputs.weights:
        record.result(pretrained=1.0)
    model = setting.network()
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in connection_weights(model).items()}
    if arm == "dense":
        return run_dense(model, masks, setting, record)

    initial, trained = (recorded_state(inputs, step) for step in (params.rewind, params.steps))
    target = 1.05 * float(inputs.arrays("dense", "matrix")[LEAST_LOSS][0])
    compared = range(min(params.compare_every, params.rounds), params.rounds + 1, params.compare_every)
    rounds = range(1, params.rounds + 1) if arm in ("ticket", "fine-tune") else compared
    shown = min(compared, key=lambda number: abs(number * math.log(1 - params.prune) - math.log(0.16)))
    if arm == "ticket":
        record_masks(record, 0, masks, initial, setting)
    trainings = 0

    def progress(step: int) -> None:
        record.progress(trainings * params.steps + step, len(rounds) * params.steps)

    for number in range(1, params.rounds + 1):
        draws, start = generator(arm, inputs.seed, number), initial
        match arm:
            case "ticket" | "one-shot":  # one-shot: `trained` stays the dense network's
                masks = pruned(trained, masks, params)
            case "fine-tune":
                masks, start = pruned(trained, masks, params), trained
            case "random-mask":
                masks = {name: shuffled(mask, draws) for name, mask in ticket_masks(inputs, number).items()}
            case "reinit":
                masks, start = ticket_masks(inputs, number), state_of(setting.network(draw=number))
            case "same-sign":
                masks = ticket_masks(inputs, number)
                start = initial | same_sign({name: initial[name] for name in masks}, draws)
        if number not in rounds:
            continue
        if arm == "ticket":
            record_masks(record, number, masks, initial, setting)
        model.load_state_dict(start, strict=False)
        evaluations = setting.train_subnetwork(
            model,
            masks,
            record,
            series=NEAREST if number == shown else f"round {number}",
            start=params.rewind if start is initial else 0,
            after=progress,
        )
        trainings += 1
        if arm in ("ticket", "fine-tune"):
            trained = state_of(model)
        record_round(record, number, masks, evaluations, target)


def run_dense(model: nn.Module, masks: Mapping[str, Tensor], setting: Setting, record: Recorder) -> None:
    """Round 0. Records the weights that the other arms go back to and those that the first round prunes."""
    p = setting.params

    def after(step: int) -> None:
        record.progress(step, p.steps)
        if step in (p.rewind, p.steps):
            for name, values in state_of(model).items():
                record.matrix(step, name, values)

    after(0)
    evaluations = setting.train_subnetwork(model, masks, record, series="dense", start=0, after=after)
    least_loss = min(evaluations, key=BY_LOSS).loss
    record.matrix(p.steps, LEAST_LOSS, [least_loss])
    record_round(record, 0, masks, evaluations, 1.05 * least_loss)


def pruned(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], params: Params) -> dict[str, Tensor]:
    """Step 3, as the parameters ask for it."""
    if params.scope == "global":
        return prune_globally(weights, masks, params.prune)
    return prune(weights, masks, pruning_rates(masks, params.prune))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters and of the statistics of normalisation."""
    return {name: values.detach().clone() for name, values in model.state_dict().items() if values.is_floating_point()}


def recorded_state(inputs: Inputs, step: int) -> dict[str, Tensor]:
    """The dense network at a step."""
    arrays = inputs.arrays("dense", "matrix", step)
    return {name: torch.tensor(array, device=inputs.device) for name, array in arrays.items() if name != LEAST_LOSS}


def ticket_masks(inputs: Inputs, number: int) -> dict[str, Tensor]:
    """The ticket's masks of a round."""
    return {name: torch.tensor(mask, device=inputs.device) for name, mask in inputs.arrays("ticket", "mask", number).items()}


def record_masks(
    record: Recorder, number: int, masks: Mapping[str, Tensor], initial: Mapping[str, Tensor], setting: Setting
) -> None:
    """The masks of a round, where the first layer's survivors started and, if it sees pixels, which of them it still sees."""
    for name, mask in masks.items():
        record.mask(number, name, mask)
    name, first = next(iter(masks.items()))
    record.matrix(number, "initial values of survivors", initial[name][first])
    image = setting.images.train.pixels.shape[1:]  # channels, height, width
    if first.shape[1] == image.numel():
        share = first.float().mean(dim=0).view(image).mean(dim=0)
        record.matrix(number, "surviving inputs", share / share.mean())


def record_round(
    record: Recorder, number: int, masks: Mapping[str, Tensor], evaluations: Sequence[Evaluation], target: float
) -> None:
    """A row of the table of rounds, and the densities of its layers. A loss above the target throughout counts as reached at T."""
    best, last = min(evaluations, key=BY_LOSS), evaluations[-1]
    reached = [evaluation.step for evaluation in evaluations if evaluation.loss <= target]
    row = {
        "round": number,
        "density": density(masks),
        "accuracy": best.accuracy,
        "early_stop": best.step,
        "validation_loss": best.loss,
        "final_accuracy": last.accuracy,
        "steps_to_dense": reached[0] if reached else last.step,
        "reached": len(reached) > 0,
    }
    record.table("rounds", row)
    record.table("layers", [{"round": number, "layer": name, "density": share} for name, share in layer_densities(masks).items()])
    record.result(density=row["density"], accuracy=best.accuracy, final_accuracy=last.accuracy)
