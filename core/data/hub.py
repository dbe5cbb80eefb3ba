"""Images and texts of Hugging Face Hub data sets, from their Parquet files: nothing else is downloaded, and no code of theirs runs.

HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are honoured by huggingface_hub. What was downloaded once is read from its cache.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.data.images import Images
from core.hub.failures import HubError, explaining

CONVERTED = "refs/convert/parquet"  # where the Hub keeps its own Parquet copy of data sets that have none
GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


class HubDataError(HubError):
    """A data set of the Hub cannot be had. The message says why and what to do."""


@lru_cache(maxsize=4)
def images(
    dataset: str,
    split: str,
    *,
    config: str | None = None,
    label: str | None = None,
    size: int | None = None,
    limit: int | None = None,
) -> Images:
    """The images and labels of one split of a Hub data set.

    Args:
        dataset: its id, e.g. "ylecun/mnist" or "uoft-cs/cifar10".
        split: its name on the Hub, e.g. "train" or "test".
        config: the subset, where the data set has several (a folder of its Parquet files).
        label: the column with the labels; without it, the first column of class labels, else the one named label.
        size: resizes and crops to size x size pixels; needed where the images differ in size.
        limit: only the first so many rows.

    Returns:
        pixels (n, 1, height, width) where all images are grey, else (n, 3, height, width).

    Raises:
        HubDataError: offline, missing, gated, without Parquet files for the split, or not a set of labelled images.
    """
    table = _read(_parquet_files(dataset, split, config), limit)
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    label = label or _label_column(table, features, dataset)
    if label not in table.column_names:
        raise HubDataError(f"{dataset} has no column {label!r}; it has: {', '.join(table.column_names)}.")
    pixels = _decode(table[_image_column(table, dataset)].to_pylist(), size, dataset)
    labels, classes = _labels(table[label].to_pylist(), features.get(label, {}).get("names"))
    return Images(pixels, labels, classes)


def rows(dataset: str, split: str, config: str | None = None, limit: int = 500) -> Any:
    """The first rows of a split as a pyarrow table, with the schema's metadata; only the files that hold them are downloaded.

    Raises:
        HubDataError: offline, missing, gated, or without Parquet files for the split.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pieces: list[Any] = []
    missing = limit
    for path in _files_in_order(dataset, split, config):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=min(missing, 1000)):
            pieces.append(batch.slice(0, missing))
            missing -= len(pieces[-1])
            if not missing:
                return pa.Table.from_batches(pieces)
    if not pieces:
        raise HubDataError(f"{dataset} has no rows in the split {split!r}. Choose another split or data set.")
    return pa.Table.from_batches(pieces)


def _files_in_order(dataset: str, split: str, config: str | None) -> Iterator[Path]:
    """The Parquet files of a split, each downloaded when it is asked for; without a Hub those that are in the cache."""
    import httpx2
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import OfflineModeIsEnabled, RevisionNotFoundError

    for revision in ("main", CONVERTED):
        with explaining(dataset, "data set", raises=HubDataError):
            try:
                listed = HfApi().list_repo_files(dataset, repo_type="dataset", revision=revision)
            except RevisionNotFoundError:
                continue
            except (OfflineModeIsEnabled, httpx2.TransportError):
                break
        names = _matching((name for name in listed if name.endswith(".parquet")), dataset, split, config)
        for name in names:
            with explaining(dataset, "data set", raises=HubDataError, partial=True):
                path = Path(hf_hub_download(dataset, name, repo_type="dataset", revision=revision))
            yield path
        if names:
            return
    yield from _parquet_files(dataset, split, config)


def texts(dataset: str, config: str = "", column: str = "text") -> Iterator[str]:
    """The texts of a data set, document by document; its Parquet files are downloaded one by one, only as far as is read.

    Args:
        config: the folder of its Parquet files, e.g. "sample/10BT".

    Raises:
        HubDataError: offline, missing, gated, or without such files or such a column.
    """
    import pyarrow.parquet as pq
    from huggingface_hub import HfApi, hf_hub_download

    with explaining(dataset, "data set", raises=HubDataError):
        names = [name for name in HfApi().list_repo_files(dataset, repo_type="dataset") if name.endswith(".parquet")]
        names = sorted(name for name in names if name.startswith(config))
        if not names:
            raise HubDataError(f"{dataset} has no Parquet files in {config or 'any folder'!r}. Choose another config or data set.")
        for name in names:
            file = pq.ParquetFile(hf_hub_download(dataset, name, repo_type="dataset"))
            if column not in file.schema_arrow.names:
                raise HubDataError(f"{dataset} has no column {column!r}; it has: {', '.join(file.schema_arrow.names)}.")
            for batch in file.iter_batches(columns=[column]):
                yield from batch.column(0).to_pylist()


def tokeniser_of(model: str) -> Any:
    """The tokeniser of a model of the Hub, from its tokenizer.json. Raises: HubDataError."""
    from huggingface_hub import hf_hub_download
    from tokenizers import Tokenizer

    with explaining(model, raises=HubDataError):
        return Tokenizer.from_file(hf_hub_download(model, "tokenizer.json"))


def _parquet_files(dataset: str, split: str, config: str | None) -> list[Path]:
    """Downloads the split's Parquet files, or finds them in the cache."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalEntryNotFoundError

    uncached = None
    with explaining(dataset, "data set", raises=HubDataError):
        for revision in ("main", CONVERTED):
            try:
                folder, names = _download(dataset, split, config, revision)
            except LocalEntryNotFoundError as error:  # no Hub, and not in the cache: perhaps the converted copy is
                uncached = uncached or error
                continue
            if names:
                return [folder / name for name in names]
        if uncached:
            raise uncached
        held = [name for name in HfApi().list_repo_files(dataset, repo_type="dataset") if name.endswith(".parquet")]
    there = f"its Parquet files are {', '.join(held[:8])}" if held else "it has no Parquet files at all"
    wanted = f"the split {split!r}" + (f" of {config!r}" if config else "")
    raise HubDataError(f"{dataset} has no Parquet files for {wanted}: {there}. Choose another split, config or data set.")


def _download(dataset: str, split: str, config: str | None, revision: str) -> tuple[Path, list[str]]:
    """The folder with the files of a split at a revision, and their names below it; none where there is no such revision."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError, RevisionNotFoundError

    folders = (f"{config}/",) if config else ("", "*/")
    patterns = [f"{folder}{split}{ending}" for folder in folders for ending in ("-*.parquet", "/*.parquet", ".parquet")]
    request: dict[str, Any] = {"repo_id": dataset, "repo_type": "dataset", "revision": revision, "allow_patterns": patterns}
    try:
        with suppress(DryRunError):  # which files there are, before any is fetched; where no Hub answers, the cache is tried below
            _matching((file.filename for file in snapshot_download(**request, dry_run=True)), dataset, split, config)
        folder = Path(snapshot_download(**request))
    except RevisionNotFoundError:
        return Path(), []
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    return folder, _matching(found, dataset, split, config)


def _matching(names: Iterable[str], dataset: str, split: str, config: str | None) -> list[str]:
    """Those Parquet files of `names` that hold the split, sorted. Raises: HubDataError where several configs have it."""
    exact = re.compile(rf"(?:(?P<config>.+)/)?{re.escape(split)}(?:-[^/]*|/[^/]*)?\.parquet")
    matches = {name: found["config"] or "" for name in sorted(names) if (found := exact.fullmatch(name))}
    configs = sorted({config} & set(matches.values()) if config else set(matches.values()))
    if len(configs) > 1:
        raise HubDataError(f"{dataset} has several configs with the split {split!r}: {', '.join(configs)}. Choose one by config.")
    return [name for name, folder in matches.items() if folder in configs]


def _read(files: Sequence[Path], limit: int | None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables, rows = [], 0
    for file in files:
        if limit is None or rows < limit:
            tables.append(pq.read_table(file))
            rows += len(tables[-1])
    return pa.concat_tables(tables).slice(0, limit)


def _image_column(table: Any, dataset: str) -> str:
    """The column whose values are {bytes, path}: how Parquet files of the Hub hold images."""
    import pyarrow as pa

    for field in table.schema:
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return field.name
    raise HubDataError(f"{dataset} has no column of images; it has: {', '.join(table.column_names)}. Choose an image data set.")


def _label_column(table: Any, features: dict[str, Any], dataset: str) -> str:
    classes = [name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"]
    for name in (*classes, "label", "labels"):
        if name in table.column_names:
            return name
    raise HubDataError(f"{dataset} has no column of class labels; name one by label, of: {', '.join(table.column_names)}.")


def _labels(values: list[Any], names: list[str] | None) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Labels as indices into the names of the classes; without names, the sorted values are the classes."""
    if names:
        return torch.tensor(values), tuple(names)
    classes = sorted(set(values))
    return torch.tensor([classes.index(value) for value in values]), tuple(map(str, classes))


def _decode(items: list[dict[str, bytes]], size: int | None, dataset: str) -> torch.Tensor:
    """Encoded images as pixels (n, channels, height, width) in [0, 1]."""
    from PIL import Image, ImageOps

    arrays = []
    for item in items:
        encoded = Image.open(io.BytesIO(item["bytes"]))
        image = encoded.convert("L" if encoded.mode in GREY_MODES else "RGB")
        if size:
            image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
        arrays.append(np.asarray(image))
    shapes = {array.shape[:2] for array in arrays}
    if len(shapes) > 1:
        some = " and ".join(f"{height} x {width}" for height, width in sorted(shapes)[:2])
        raise HubDataError(f"The images of {dataset} differ in size, e.g. {some} pixels. Give the size to bring them to.")
    if len({array.ndim for array in arrays}) > 1:  # grey images among coloured ones
        arrays = [np.repeat(array[:, :, None], 3, axis=2) if array.ndim == 2 else array for array in arrays]
    stacked = torch.from_numpy(np.stack(arrays))
    stacked = stacked.unsqueeze(1) if stacked.ndim == 3 else stacked.movedim(-1, 1)
    return stacked.float().div_(255)
