r"""Which of a model's weights can go? Six criteria set weights to zero, to the same share of them, and the model is measured again,
without training after it, on items that no criterion has seen.

$$w \leftarrow m \odot w,\qquad m = 0 \text{ for the share } p \text{ of weights with the lowest score } s$$

where the score of a weight $w_{ij}$, from input $j$ to output $i$, is

- its magnitude $|w_{ij}|$, ranked over the whole network or in each layer;
- a random number, ranked in each layer: what any criterion must beat;
- its saliency $|w_{ij}\,\partial L/\partial w_{ij}|$, the first-order change of the loss on calibration items (Molchanov 2017);
- Wanda: $|w_{ij}|\,\lVert x_j\rVert_2$ over the calibration items, ranked for each output (Sun et al. 2023);
- the L2 norm of a whole output channel, or of a whole attention head, ranked in each layer (Li et al. 2017).

Biases, normalisation, embeddings and what is tied to them stay as they are. Where the model's own classes are not those of the
data, a linear classifier on the dense model's features of the calibration items is its head; it is never pruned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from core.data.items import Items, items
from core.lab.snapshot import expect_fitting, fetch, matched
from core.measures import masks as masking
from core.measures.calibration import expected_calibration_error
from core.methods.base import Arm, Bars, Inputs, Lines, ParameterError, Preset, param, tool
from core.recorder import Recorder
from core.training import generator
from models import hub
from models.criteria import magnitude, saliency, unit_rows, wanda
from models.weights import as_kept, by_output, connection_weights

# --- masks of the scores ---------------------------------------------------------------------------------------------------


def masks_of(criterion: str, scores: Mapping[str, Tensor], percent: int, network: nn.Module) -> dict[str, Tensor]:
    """A criterion's masks (outputs, inputs) of its scores: together they remove percent of the entries, to one weight or unit."""
    match criterion:
        case "magnitude-global" | "saliency":
            return masking.globally(scores, percent)
        case "wanda":
            return masking.by_row(scores, percent)
        case "channels":
            return masking.by_unit(scores, unit_rows(network, scores), percent)
    return masking.by_layer(scores, percent)


# --- declaration ------------------------------------------------------------------------------------------------------

PAPER = tool("pruning", "Pruning", "Which of a model's weights can go, by which criterion, and what it costs.")
SCOPES = ("body", "all")


@dataclass(frozen=True)
class Params:
    """What is pruned, by how much, and on which items that is measured."""

    model: str = param("starter/digits-vit", "A model of the Hub, owner/name, or starter/name.")
    revision: str = param("", "Its branch, tag or commit; empty: the newest.")
    data: str = param("digits-8", "A bundled data set, or one of the Hub, owner/name; empty: an upload.")
    config: str = param("", "The configuration of a Hub data set; empty: its first.")
    split: str = param("", "The part of the data; empty: the usual one.")
    column: str = param("", "The column with the images or texts; empty: the first that fits.")
    label: str = param("", "The column with the labels; empty: the first that fits.")
    items: int = param(512, "Items that models are measured on.", low=2, high=100_000)
    calibration: int = param(128, "Further items that saliency and Wanda look at.", low=1, high=10_000)
    sparsities: tuple[int, ...] = param((50, 70, 80, 90, 95), "Shares of the weights to remove.", low=1, high=99, unit="%")
    scope: str = param("body", "body: the output layer stays dense; all: it is pruned too.", choices=SCOPES)
    only: str = param("", "Only layers whose name has one of these words in it; empty: all layers.")


ARMS = (
    Arm("dense", "dense", "The model as it is."),
    Arm("magnitude-global", "magnitude", "The smallest weights of the whole network go.", "method", after=("dense",)),
    Arm("magnitude-layer", "magnitude, by layer", "The smallest weights of each layer go.", after=("dense",)),
    Arm("random", "random", "Weights of each layer go at random: what a criterion must beat.", after=("dense",)),
    Arm("saliency", "saliency", "Those weights go that change the loss least, to first order.", after=("dense",)),
    Arm("wanda", "Wanda", "Of each output the weights go whose size times their input's norm is least.", after=("dense",)),
    Arm("channels", "channels", "Whole outputs and attention heads of the smallest norm go.", after=("dense",)),
)
PRESETS = {
    "smoke": Preset(seconds=5, seeds=(0,), params={"items": 96, "calibration": 32, "sparsities": (50, 90)}),
    "quick": Preset(seconds=30, seeds=(0,)),
}
CLAIMS = ()
INPUTS = ("own", "upload")

REACHED: dict[str, Any] = {"table": "sweep", "x": "reached", "x_title": "weights removed (%)", "rule": "dense"}
VIEWS = (
    Lines(
        title="Accuracy",
        caption="Measured after pruning, without training. The rule is the dense model.",
        y="accuracy",
        y_title="accuracy (%)",
        **REACHED,
    ),
    Lines(
        title="Loss",
        caption="Mean negative log-likelihood of the right class, or of the next token. The rule is the dense model.",
        y="nll",
        y_title="negative log-likelihood (nats, log)",
        log_y=True,
        **REACHED,
    ),
    Lines(
        title="Calibration",
        caption="Expected calibration error of the predicted class, 15 bins of equal width. The rule is the dense model.",
        y="ece",
        y_title="calibration error (%)",
        **REACHED,
    ),
    Lines(
        title="Disagreement",
        caption="Predictions that differ from the dense model's, right or wrong.",
        y="disagreement",
        y_title="predictions changed (%)",
        **REACHED,
    ),
    Lines(
        title="Overlap",
        caption="Weights that survive both by the criterion and by magnitude, of those that survive by either.",
        table="sweep",
        x="reached",
        x_title="weights removed (%)",
        y="overlap",
        y_title="overlap with magnitude (Jaccard)",
    ),
    Bars(
        title="Kept",
        caption="The largest of the asked sparsities that costs at most one point of accuracy; 0 where none does.",
        y="within_one_point",
        y_title="weights removed (%)",
    ),
)
SAMPLE, SAMPLED = "sample of all layers", 65_536
MAGNITUDE = "magnitude-global"

# --- the model and its items ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What a model answered, one entry an item (or, of a language model, a token); `target` is -1 where it is not known."""

    predicted: np.ndarray
    target: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray

    def summary(self, dense: np.ndarray) -> dict[str, float]:
        """Accuracy, calibration error and disagreement in percent, NLL in nats; NaN where no target is known."""
        known = self.target >= 0
        right = (self.predicted == self.target)[known].astype(float)
        some = bool(known.any())
        return {
            "accuracy": 100 * right.mean() if some else math.nan,
            "nll": self.loss[known].mean() if some else math.nan,
            "ece": 100 * expected_calibration_error(self.confidence[known], right) if some else math.nan,
            "disagreement": 100 * (self.predicted != dense).mean(),
            "measured": int(known.sum()),
        }

    def accuracy_of(self, predicted: np.ndarray) -> float:
        """Accuracy of other predictions of the same items, in percent; NaN where no target is known."""
        known = self.target >= 0
        return 100 * float((predicted == self.target)[known].mean()) if known.any() else math.nan


BATCH = 32
TOKENS = 32  # of a passage of a language model that are asked for


@dataclass(frozen=True)
class Part:
    """Images, texts or passages, and what each is, among what the model or the probe tells apart: -1 where that is not known."""

    given: Sequence[Any]
    chosen: Sequence[int]  # which of them
    targets: np.ndarray | None = None  # None of passages, which hold their own

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(self, size: int) -> Iterator[tuple[list[Any], Tensor]]:
        """Items and targets, `size` items at a time; images of files are decoded only now."""
        for first in range(0, len(self), size):
            places = self.chosen[first : first + size]
            some = [self.given[place] for place in places]
            found = [target for one in some for target in one.targets] if self.targets is None else self.targets[places]
            yield some, torch.as_tensor(found)


class Subject:
    """A model and the items of one seed: the same for every criterion, none of which sees `evaluation`.

    Attributes:
        model, module: what is pruned.
        classes: names of what is predicted; empty where that is the next token.
        probe: the linear classifier that stands in where the model's own classes are not those of the data, else None.
        weights: what may be pruned, by name; `dense` are copies of their values.
    """

    def __init__(self, params: Any, inputs: Inputs, record: Recorder) -> None:
        fetch(params, record)
        self.model = hub.load(f"{params.model}@{params.revision}" if params.revision else params.model, device=inputs.device)
        self.module: Any = self.model.module
        self.seed = inputs.seed
        self.probe: nn.Linear | None = None
        wanted = params.items + params.calibration
        where = {name: getattr(params, name) for name in ("config", "split", "column", "label")}
        found = items(params.data, wanted, **where, upload=inputs.upload)
        expect_fitting(self.model, found, params)
        if self.model.kind == "passages":
            self.classes: tuple[str, ...] = ()
            self.evaluation, self.calibration = self.passages(found.texts, params)
        else:
            self.evaluation, self.calibration = self.classified(found, params)
        self.weights = chosen(connection_weights(self.module), self.module, params)
        self.dense = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def passages(self, texts: Sequence[str], params: Any) -> tuple[Part, Part]:
        """Passages with as many next tokens as there are items asked for, of other texts for the criteria."""
        ahead, rest = self.split(len(texts), params)
        parts = []
        for places, count in ((rest, params.items), (ahead, params.calibration)):
            few = [texts[place] for place in places[: max(1, -(-count // TOKENS))]]
            some = self.model.passages(few, count, self.seed)
            parts.append(Part(some, range(len(some))))
        return parts[0], parts[1]

    def classified(self, found: Items, params: Any) -> tuple[Part, Part]:
        """Images or texts with their classes among the model's outputs, where it knows half of them or more; else a probe's."""
        given: Sequence[Any] = found.images if found.kind == "images" else found.texts
        labels = np.full(len(found), -1) if found.labels is None else np.asarray(found.labels)
        places = matched(found.classes, self.model.outputs)
        own = bool(self.model.outputs) and 2 * (places >= 0).sum() >= len(found.classes)
        targets = np.where(labels >= 0, places[labels], -1) if own and len(places) else labels
        self.classes = self.model.outputs if own else found.classes
        ahead, rest = self.split(len(found), params)
        evaluation, calibration = Part(given, rest, targets), Part(given, ahead, targets)
        if not own:
            self.probe = self.fitted_probe(calibration)
        return evaluation, calibration

    def split(self, count: int, params: Any) -> tuple[list[int], list[int]]:
        """Items for the criteria and the probe, at most a quarter of all, and items to measure on."""
        if count < 2:
            raise ParameterError(f"The data have {count} items; some must be left to measure on. Choose other data.")
        order = torch.randperm(count, generator=generator("items", self.seed)).tolist()
        ahead = max(1, min(params.calibration, count // 4))
        return order[:ahead], order[ahead : ahead + params.items]

    def answer(self, batch: tuple[list[Any], Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (m, classes) and targets (m,), m items or tokens."""
        some, targets = batch
        # gradients must pass here, which inference mode would forbid
        features, logits = type(self.model).features_and_logits.__wrapped__(self.model, self.model.preprocess(some))  # type: ignore[attr-defined]
        return (logits if self.probe is None else self.probe(features)), targets.to(self.model.device)

    def fitted_probe(self, part: Part) -> nn.Linear:
        """Logistic regression on the dense model's features. Raises: ParameterError without labels of two classes."""
        assert part.targets is not None
        labels = part.targets[part.chosen]
        if len(np.unique(labels[labels >= 0])) < 2:
            raise ParameterError(
                "The model does not tell the classes of these data apart, and there are too few labels to teach a classifier on its"
                f" features: {(labels >= 0).sum()} of {len(labels)} calibration items. Choose data with labels, or another model."
            )
        batches = part.batches(BATCH)
        vectors = torch.cat([self.model.features_and_logits(self.model.preprocess(some))[0] for some, _ in batches])
        return linear_classifier(vectors[labels >= 0], labels[labels >= 0], len(self.classes)).to(self.model.device)

    def rows(self) -> dict[str, Tensor]:
        """The dense weights, each as (outputs, inputs)."""
        return {name: by_output(self.module, name, weight) for name, weight in self.dense.items()}

    @torch.no_grad()
    def apply(self, masks: Mapping[str, Tensor]) -> None:
        """Makes the weights the dense model's, with exact zeros where a mask (outputs, inputs) is False."""
        for name, weight in self.weights.items():
            weight.copy_(self.dense[name].masked_fill(~as_kept(self.module, name, masks[name]), 0))

    @torch.inference_mode()
    def measure(self, after: Callable[[], None]) -> Measured:
        """The answers to the evaluation items; `after` is called after every batch."""
        found = []
        for batch in self.evaluation.batches(BATCH):
            logits, targets = self.answer(batch)
            scores = log_softmax(logits.double(), dim=1)
            confidence, predicted = scores.max(1)
            loss = -scores.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
            found.append([values.cpu().numpy() for values in (predicted, targets, confidence.exp(), loss)])
            after()
        return Measured(*(np.concatenate(values) for values in zip(*found, strict=True)))

    def scores(self, criterion: str, after: Callable[[], None]) -> dict[str, Tensor]:
        """What a criterion ranks by, each as (outputs, inputs); `after` is called after every batch that it looks at."""

        def seen() -> Iterator[Any]:
            for batch in self.calibration.batches(self.ahead):
                yield batch
                after()

        match criterion:
            case "random":
                source = generator("random mask", self.seed)
                return {name: torch.rand(rows.shape, generator=source).to(rows.device) for name, rows in self.rows().items()}
            case "saliency":
                return saliency(self.module, self.weights, seen(), self.answer)
            case "wanda":
                return wanda(self.module, self.weights, seen(), self.answer)
        return magnitude(self.module, self.dense)

    @property
    def batches(self) -> int:
        """How many batches a measurement takes."""
        return -(-len(self.evaluation) // BATCH)

    def batches_ahead(self, criterion: str) -> int:
        """How many batches a criterion looks at before it prunes."""
        return -(-len(self.calibration) // self.ahead) if criterion in ("saliency", "wanda") else 0

    @property
    def ahead(self) -> int:
        """Items of a batch that a criterion looks at: texts one by one, so that none is padded."""
        return BATCH if self.model.kind == "images" else 1

    @property
    def parameters(self) -> int:
        """All of the model's, those that are never pruned among them."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def chosen(weights: Mapping[str, nn.Parameter], network: nn.Module, params: Any) -> dict[str, nn.Parameter]:
    """Of the weights those that the parameters ask for. Raises: ParameterError where none is left."""
    body = f"{getattr(network, 'base_model_prefix', '')}."
    words = params.only.replace(",", " ").split()
    has_body = any(name.startswith(body) for name in weights)
    found = {
        name: weight
        for name, weight in weights.items()
        if (params.scope == "all" or not has_body or name.startswith(body)) and (not words or any(word in name for word in words))
    }
    if not found:
        raise ParameterError(f"No layer has {params.only!r} in its name; there are: {', '.join([*weights][:8])}, …")
    return found


def linear_classifier(vectors: Tensor, labels: np.ndarray, classes: int) -> nn.Linear:
    """Multinomial logistic regression on standardised vectors (n, d), as a layer on the vectors as they are.

    A class without any item gets a logit far below all others.
    """
    from sklearn.linear_model import LogisticRegression

    inputs = vectors.double().cpu().numpy()
    mean, deviation = inputs.mean(0), inputs.std(0)
    deviation[deviation == 0] = 1
    fit = LogisticRegression(max_iter=1000).fit((inputs - mean) / deviation, labels)
    two = len(fit.classes_) == 2
    rows = np.concatenate([-fit.coef_, fit.coef_]) / 2 if two else fit.coef_
    intercepts = np.concatenate([-fit.intercept_, fit.intercept_]) / 2 if two else fit.intercept_
    layer = nn.Linear(inputs.shape[1], classes)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(-30.0)
        layer.weight[fit.classes_] = torch.from_numpy(rows / deviation).float()
        layer.bias[fit.classes_] = torch.from_numpy(intercepts - (rows / deviation) @ mean).float()
    return layer.requires_grad_(False)


# --- one arm ----------------------------------------------------------------------------------------------------------


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Measures the dense model, or prunes it by one criterion to every sparsity and measures it each time."""
    subject = Subject(params, inputs, record)
    sparsities = sorted(set(params.sparsities))
    total = subject.batches * (1 if arm == "dense" else len(sparsities)) + subject.batches_ahead(arm)
    done = itertools.count(1)

    def after() -> None:
        record.progress(next(done), total)

    if arm == "dense":
        return record_dense(subject, subject.measure(after), record)
    dense = inputs.arrays("dense", "matrix")[PREDICTIONS]
    scores = subject.scores(arm, after)
    magnitudes = scores if arm == MAGNITUDE else subject.scores(MAGNITUDE, after)
    sample = sampled_positions(subject.rows())
    kept = 0
    for percent in sparsities:
        masks = masks_of(arm, scores, percent, subject.module)
        subject.apply(masks)
        measured = subject.measure(after)
        values = measured.summary(dense)
        record.table("sweep", {
            "sparsity": percent, "reached": 100 * (1 - masking.density(masks)), **values,
            "overlap": masking.overlap(masks, masks_of(MAGNITUDE, magnitudes, percent, subject.module)),
        })  # fmt: skip
        record_classes(subject, measured, percent, record)
        record_masks(masks, sample, percent, record)
        if values["accuracy"] >= measured.accuracy_of(dense) - 1:
            kept = percent
    record.result(within_one_point=kept)
    return None


PREDICTIONS = "predictions"


def record_dense(subject: Subject, measured: Measured, record: Recorder) -> None:
    """The model as it is: what the criteria are compared with."""
    values = measured.summary(measured.predicted)
    record.matrix(0, PREDICTIONS, measured.predicted.astype(np.int32))
    record.table("sweep", {"sparsity": 0, "reached": 0.0, **values, "overlap": 1.0})
    record_classes(subject, measured, 0, record)
    weights = sum(weight.numel() for weight in subject.weights.values())
    record.result(**values, weights=weights, parameters=subject.parameters)


def record_classes(subject: Subject, measured: Measured, percent: int, record: Recorder) -> None:
    """Accuracy of each class that has items; nothing for a language model."""
    present = np.unique(measured.target[measured.target >= 0]) if subject.classes else ()
    for target in present:
        right = measured.predicted[measured.target == target] == target
        row = {"sparsity": percent, "class": subject.classes[target], "items": len(right), "accuracy": 100 * right.mean()}
        record.table("by_class", row)


def record_masks(masks: Mapping[str, Tensor], sample: Tensor, percent: int, record: Recorder) -> None:
    """Every layer's sparsity and picture, and the same sample of all weights for each criterion."""
    for name, mask in masks.items():
        record.table("layers", {
            "sparsity": percent, "layer": name, "outputs": mask.shape[0], "inputs": mask.shape[1],
            "removed": 100 * (1 - masking.density({name: mask})),
        })  # fmt: skip
        record.matrix(percent, name, masking.surviving_shares(mask))
    record.mask(percent, SAMPLE, torch.cat([mask.flatten() for mask in masks.values()])[sample.to(mask.device)])


def sampled_positions(rows: Mapping[str, Tensor]) -> Tensor:
    """Which of all weights, laid end to end, are compared between criteria: all of them where they are few."""
    total = sum(values.numel() for values in rows.values())
    if total <= SAMPLED:
        return torch.arange(total)
    return torch.randint(total, (SAMPLED,), generator=generator("sample of a mask")).sort().values
