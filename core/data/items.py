"""What a snapshot is made of: items of any data set, images or texts or rows of numbers, with their labels where there are any.

items("digits-8", n=500)                              a bundled set, of its test part unless `split` says otherwise
items("uoft-cs/cifar10", split="test", n=500)         a data set of the Hub, only as much of it as is asked for
items(upload=file)                                    what core.data.uploads made of an upload
bundled()                                             what there is without a network, told without loading it
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from core.data import UnknownData

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from core.data.text import Corpus

Kind = Literal["images", "text", "tabular"]
PASSAGE = 512  # characters of a passage of prose or code
TEXT_NAMES = ("text", "sentence", "content")  # of columns, in this order
GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


@dataclass(frozen=True, eq=False)
class Items:
    """n items of one kind.

    Attributes:
        kind: which of `images`, `texts` and `rows` is filled.
        images: PIL images, grey ("L") or coloured ("RGB"), of any size; those of files are decoded each time one is taken.
        texts: strings.
        rows: (n, d) float32.
        labels: (n,) int64, indices into `classes`; -1 where an item has none; None where the data have none.
        classes: names of the classes.
        columns: further columns of the data, a row an item, for the person who looks at them.
    """

    kind: Kind
    images: Sequence[Image] = ()
    texts: Sequence[str] = ()
    rows: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    columns: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.images or self.texts) if self.rows is None else len(self.rows)


@dataclass(frozen=True)
class Bundled:
    """A set that ships with the app, as a page offers it.

    Attributes:
        parts: how many items each split has; "all" is all of them.
        labels: what its labels tell, in words; empty where it has none.
    """

    name: str
    title: str
    kind: Kind
    parts: dict[str, int] = field(hash=False)
    labels: str = ""


def bundled(kind: Kind | None = None) -> tuple[Bundled, ...]:
    """What ships with the app, or what of it is of one kind. Loads nothing."""
    return tuple(one for one in _BUNDLED if kind in (None, one.kind))


_BUNDLED = (
    Bundled("mnist-5k", "MNIST, 28 × 28 pixels", "images", {"test": 1000, "train": 4000, "all": 5000}, "the digit"),
    Bundled("digits-8", "Digits, 8 × 8 pixels", "images", {"test": 500, "train": 1297, "all": 1797}, "the digit"),
    Bundled(
        "names-12", "Names of countries, languages and currencies", "text",
        {"test": 466, "validation": 487, "train": 8347, "all": 9300}, "which of twelve languages it is in",
    ),
    Bundled("prose", "Passages of Python's help texts", "text", {"test": 88, "train": 816}),
    Bundled("code", "Passages of Python's standard library", "text", {"test": 912, "train": 8264}),
)  # fmt: skip


def items(
    name: str = "",
    n: int = 500,
    config: str = "",
    split: str = "",
    column: str = "",
    label: str = "",
    upload: bytes | None = None,
) -> Items:
    """The first n items of a data set, all of them where it has fewer.

    Args:
        name: of a bundled set, or owner/name of a data set of the Hub; not looked at where there is an upload.
        config: the subset, where a data set of the Hub has several.
        split: "test", "train", ...; empty for test. Bundled sets also have "all".
        column: with the images or texts; empty to find it.
        label: the column with the labels; empty to find it.
        upload: a Parquet file that core.data.uploads made.

    Raises:
        UnknownData: no such bundled set or split.
        core.data.hub.HubDataError: a data set of the Hub cannot be had.
    """
    if upload is not None:
        return _uploaded(upload, n)
    if name in _LOADERS:
        parts = next(one.parts for one in _BUNDLED if one.name == name)
        if split and split not in parts:
            raise UnknownData(f"{name} has no split {split!r}; it has: {', '.join(parts)}.")
        return _LOADERS[name](split or "test", n)
    if name.count("/") == 1:
        return _of_hub(name, n, config, split or "test", column, label)
    known = ", ".join(one.name for one in _BUNDLED)
    raise UnknownData(f"There is no data set {name!r}; bundled are {known}; a data set of the Hub is named owner/name.")


# --- bundled ------------------------------------------------------------------------------------------------------


def _images(name: str) -> Callable[[str, int], Items]:
    """Loads a bundled set of images; its parts are sorted by class, or not, so they are mixed by RandomState(0)."""

    def load(split: str, n: int) -> Items:
        import torch
        from PIL import Image

        from core import data

        halves = data.load(name)
        parts = {"train": (halves.train,), "test": (halves.test,), "all": (halves.test, halves.train)}[split]
        pixels, labels = torch.cat([part.pixels for part in parts]), torch.cat([part.labels for part in parts])
        chosen = np.random.RandomState(0).permutation(len(labels))[:n]
        grey = (pixels[chosen, 0] * 255).round().to(torch.uint8).numpy()
        images = [Image.fromarray(one) for one in grey]
        return Items("images", images=images, labels=labels.numpy()[chosen], classes=parts[0].classes)

    return load


def _names(split: str, n: int) -> Items:
    """Names that only one of twelve languages has, mixed by RandomState(0); the label is the language.

    Names that several languages share are left out: their parts of the corpus would teach one language and ask for another.
    """
    import pandas as pd
    from babel import Locale

    from core.data.names import TWELVE, names, parallel

    every = names(TWELVE)
    languages: dict[str, set[str]] = {}
    for name in every:
        languages.setdefault(name.translation, set()).add(name.language)
    part = every if split == "all" else getattr(parallel(TWELVE), split)
    own = [name for name in part if len(languages[name.translation]) == 1]
    chosen = [own[place] for place in np.random.RandomState(0).permutation(len(own))[:n]]
    return Items(
        "text",
        texts=[name.translation for name in chosen],
        labels=np.array([TWELVE.index(name.language) for name in chosen]),
        classes=tuple(Locale("en").languages[language] for language in TWELVE),
        columns=pd.DataFrame({"english": [name.english for name in chosen], "kind": [name.kind for name in chosen]}),
    )


def _passages(corpus: str) -> Callable[[str, int], Items]:
    """Loads passages of a corpus of core.data.text, spread over the whole of a part."""

    def load(split: str, n: int) -> Items:
        from core.data import text

        found: Corpus = getattr(text, corpus)()
        rows = getattr(found, split).view(-1, PASSAGE)
        chosen = np.random.RandomState(0).permutation(len(rows))[:n]
        return Items("text", texts=[text.decode(row) for row in rows[chosen]])

    return load


_LOADERS: dict[str, Callable[[str, int], Items]] = {
    "mnist-5k": _images("mnist-5k"),
    "digits-8": _images("digits-8"),
    "names-12": _names,
    "prose": _passages("prose"),
    "code": _passages("code"),
}


# --- files of strangers ---------------------------------------------------------------------------------------------


class Encoded(Sequence["Image"]):
    """Images as the bytes of their files, decoded each time one is taken, so that many of them fit into memory.

    Taking one raises UnknownData where it cannot be decoded.
    """

    def __init__(self, files: Sequence[bytes], source: str, first: int = 0) -> None:
        self._files, self._source, self._first = files, source, first

    def __len__(self) -> int:
        return len(self._files)

    def heads(self) -> Iterator[tuple[tuple[int, int], str]]:
        """Size and mode of each, without decoding it. Raises: UnknownData."""
        from PIL import Image

        for number, file in enumerate(self._files):
            with self._explained(number), Image.open(io.BytesIO(file)) as image:
                yield image.size, _plain_mode(image.mode)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Encoded: ...
    def __getitem__(self, index: int | slice) -> Image | Encoded:
        from PIL import Image

        if isinstance(index, slice):
            return Encoded(self._files[index], self._source, self._first + index.indices(len(self))[0])
        with self._explained(range(len(self))[index]), Image.open(io.BytesIO(self._files[index])) as image:
            return image.convert(_plain_mode(image.mode))

    @contextmanager
    def _explained(self, number: int) -> Iterator[None]:
        from PIL import Image

        try:
            yield
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnknownData(f"Image {self._first + number + 1} of {self._source} cannot be decoded: {error}") from error


def _plain_mode(mode: str) -> str:
    return "L" if mode in GREY_MODES else "RGB"


def _of_hub(name: str, n: int, config: str, split: str, column: str, label: str) -> Items:
    """Rows of a data set of the Hub; its columns are found by their types where they are not named."""
    from core.data.hub import HubDataError, rows

    table = rows(name, split, config or None, n)
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    for asked in (column, label):
        if asked and asked not in table.column_names:
            raise HubDataError(f"{name} has no column {asked!r}; it has: {', '.join(table.column_names)}.")
    label = label or _label_column(table, features)
    column = column or _item_column(table, label)
    if not column:
        found = ", ".join(table.column_names)
        raise HubDataError(f"{name} has no column of images or texts; it has: {found}. Choose another data set.")
    names = (features.get(label) or {}).get("names") if isinstance(features.get(label), dict) else None
    return _from_table(table, column, label, names, name)


def _label_column(table: Any, features: dict[str, Any]) -> str:
    """The first column of class labels, else one that is named as such; empty where there is none."""
    classes = [name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"]
    return next((name for name in (*classes, "label", "labels") if name in table.column_names), "")


def _item_column(table: Any, label: str) -> str:
    """The first column of images, else one of texts; empty where there is none."""
    import pyarrow as pa

    texts = []
    for column in table.schema:
        if _is_images(column.type):
            return column.name
        if (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)) and column.name != label:
            texts.append(column.name)
    return next((name for name in TEXT_NAMES if name in texts), texts[0] if texts else "")


def _is_images(kind: Any) -> bool:
    """Whether a column holds images as the Hub's Parquet files do: {bytes, path}, or {bytes}."""
    import pyarrow as pa

    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _from_table(table: Any, column: str, label: str, names: Sequence[str] | None, source: str) -> Items:
    """Items of a column of images or texts, with labels, and what else a person can read of a row."""
    import pyarrow as pa

    labels, classes = as_labels(table[label].to_pylist(), names) if label else (None, ())
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    others = [one.name for one in table.schema if one.name not in (column, label) and any(is_kind(one.type) for is_kind in plain)]
    columns = table.select(others).to_pandas() if others else None
    values = table[column].to_pylist()
    if _is_images(table.schema.field(column).type):
        images = Encoded([(value or {}).get("bytes") or b"" for value in values], source)
        return Items("images", images=images, labels=labels, classes=classes, columns=columns)
    texts = ["" if value is None else str(value) for value in values]
    return Items("text", texts=texts, labels=labels, classes=classes, columns=columns)


def as_labels(values: Sequence[Any], names: Sequence[str] | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (n,) as indices into the names of classes, -1 where there is none; without names, the sorted values are the classes.

    >>> as_labels(["dog", None, "cat"])
    (array([ 1, -1,  0]), ('cat', 'dog'))
    >>> as_labels([1, 0, -1], ["no", "yes"])[0].tolist()
    [1, 0, -1]
    """
    if names:
        known = [value if isinstance(value, int) and 0 <= value < len(names) else -1 for value in values]
        return np.array(known, dtype=np.int64), tuple(map(str, names))
    classes = sorted({value for value in values if value not in (None, "") and value == value})  # NaN is not itself
    places = {value: number for number, value in enumerate(classes)}
    return np.array([places.get(value, -1) for value in values], dtype=np.int64), tuple(map(str, classes))


ABOUT = b"proving_ground"  # key of the metadata that core.data.uploads writes into its Parquet files


def _uploaded(file: bytes, n: int) -> Items:
    """What core.data.uploads made: columns `image`, `text` or the numbers it names, `label` with the names of its classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(file)).slice(0, n)
    about = json.loads(table.schema.metadata[ABOUT])
    label = "label" if about["classes"] else ""
    if about["kind"] == "tabular":
        numbers = np.stack([table[name].to_numpy() for name in about["numbers"]], axis=1).astype(np.float32)
        labels = table["label"].to_numpy().astype(np.int64) if label else None
        return Items("tabular", rows=numbers, labels=labels, classes=tuple(about["classes"]))
    return _from_table(table, {"images": "image", "text": "text"}[about["kind"]], label, about["classes"] or None, "the upload")
