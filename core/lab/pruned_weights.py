"""A pruned model to take away: its weights as safetensors with the mask's exact zeros, configuration and tokeniser beside them,
and a model card that says what was removed and what that cost.

The criterion is computed and the model measured anew, by core/lab/pruning.py, so that the card speaks of these very weights. The
files wait in core.exported's folder until they are fetched or pushed.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import exported, hub
from core.lab import pruning
from core.measures.masks import density
from core.methods.base import Arm, Inputs, Preset, param, tool
from core.recorder import Recorder

PAPER = tool("pruned-weights", "Pruned weights", "The pruned model as safetensors, with its measurements.")
CRITERIA = ("magnitude-global", "magnitude-layer", "random", "saliency", "wanda", "channels")


@dataclass(frozen=True)
class Params:
    """The model and items of a pruning run, one of its criteria, and one of its sparsities."""

    criterion: str = param("magnitude-global", "What decides which weights go.", choices=CRITERIA)
    sparsity: int = param(90, "Share of the weights to remove.", low=1, high=99, unit="%")
    model: str = param("starter/digits-vit", "A model of the Hub, owner/name, or starter/name.")
    revision: str = param("", "Its branch, tag or commit; empty: the newest.")
    data: str = param("digits-8", "A bundled data set, or one of the Hub, owner/name; empty: an upload.")
    config: str = param("", "The configuration of a Hub data set; empty: its first.")
    split: str = param("", "The part of the data; empty: the usual one.")
    column: str = param("", "The column with the images or texts; empty: the first that fits.")
    label: str = param("", "The column with the labels; empty: the first that fits.")
    items: int = param(512, "Items that the model is measured on.", low=2, high=100_000)
    calibration: int = param(128, "Further items that saliency and Wanda look at.", low=1, high=10_000)
    scope: str = param("body", "body: the output layer stays dense; all: it is pruned too.", choices=("body", "all"))
    only: str = param("", "Only layers whose name has one of these words in it; empty: all layers.")


ARMS = (Arm("export", "export", "Prunes, measures, and writes the files.", "method"),)
PRESETS = {
    "smoke": Preset(seconds=5, seeds=(0,), params={"items": 96, "calibration": 32}),
    "quick": Preset(seconds=30, seeds=(0,)),
}
CLAIMS = ()
VIEWS = ()
INPUTS = ("own", "upload")

PLAIN = (".json", ".txt", ".model", ".jinja")  # suffixes of configuration and tokeniser files
LEFT = ("provenance.json", "model.safetensors.index.json")


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Prunes, measures before and after, and writes the folder that the table "export" names."""
    subject = pruning.Subject(params, inputs, record)
    steps, done = 2 * subject.batches + subject.batches_ahead(params.criterion) + 1, 0

    def after() -> None:
        nonlocal done
        done += 1
        record.progress(done, steps)

    before = subject.measure(after)
    masks = pruning.masks_of(params.criterion, subject.scores(params.criterion, after), params.sparsity, subject.module)
    subject.apply(masks)
    measured = subject.measure(after)
    values = {"before": before.summary(before.predicted), "after": measured.summary(before.predicted)}
    source = hub.folder(params.model, params.revision)
    assert source is not None  # it was loaded from there
    folder = exported.new_folder(sum(weight.nbytes for weight in subject.module.parameters()))
    try:
        write(subject, source, folder)
        (folder / "README.md").write_text(card(params, subject, 1 - density(masks), values), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    after()
    sizes: list[dict[str, Any]] = [{"name": name, "bytes": (folder / name).stat().st_size} for name in exported.names(folder)]
    record.table("files", sizes)
    record.table("export", {"folder": folder.name, "bytes": sum(file["bytes"] for file in sizes)})
    record.result(sparsity=100 * (1 - density(masks)), **values["after"])


def write(subject: pruning.Subject, source: Path, folder: Path) -> None:
    """The weights as safetensors with the model's configuration, and its preprocessing or tokeniser as they were in `source`.

    Of a sentence encoder, whose parts lie in folders of their own, the encoder is written into its own, and the others are copied.
    """
    listed = source / "modules.json"
    place = json.loads(listed.read_text(encoding="utf-8"))[0]["path"] if listed.is_file() else ""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        is_part = path.suffix == ".safetensors" and relative.parent not in (Path(), Path(place))
        if path.is_file() and (is_part or path.suffix in PLAIN) and path.name not in LEFT:
            (folder / relative.parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)
    subject.module.save_pretrained(folder / place)


def card(params: Params, subject: pruning.Subject, sparsity: float, values: dict[str, dict[str, float]]) -> str:
    """A model card: the header that the Hub reads, and the measurements. `sparsity` is that of what may be pruned, in [0, 1]."""
    head: dict[str, Any] = {"library_name": "transformers", "tags": ["pruning", "sparse"]}
    if not params.model.startswith("starter/"):
        head["base_model"] = params.model
    arm = next(one for one in pruning.ARMS if one.name == params.criterion)
    weights = sum(weight.numel() for weight in subject.weights.values())
    before, after = values["before"], values["after"]
    of_all = sparsity * weights / subject.parameters
    data = f"`{params.data}`" if params.data else "an uploaded data set"
    kept = "Biases, normalisation and embeddings are as they were" + (
        ", and so is the output layer" if params.scope == "body" else ""
    )
    unit = "tokens" if subject.model.kind == "passages" else "items"
    probe = "The data have other classes than the model: a linear classifier on its dense features stood in for its head."
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        "---",
        f"# {params.model.rpartition('/')[2]}, pruned to {100 * sparsity:.3g}% zeros",
        "",
        f"Criterion: {arm.title}. {arm.help} Nothing was trained after it.",
        "",
        f"{100 * sparsity:.4g}% of {weights:,} weights are exactly zero,",
        f"{100 * of_all:.3g}% of all {subject.parameters:,} parameters. {kept}.",
        "",
        f"Measured on {int(after['measured']):,} {unit} of {data} that no criterion saw.",
        *([probe] if subject.probe else []),
        "",
        "| | before | after |",
        "|---|---|---|",
        *(f"| {name} | {said(before[key], mark)} | {said(after[key], mark)} |" for key, name, mark in MEASURES),
        f"| predictions that changed | | {said(after['disagreement'], '%')} |",
        "",
        "Zeros are stored as zeros: the file is as large as before, and small once it is compressed.",
        "The original's licence applies.",
    ]
    return "\n".join(lines) + "\n"


MEASURES = (
    ("accuracy", "accuracy", "%"),
    ("nll", "negative log-likelihood (nats)", ""),
    ("ece", "expected calibration error, 15 bins", "%"),
)


def said(value: float, unit: str) -> str:
    """A measure with four digits; a dash where it could not be taken."""
    return "–" if math.isnan(value) else f"{value:.4g}{unit}"
