r"""When text is cheap to collect, repeating a small corpus for many epochs wastes compute: repeated tokens teach less, the model
overfits, and the dropout that it then needs slows it further. Take a larger corpus and pass over it *once* instead. Every batch is
fresh, so the training loss is an unbiased estimate of the test loss; nothing overfits, dropout only hurts, and the test loss is a
power law in the iterations $i$,
$$\log L=\log a-\kappa\log i .$$

With overfitting gone, size $P$ and iterations can be traded at a fixed cost $C=PT$ ($T$ processed tokens, $6C$ operations). The
rule of thumb takes $T/P$ near a constant $r$ of about 5, that is $P=\sqrt{C/r}$ and $T=\sqrt{Cr}$.

An arm that makes $E$ epochs learns from one $E$-th of the text, random blocks of it with the distribution of the whole, and
processes as many tokens as one epoch over all; what does not fill a batch at the end of a pass is left out of it. The *speed-up* is
the iteration at which it reaches its best test loss, over the one at which one epoch first reaches that same loss. The power law is
fitted to the last tenfold of the iterations, behind the warm-up, after which the learning rate stays constant; the paper's own
schedule is not known. Training losses are taken before a batch's update, averaged between two test losses and compared with their
mean; where there is dropout, they include it.

Reference: Aran Komatsuzaki, *One Epoch Is All You Need*, 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from core.data import text
from core.measures.power_law import first_crossing, fit_power_law
from core.methods.base import (
    Arm,
    Claim,
    Inputs,
    Lines,
    Outcome,
    Paper,
    ParameterError,
    Preset,
    Results,
    Verdict,
    decide_by_interval,
    decide_within,
    param,
    weakest,
)
from core.recorder import Recorder
from core.training import evaluating, generator, train, warm_up
from models.transformer import Decoder

PAPER = Paper(
    slug="one-epoch",
    title="One Epoch Is All You Need",
    authors="Aran Komatsuzaki",
    year=2019,
    venue="arXiv",
    family="language_models",
    arxiv="1906.06669",
    idea="Pass once over a larger corpus instead of many times over a small one: each token teaches more and nothing overfits.",
    equation=r"\log L=\log a-\kappa\log i,\qquad P=\sqrt{C/r},\quad T=\sqrt{Cr}",
)


@dataclass(frozen=True)
class Params:
    """What can be set."""

    corpus: str = param("prose", "Characters of help texts, or tokens of the web.", choices=("prose", "HuggingFaceFW/fineweb-edu"))
    tokens: int = param(10**9, "To take at most of a corpus of the Hub.", low=1000, high=10**9)
    width: int = param(64, "Of the transformer; 16 a head.", low=8, high=1024)
    layers: int = param(2, "Of the transformer.", low=1, high=24)
    context: int = param(32, "Tokens in a window.", low=8, high=1024)
    batch: int = param(16, "Windows in a step.", low=1, high=1024)
    rate: float = param(3e-3, "AdamW's learning rate.", low=1e-6, high=1)
    dropout: float = param(0.1, "In the arms that have it.", low=0, high=0.9)
    iterations: int = param(0, "Steps; 0: one pass over the corpus; fewer: over random blocks of it.", low=0, high=1_000_000)
    evaluations: int = param(14, "Test losses in the last tenfold of the iterations.", low=3, high=100)
    test_tokens: int = param(20_480, "Tokens of the fixed sample that test losses are measured on.", low=256, high=10_000_000)
    costs: tuple[float, ...] = param((1e10, 4e10), "C, of the trade between size and iterations.", low=1e6, high=1e16)
    widths: tuple[int, ...] = param((8, 16, 24, 32, 48, 64, 96), "Sizes of that trade.", low=8, high=1024)
    rates: tuple[float, ...] = param((1e-2, 6e-3, 5e-3, 4e-3, 3e-3, 3e-3, 2e-3), "Their learning rates.", low=1e-6, high=1)


BATCHED = False
ARMS = (
    Arm("epochs-40", "40 epochs", "A fortieth of the corpus, forty times."),
    Arm("epochs-40-dropout", "40 epochs, dropout", "The same, regularised."),
    Arm("epochs-10", "10 epochs", "A tenth of the corpus, ten times."),
    Arm("epochs-10-dropout", "10 epochs, dropout", "The same, regularised."),
    Arm("one-epoch", "One epoch", "All of the corpus, once, without dropout.", role="method"),
    Arm("one-epoch-dropout", "One epoch, dropout", "All of the corpus, once, with dropout."),
    Arm(
        "sizes",
        "Sizes at a fixed cost",
        "One pass at most (over code, where the corpus is prose); larger models get fewer iterations.",
        role="method",
    ),
)
EPOCHS = {"epochs-10": 10, "epochs-40": 40}
WARM_UP = 50  # steps
TEST_BATCH = 64  # windows whose logits are held at once
FEW = ("epochs-40", "epochs-40-dropout", "one-epoch", "one-epoch-dropout")
WEB = {
    "corpus": "HuggingFaceFW/fineweb-edu",
    "tokens": 200_000_000,
    "width": 512,
    "layers": 6,
    "context": 128,
    "batch": 512,
    "rate": 6e-4,
    "test_tokens": 1_000_000,
    "costs": (1e15,),  # the rule of thumb's size must lie inside the grid, and its tokens be there
    "widths": (64, 128, 256, 384),
    "rates": (2e-3, 1.5e-3, 1e-3, 8e-4),
}
SMALL = {
    "width": 16,
    "batch": 4,
    "rate": 5e-3,
    "iterations": 160,
    "evaluations": 5,
    "test_tokens": 1024,
    "costs": (2e7,),
    "widths": (8, 16, 24),
    "rates": (1e-2,) * 3,
}
PRESETS = {
    "smoke": Preset(2, (0, 1), SMALL),
    "quick": Preset(55, (0, 1, 2), {"width": 32, "rate": 4e-3, "iterations": 512}, FEW),
    "standard": Preset(500, (0, 1, 2), {"costs": (1e10,)}),
    "paper": Preset(10_000, (0, 1), WEB, needs="cuda"),  # an estimate
}


def curves(results: Results, arm: str) -> dict[int, pd.DataFrame]:
    """An arm's test losses by seed."""
    rows = results.table("test losses")
    rows = rows[rows["arm"] == arm]
    return {int(seed): part.sort_values("iteration") for seed, part in rows.groupby("seed")}


def honest(results: Results, epochs: int) -> dict[int, pd.DataFrame]:
    """The better of the arms with and without dropout, by the mean over seeds of their best test loss."""
    found = [curves(results, f"epochs-{epochs}{dropout}") for dropout in ("", "-dropout")]
    found = [arm for arm in found if arm]
    return min(found, key=lambda arm: float(np.mean([part["test_loss"].min() for part in arm.values()])), default={})


def speed_up(many: pd.DataFrame, once: pd.DataFrame) -> float:
    """Iterations to the best loss of many epochs, over those after which one epoch reaches it; NaN where it never does."""
    best = many.loc[many["test_loss"].idxmin()]
    return float(best["iteration"]) / first_crossing(once["iteration"], once["test_loss"], float(best["test_loss"]))


def decide_epochs(results: Results) -> Verdict:
    """One epoch is better by 0.05 nat or more and faster, and the more so the more epochs it is compared with."""
    once, gaps, faster, said = curves(results, "one-epoch"), {}, {}, []
    for epochs in (10, 40):
        many = honest(results, epochs)
        seeds = sorted(many.keys() & once.keys())
        if seeds:
            gaps[epochs] = np.array([many[s]["test_loss"].min() - once[s]["test_loss"].min() for s in seeds])
            faster[epochs] = np.array([speed_up(many[s], once[s]) for s in seeds])
            said.append(f"{epochs} epochs: {gaps[epochs].mean():.3f} nat, {times(faster[epochs])}")
    if 40 not in gaps:
        return Verdict("undecided", detail="It needs one epoch and 40 epochs.")
    verdict = decide_by_interval(gaps[40].tolist(), 0.05, "nat (against 40 epochs)", f"One epoch against {'; '.join(said)}.")
    reached = faster[40][np.isfinite(faster[40])]
    sooner = decide_by_interval(np.log(reached).tolist(), 0.0).outcome if len(reached) == len(faster[40]) else "does not hold"
    outcomes = [verdict.outcome, sooner]
    if 10 in gaps and len(gaps[10]) == len(gaps[40]):
        outcomes.append(decide_by_interval((gaps[40] - gaps[10]).tolist(), 0.0).outcome)
        if outcomes[-1] != "holds":
            verdict = replace(verdict, detail=f"The gap does not grow clearly from 10 epochs to 40. {verdict.detail}")
    return replace(verdict, outcome=weakest(*outcomes))


def times(faster: np.ndarray) -> str:
    """Speed-ups of the seeds in words."""
    reached = faster[np.isfinite(faster)]
    never = len(faster) - len(reached)
    words = [f"{reached.mean():.2f} times the iterations"] if len(reached) else []
    return " and ".join([*words, *([f"{never} of {len(faster)} seeds never get there"] if never else [])])


def decide_overfitting(results: Results) -> Verdict:
    """One epoch's training and test loss are within 0.05 nat, and dropout costs it 0.03 nat or more."""
    gap = results.by_seed("one-epoch", "gap")
    cost = results.by_seed("one-epoch-dropout", "test_loss") - results.by_seed("one-epoch", "test_loss")
    if gap.empty or cost.dropna().empty:
        return Verdict("undecided", detail="It needs one epoch with and without dropout.")
    helps = results.by_seed("epochs-40", "best_test_loss") - results.by_seed("epochs-40-dropout", "best_test_loss")
    near, hurts = (
        decide_within(gap.tolist(), -0.05, 0.05),
        decide_by_interval(cost.dropna().tolist(), 0.03, "nat that dropout costs"),
    )
    detail = f"Test minus training loss of one epoch: {near.effect:.3f} ({near.low:.3f} to {near.high:.3f}; 0.05 allowed)." + (
        f" Dropout helps 40 epochs by {helps.mean():.3f}." if helps.notna().any() else ""
    )
    return replace(hurts, outcome=weakest(near.outcome, hurts.outcome), detail=detail)


def decide_power_law(results: Results) -> Verdict:
    """R^2 of 0.95 or more over a tenfold of iterations, and the last fifth predicted from the rest within 3%, in every seed."""
    exponents, r2, errors = [], [], []
    for part in curves(results, "one-epoch").values():
        part = part[part["iteration"] >= max(part["iteration"].max() / 10.5, WARM_UP)]
        i, loss = part["iteration"].to_numpy(), part["test_loss"].to_numpy()
        if len(i) < 5:
            return Verdict(
                "not testable here",
                detail=f"It needs five test losses in the last tenfold, behind the warm-up; there are {len(i)}.",
            )
        if i[-1] < 9.5 * i[0]:
            return Verdict(
                "not testable here", detail=f"It needs a tenfold of iterations behind the warm-up, {10 * WARM_UP} in all."
            )
        law, early = fit_power_law(i, loss), len(i) - max(1, len(i) // 5)
        exponents.append(-law.exponent)
        r2.append(law.r2)
        errors.append(float(np.abs(fit_power_law(i[:early], loss[:early])(i[early:]) / loss[early:] - 1).max()))
    if not exponents:
        return Verdict("undecided", detail="It needs the arm one-epoch.")
    fits, predicts = decide_within(r2, low=0.95), decide_within([100 * error for error in errors], high=3.0)
    every = min(r2) >= 0.95 and max(errors) <= 0.03
    refuted = "does not hold" in (fits.outcome, predicts.outcome)
    outcome: Outcome = "undecided" if len(r2) < 2 else "holds" if every else "does not hold" if refuted else "undecided"
    shown = decide_within(exponents)
    detail = f"R^2 from {min(r2):.3f} to {max(r2):.3f}; the last fifth is predicted within {max(errors):.1%}."
    return Verdict(outcome, shown.effect, shown.low, shown.high, len(r2), math.nan, "is the exponent", detail)


def decide_sizes(results: Results) -> Verdict:
    """At a fixed cost the loss is a U of the size, the best beats the largest by 0.1 nat, the rule of thumb comes within 0.03."""
    rows = results.table("sizes")
    if rows.empty:
        return Verdict("undecided", detail="It needs the arm sizes.")
    found, said = [], []
    for (cost, seed), part in rows.groupby(["cost", "seed"]):
        part = part.sort_values("parameters")
        loss, best = part["test_loss"].to_numpy(), int(part["test_loss"].argmin())
        ratio = (part["tokens"] / part["parameters"]).to_numpy()  # falls with the size
        if not ratio[-1] <= 5 <= ratio[0]:
            return Verdict(
                "not testable here", detail=f"5 tokens a parameter lie outside of the sizes' {ratio[-1]:.3g} to {ratio[0]:.3g}."
            )
        at_five = float(np.interp(-math.log(5), -np.log(ratio), loss))
        found.append((seed, at_five - loss[best], loss[-1] - loss[best], 0 < best < len(loss) - 1))
        said.append(f"{ratio[best]:.3g} ({cost}, seed {seed})")
    by_seed = pd.DataFrame(found, columns=["seed", "behind", "gain", "inside"]).groupby("seed").mean()
    rule = decide_within(by_seed["behind"].tolist(), high=0.03, unit="nat above the best at 5 tokens a parameter")
    gain = decide_by_interval(by_seed["gain"].tolist(), 0.1)
    detail = f"Best tokens a parameter: {', '.join(said)}. The best beats the largest by {gain.effect:.3f} nat."
    shares = by_seed["inside"]
    shaped: Outcome = "holds" if (shares == 1).all() else "does not hold" if (shares == 0).all() else "undecided"
    return replace(rule, outcome=weakest(rule.outcome, gain.outcome, shaped), detail=detail)


CLAIMS = (
    Claim(
        "c1",
        "One epoch beats many at equal cost: 0.05 nat or more below the best test loss of 40 epochs, which it reaches sooner; the "
        "gain grows with the number of epochs.",
        decide_epochs,
        "Speed-ups of 1.9 to 3.3 over ten epochs (abstract).",
    ),
    Claim(
        "c2",
        "Nothing overfits in one epoch, and regularisation only slows it: training and test loss agree within 0.05 nat, and "
        "dropout costs 0.03 nat or more.",
        decide_overfitting,
        "One-epoch training shows no overfitting, and regularisation slows it down (abstract).",
    ),
    Claim(
        "c3",
        "The test loss of one epoch is a power law of the iterations.",
        decide_power_law,
        "The curves of the test loss follow a power law (abstract).",
    ),
    Claim(
        "c4",
        "Size and iterations should be chosen together: at a fixed cost the loss is a U of the size, the best size beats the "
        "largest by 0.1 nat, and 5 tokens a parameter find it within 0.03 nat.",
        decide_sizes,
        "Speed-ups of 1 to 2.7 from the adjustment, 3.3 to 5.1 together with one epoch (abstract).",
    ),
)

ITERATIONS: dict[str, Any] = {"x_title": "iteration (log)", "log_x": True}
VIEWS = (
    Lines(
        title="Once is enough",
        caption="One epoch along a straight line? Repeated text stops teaching: its curve flattens or turns up.",
        y="test_loss",
        y_title="test loss (nats a token, log)",
        log_y=True,
        dashed=("epochs-40-dropout", "epochs-10-dropout", "one-epoch-dropout"),
        where={"arm": tuple(arm.name for arm in ARMS if arm.name != "sizes")},
        **ITERATIONS,
    ),
    Lines(
        title="Who overfits",
        caption="Test loss minus training loss, which is noisy at first, and includes dropout where there is any.",
        y="gap",
        y_title="test minus training loss (nats)",
        dashed=("epochs-40-dropout", "epochs-10-dropout", "one-epoch-dropout"),
        where={"arm": tuple(arm.name for arm in ARMS if arm.name != "sizes")},
        **ITERATIONS,
    ),
    Lines(
        title="The best size for a cost",
        caption="Test loss by size, with as many iterations as the cost allows. Claimed: the bottom is at 5 tokens a parameter.",
        table="sizes",
        x="parameters",
        y="test_loss",
        colour="cost",
        x_title="parameters (log)",
        y_title="test loss (nats a token)",
        log_x=True,
    ),
)


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Trains one model, or one of every size and cost."""
    if arm == "sizes":
        trade_sizes(params, inputs, record)
        return
    corpus, a_step = load(params), params.context * params.batch
    most = len(corpus.train) // a_step
    iterations = params.iterations or most
    if iterations > most:
        raise ParameterError(f"iterations is {iterations}; one pass over the corpus makes {most}, and no arm may process more.")
    epochs = EPOCHS.get(arm.removesuffix("-dropout"), 1)
    tokens = text.random_blocks(corpus.train, iterations * a_step / len(corpus.train) / epochs)
    model = network(params, params.width, params.dropout if arm.endswith("dropout") else 0.0, corpus, inputs)
    sample = text.evenly_spaced(corpus.test, params.context, params.test_tokens // params.context)
    batches = text.passes(tokens, params.context, params.batch, generator("batches", inputs.seed))
    losses: list[tuple[int, float]] = []  # iteration, test loss
    gaps: list[float] = []

    def evaluate(iteration: int, training_loss: float) -> None:
        test_loss = loss_on(model, sample, inputs.device)
        losses.append((iteration, test_loss))
        before = losses[-2][1] if len(losses) > 1 else test_loss
        gap, epoch = (before + test_loss) / 2 - training_loss, iteration * a_step / len(tokens)
        gaps.append(gap)
        record.scalars(iteration, test_loss=test_loss, training_loss=training_loss, gap=gap, epoch=epoch)
        record.table("test losses", {"iteration": iteration, "test_loss": test_loss})

    fit(model, batches, iterations, params.rate, evaluate, marks(iterations, params.evaluations), inputs.device, record)
    record.result(test_loss=losses[-1][1], best_test_loss=min(loss for _, loss in losses), gap=gaps[-1])


def load(params: Params) -> text.Corpus:
    """The corpus."""
    return text.prose() if params.corpus == "prose" else text.hub_tokens(params.corpus, "sample/10BT", params.tokens)


def network(params: Params, width: int, dropout: float, corpus: text.Corpus, inputs: Inputs) -> Decoder:
    """The model with its seed's initial weights."""
    heads = max(1, width // 16)
    if width % heads:
        raise ParameterError(f"A width of {width} cannot be shared out among {heads} heads. Choose a multiple of 16.")
    source = generator("initial weights", inputs.seed)
    model = Decoder(corpus.vocabulary, width=width, layers=params.layers, context=params.context, dropout=dropout, generator=source)
    return model.to(inputs.device)


def marks(iterations: int, evaluations: int) -> set[int]:
    """When to evaluate: at so many log-spaced iterations of the last tenfold, and at as few before."""
    last = np.geomspace(max(1, iterations / 10), iterations, evaluations)
    early = np.geomspace(1, max(1, iterations / 10), 4)[1:-1]
    return {round(float(mark)) for mark in (*early, *last)}


def fit(
    model: Decoder,
    batches: Iterator[tuple[Tensor, Tensor]],
    iterations: int,
    rate: float,
    evaluate: Callable[[int, float], None],
    when: set[int],
    device: str,
    record: Recorder,
    part: tuple[int, int] = (0, 1),
) -> None:
    """AdamW with a warm-up, gradients clipped at 1; `evaluate` gets the mean training loss since its last call.

    Args:
        part: which of how many trainings this is, for the progress.
    """
    optimiser = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    recent: list[Tensor] = []

    def loss(step: int) -> Tensor:
        tokens, targets = next(batches)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda")):
            logits = model(tokens.to(device))
        value = cross_entropy(logits.float().flatten(0, 1), targets.to(device).flatten())
        recent.append(value.detach())
        return value

    def after_step(step: int) -> None:
        if step in when:
            evaluate(step, float(torch.stack(recent).mean()))
            recent.clear()
        record.progress(part[0] * iterations + step, part[1] * iterations)

    train(loss, optimiser, iterations, schedule=warm_up(WARM_UP), clip=1.0, after_step=after_step)


def loss_on(model: Decoder, sample: tuple[Tensor, Tensor], device: str) -> float:
    """Mean cross-entropy in nats a token, in evaluation mode."""
    with evaluating(model):
        parts = zip(*(part.to(device).split(TEST_BATCH) for part in sample), strict=True)
        total = sum(float(cross_entropy(model(x).float().flatten(0, 1), y.flatten(), reduction="sum")) for x, y in parts)
    return total / sample[1].numel()


def trade_sizes(params: Params, inputs: Inputs, record: Recorder) -> None:
    """Every width at every cost, with the iterations that its parameters leave: C = P T, and no text twice."""
    corpus = text.code() if params.corpus == "prose" else load(params)
    sample = text.evenly_spaced(corpus.test, params.context, params.test_tokens // params.context)
    cases = [(cost, width, rate) for cost in params.costs for width, rate in zip(params.widths, params.rates, strict=True)]
    for number, (cost, width, rate) in enumerate(cases):
        model = network(params, width, 0.0, corpus, inputs)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        iterations = round(cost / parameters / (params.context * params.batch))
        if not 1 <= iterations <= len(corpus.train) // (params.context * params.batch):
            continue  # the text does not suffice for one pass
        batches = text.passes(corpus.train, params.context, params.batch, generator("batches", inputs.seed))
        tokens = iterations * params.context * params.batch
        place = {"cost": f"{cost:g}", "parameters": parameters, "tokens": tokens}

        def evaluate(step: int, _: float, model: Decoder = model, place: dict[str, Any] = place, width: int = width) -> None:
            loss = loss_on(model, sample, inputs.device)
            record.table("sizes", place | {"test_loss": loss})
            record.result(**{f"loss at width {width}, cost {place['cost']}": loss})

        fit(model, batches, iterations, rate, evaluate, {iterations}, inputs.device, record, (number, len(cases)))
