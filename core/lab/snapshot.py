"""What a model makes of a data set, computed once and kept: features of a layer, logits, labels, and the items themselves.

Every page that looks into a model reads snapshots, and so does every paper that works on frozen features. The items are the first
of a data set. Of a language model an item is a place in a text: its features are the state that the next token is predicted from,
and its target is that token.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.methods.base import Arm, Inputs, ParameterError, Preset, param, tool

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image

    from core.data.items import Items
    from core.recorder import Recorder
    from models.hub import HubModel, Passage

PAPER = tool("snapshot", "A snapshot of a model", "What a model makes of data: features, logits, labels and the items themselves.")

PIECE = 1000  # items that are recorded together
THUMBNAIL = 64  # pixels of its longer side at most
LARGEST_BATCH = 64  # larger ones keep a GPU no busier, and their pictures leave the cache of the CPU that prepares them
ACTIVATION_BYTES = {"cpu": 8e6, "cuda": 1e9}  # of a batch's largest activation: on a CPU, what its cache holds
KEPT_TOKENS, MOST_COLUMNS = 32, 256
TAIL = 160  # characters before a language model's item that are shown


@dataclass(frozen=True)
class Params:
    """Which model, and which data."""

    model: str = param("", "A model of the Hub, owner/name, or a starter, starter/name.")
    revision: str = param("", "A branch, a tag or a commit of the model; empty for the newest.")
    layer: str = param("", "Whose output is kept as features; empty for the last, pooled.")
    data: str = param("", "A bundled data set, or one of the Hub, owner/name; empty with an upload.")
    config: str = param("", "The subset, where a data set of the Hub has several.")
    split: str = param("", "Which part of the data: test, train, ...; empty for test.")
    column: str = param("", "The column with the images or texts; empty to find it.")
    label: str = param("", "The column with the labels; empty to find it.")
    items: int = param(500, "How many items, the first of the data.", low=1, high=100_000)


ARMS = (Arm("snapshot", "Snapshot", "Computes what the model makes of the data."),)

PRESETS = {
    "quick": Preset(seconds=30, seeds=(0,)),
    "smoke": Preset(seconds=5, seeds=(0,), params={"model": "starter/mnist-resnet", "data": "mnist-5k", "items": 50}),
}

CLAIMS = ()

VIEWS = ()

INPUTS = ("own", "upload")


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Loads model and data, and records what the one makes of the other. Raises: HubError, UnknownData, in words."""
    from core.data.items import items
    from models import hub as models

    halves = fetch(params, record)
    model = models.load(f"{params.model}@{params.revision}" if params.revision else params.model, device=inputs.device)
    data = items(params.data, params.items, params.config, params.split, params.column, params.label, inputs.upload)
    expect_fitting(model, data, params)
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        record.progress(done + (halves - 1) * total, halves * total)

    make = record_passages if model.kind == "passages" else record_items
    found = make(model, data, params, record, progress)
    if data.classes:
        record.table("classes", [{"name": name} for name in data.classes])
    seconds = time.perf_counter() - began
    record.result(seconds=seconds, items_per_second=found["items"] / seconds, **found)


def fetch(params: Params, record: Recorder) -> int:
    """Downloads the model where it is not here; returns how many halves the progress has: a download is the first of two."""
    import psutil

    from core import hub

    if not params.model:
        raise ParameterError("Which model? Give its id on the Hub, owner/name, or a starter, starter/name.")
    if hub.folder(params.model, params.revision):
        return 1
    hub.fetch(
        params.model,
        params.revision,
        lambda done, total: record.progress(done, 2 * total),
        memory_bytes=psutil.virtual_memory().total,
    )
    return 2


def expect_fitting(model: HubModel, data: Items, params: Params) -> None:
    """Raises: ParameterError where the model takes other items than the data has, or there are none."""
    wanted = "images" if model.kind == "images" else "text"
    source = params.data or "The upload"
    if data.kind != wanted:
        raise ParameterError(f"{params.model} takes {wanted}, and {source} has {data.kind}. Choose other data or another model.")
    if not len(data):
        raise ParameterError(f"{source} has no items. Choose other data.")


# --- items one by one: images and texts -----------------------------------------------------------------------------


def record_items(
    model: HubModel, data: Items, params: Params, record: Recorder, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Records a row an item; returns the metrics."""
    import numpy as np

    given: Sequence[Any] = data.images if data.kind == "images" else data.texts
    extract = Extraction(model, params.layer)
    places = matched(data.classes, model.outputs)
    thumbnails = Thumbnails(data.images) if data.kind == "images" else None
    right = known = 0
    for start in range(0, len(data), PIECE):
        piece = slice(start, min(start + PIECE, len(data)))
        labels = data.labels[piece] if data.labels is not None else np.full(piece.stop - start, -1)
        features, logits = extract(given[piece], lambda done, start=start: progress(start + done, len(data)))  # type: ignore[misc]
        record.embedding(start, features, labels, name="features")
        if logits is not None:
            targets = np.where(labels >= 0, places[labels], -1) if len(places) else np.full(len(labels), -1)
            record.predictions(start, logits, targets)
            known += int((targets >= 0).sum())
            right += int((logits.argmax(axis=1) == targets).sum())
        if thumbnails:
            record.images(start, "thumbnails", thumbnails.of(given[piece]))
        record.table("items", described(data, piece))
    if model.outputs:
        record.table("outputs", [{"name": name} for name in model.outputs])
    return {"items": len(data), **({"accuracy": right / known} if known else {})}


def matched(classes: Sequence[str], outputs: Sequence[str]) -> np.ndarray:
    """For each class of the data the model's output of that name, -1 where it has none.

    Case and underscores do not count, and of names with commas ("tench, Tinca tinca") one must agree. Outputs without names
    (LABEL_0, ...) are taken in their order where there are as many of them as classes.

    >>> matched(("Cat", "sea_lion", "dog"), ("tabby, cat", "sea lion")).tolist()
    [0, 1, -1]
    """
    import numpy as np

    if len(classes) == len(outputs) and all(name == f"LABEL_{number}" for number, name in enumerate(outputs)):
        return np.arange(len(classes))
    by_name: dict[str, int] = {}
    for number, name in enumerate(outputs):
        for part in _names(name):
            by_name.setdefault(part, number)
    return np.array([next((by_name[part] for part in _names(name) if part in by_name), -1) for name in classes], dtype=int)


def _names(name: str) -> list[str]:
    """A class's name and, where it has commas, each of its parts, in one spelling."""
    plain = " ".join(name.lower().replace("_", " ").split())
    return [plain, *(part.strip() for part in plain.split(","))]


def described(data: Items, piece: slice) -> pd.DataFrame:
    """The rows of the table of items."""
    import pandas as pd

    rows = {"item": range(piece.start, piece.stop), **({"text": list(data.texts[piece])} if data.kind == "text" else {})}
    more = data.columns.iloc[piece].reset_index(drop=True) if data.columns is not None else pd.DataFrame()
    return pd.concat([pd.DataFrame(rows), more[[column for column in more if column not in rows]]], axis=1)


class Thumbnails:
    """Small pictures of one shape: alike ones scaled to at most 64 pixels, others cut to squares."""

    def __init__(self, images: Sequence[Image]) -> None:
        from core.data.items import Encoded

        heads = list(images.heads()) if isinstance(images, Encoded) else [(image.size, image.mode) for image in images]
        sizes, modes = {size for size, _ in heads}, {mode for _, mode in heads}
        width, height = sizes.pop() if len(sizes) == 1 else (THUMBNAIL, THUMBNAIL)
        scale = min(1.0, THUMBNAIL / max(width, height))
        self.size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self.mode = "L" if modes == {"L"} else "RGB"

    def of(self, images: Sequence[Image]) -> np.ndarray:
        """(n, height, width) or (n, height, width, 3) in [0, 1]."""
        import numpy as np
        from PIL import Image, ImageOps

        small = (
            image if image.size == self.size else ImageOps.fit(image, self.size, Image.Resampling.BILINEAR)
            for image in (image.convert(self.mode) for image in images)
        )  # fmt: skip
        return np.stack([np.asarray(image, dtype=np.float32) / 255 for image in small])


# --- items within texts: a language model's next tokens --------------------------------------------------------------


def record_passages(
    model: HubModel, data: Items, params: Params, record: Recorder, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Records a row a place in the texts; returns the metrics.

    The logits of a large vocabulary are kept for the tokens that come first, and the target; all others share what is left of the
    probability in columns of their own, as many as it takes that none of these comes first. So confidence, correctness and
    log-likelihood are those of all tokens.
    """
    import numpy as np
    import pandas as pd

    passages = model.passages(data.texts, params.items)
    total = sum(len(passage.places) for passage in passages)
    extract = Extraction(model, params.layer)
    kept: list[Leading] = []
    done = right = vocabulary = 0
    for chosen in in_pieces(passages):
        features, logits = extract(chosen, lambda more, done=done: progress(done + more, total))  # type: ignore[misc]
        assert logits is not None
        targets = np.array([target for passage in chosen for target in passage.targets])
        labels = [-1 if data.labels is None else data.labels[passage.source] for passage in chosen for _ in passage.places]
        predicted = logits.argmax(axis=1)
        record.embedding(done, features, labels, name="features")
        record.table("items", pd.DataFrame(told(model, chosen, predicted), columns=["text", "token", "predicted"]))
        vocabulary = logits.shape[1]
        if vocabulary <= MOST_COLUMNS:
            record.predictions(done, logits, targets)
        else:
            kept.append(leading(logits, targets))
        right += int((predicted == targets).sum())
        done += len(features)
    names = [model.text([token]) for token in range(vocabulary)] if not kept else record_leading(kept, record)
    record.table("outputs", [{"name": name} for name in names])
    return {"items": total, "accuracy": right / total}


def in_pieces(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    """Passages that have about PIECE places together."""
    piece: list[Passage] = []
    for passage in passages:
        piece.append(passage)
        if sum(len(one.places) for one in piece) >= PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def told(model: HubModel, passages: Sequence[Passage], predicted: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """For each place the text up to it, the token that comes next, and the one that was predicted."""
    places = [(passage, place) for passage in passages for place in passage.places]
    for (passage, place), guess in zip(places, predicted, strict=True):
        before = model.text(passage.tokens[max(0, place + 1 - TAIL) : place + 1])
        yield before[-TAIL:], model.text([passage.tokens[place + 1]]), model.text([guess])


@dataclass(frozen=True, eq=False)
class Leading:
    """Next-token logits (n, KEPT_TOKENS) of the tokens that come first, targets (n,) among them, and what all others have together.

    Attributes:
        others: (n,) the logarithm of the sum of the exponentials of the other tokens' logits.
    """

    logits: np.ndarray
    targets: np.ndarray
    others: np.ndarray

    @property
    def columns(self) -> int:
        """Columns that the others must be spread over so that none of them comes before the first token."""
        import numpy as np

        return math.ceil(np.exp(np.minimum(self.others - self.logits.max(axis=1), 50)).max() * (1 + 1e-6))

    def spread(self, columns: int) -> np.ndarray:
        """(n, KEPT_TOKENS + columns): behind the tokens' logits those of the others, in equal shares."""
        import numpy as np

        share = (self.others - math.log(columns))[:, None]
        return np.concatenate([self.logits, np.broadcast_to(share, (len(share), columns))], axis=1).astype(np.float32)


def leading(logits: np.ndarray, targets: np.ndarray) -> Leading:
    """The first KEPT_TOKENS by their logits, the target in the last place where it is not among them, and all others together."""
    import numpy as np
    from scipy.special import logsumexp

    order = np.argsort(-logits, axis=1, kind="stable")
    first = order[:, :KEPT_TOKENS]
    among = first == targets[:, None]
    first[~among.any(axis=1), -1] = targets[~among.any(axis=1)]
    rest = logits.astype(np.float64)
    kept = np.take_along_axis(rest, first, axis=1)
    np.put_along_axis(rest, first, -np.inf, axis=1)
    places = np.where(among.any(axis=1), among.argmax(axis=1), KEPT_TOKENS - 1)
    return Leading(kept, places, logsumexp(rest, axis=1))


def record_leading(kept: Sequence[Leading], record: Recorder) -> list[str]:
    """Records predictions with as many columns as the items need; returns the names of the columns.

    Where that were more than MOST_COLUMNS, the confidence of the flattest predictions is that of a share of the others; how many
    there are is a metric.
    """
    columns = min(max(part.columns for part in kept), MOST_COLUMNS - KEPT_TOKENS)
    done = flat = 0
    for part in kept:
        logits = part.spread(columns)
        record.predictions(done, logits, part.targets)
        flat += int((logits.argmax(axis=1) >= KEPT_TOKENS).sum())
        done += len(logits)
    if flat:
        record.result(items_of_inexact_confidence=flat)
    tokens = [f"token of rank {rank}" for rank in range(1, KEPT_TOKENS)]
    return [*tokens, f"token of rank {KEPT_TOKENS}, or the target", *(f"other tokens, share {n}" for n in range(1, columns + 1))]


# --- running the model ------------------------------------------------------------------------------------------------


class Extraction:
    """Features and logits of any number of items, in batches whose size follows from the model, and is halved where memory ends.

    The size does not depend on how fast or busy the machine is, so that the same items give the same numbers.
    """

    def __init__(self, model: HubModel, layer: str = "") -> None:
        self.model = model
        self.layer = model.resolve(layer)
        self.size = 0  # of a batch; 0 until there was an item to measure

    def __call__(self, items: Sequence[Any], progress: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray | None]:
        """Features (n, d) and logits (n, outputs) in the order of the items; `progress` is told how many are done.

        Raises:
            MemoryError: not even one item fits.
        """
        import numpy as np

        order: Sequence[int] = range(len(items))
        if self.model.kind == "text":  # texts of like length together, so that little is padding
            order = sorted(order, key=lambda number: -len(items[number]))
        if not self.size:
            self.size = self._size(items[order[0]])
        features: list[np.ndarray] = []
        logits: list[np.ndarray] = []
        at = done = 0
        while at < len(order):
            chosen = [items[number] for number in order[at : at + self.size]]
            try:
                found, scores = self._batch(chosen)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.size == 1:
                    raise
                self.size = max(1, min(self.size, len(chosen)) // 2)
                continue
            features.append(found)
            if scores is not None:
                logits.append(scores)
            at += len(chosen)
            done += len(found)
            progress(done)
        back = np.argsort(order) if self.model.kind == "text" else slice(None)
        return np.concatenate(features)[back], np.concatenate(logits)[back] if logits else None

    def _batch(self, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray | None]:
        features, logits = self.model.features_and_logits(self.model.preprocess(items), self.layer)
        return features.float().cpu().numpy(), None if logits is None else logits.float().cpu().numpy()

    def _size(self, largest: Any) -> int:
        """How many items a batch has: as many as keep the largest activation below ACTIVATION_BYTES."""
        kind = "cpu" if self.model.device == "cpu" else "cuda"
        needed = self.model.largest_activation(self.model.preprocess([largest]))
        return max(1, min(LARGEST_BATCH, int(ACTIVATION_BYTES[kind] / needed)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or torch says that memory has ended, on any device."""
    return isinstance(error, MemoryError) or "memory" in str(error).lower()
