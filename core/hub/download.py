"""Downloading a model into the Hub's own cache, file by file, in a way that goes on where it was cut or killed.

huggingface_hub downloads into a new temporary file each time, so that what a killed process had is lost. Here the file being
downloaded has a lasting name beside the finished ones; when it is whole and its hash is right it becomes one of them, and
huggingface_hub does the rest: it finds all files in its cache, and links them into the folder of the commit.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from core import limits
from core.hub.failures import HubError, explaining
from core.hub.models import COMMIT, File, ModelInfo, Place, fits, folder, inspect, place

Progress = Callable[[int, int], None]
CHUNK = 1 << 20
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before trying again a connection that brought nothing
RETRIED = (408, 500, 502, 503, 504)


def fetch(name: str, revision: str = "", progress: Progress | None = None, memory_bytes: int | None = None) -> Path:
    """Downloads a model, as far as it is not here yet; returns the folder with its files.

    Args:
        progress: called with the bytes that are here and those of all wanted files, several times a second.
        memory_bytes: refuses a model that does not fit into so much memory.

    Raises:
        HubError: it cannot be had, cannot be used here, or is too large for the memory or the disk. What came is kept.
    """
    info = inspect(name, revision)
    if info.obstacle:
        raise HubError(info.obstacle)
    most = min(memory_bytes or math.inf, 1e9 * limits.from_environment().model_gigabytes)
    if not fits(info, most):
        needed, there = info.memory_bytes / 1e9, most / 1e9
        raise HubError(f"{name} needs about {needed:.1f} GB of memory, and may have {there:.1f} GB. Choose a smaller model.")
    if info.local:
        return info.local
    here, done = place(name), held(info)
    _expect_room(info, done, here)
    _report(progress, done, info)
    for file in (file for file in info.wanted if file.etag):
        others = done - _held(here, file, info.commit)
        if not here.blob(file).exists():
            with explaining(name, revision=revision, partial=True):
                _download(info, file, here, lambda size, others=others: _report(progress, others + size, info))  # type: ignore[misc]
        done = others + file.size
    return _linked(info, here)


def held(info: ModelInfo) -> int:
    """Bytes of a model's wanted files that are on this machine, those of files not yet whole included."""
    if info.local:
        return sum(file.size for file in info.wanted)
    here = place(info.name)
    return sum(_held(here, file, info.commit) for file in info.wanted)


def _held(here: Place, file: File, commit: str) -> int:
    if (here.snapshot(commit) / file.name).exists() or (file.etag and here.blob(file).exists()):
        return file.size
    partial = here.partial(file)
    return min(partial.stat().st_size, file.size) if file.etag and partial.exists() else 0


def _report(progress: Progress | None, done: int, info: ModelInfo) -> None:
    if progress:
        progress(done, sum(file.size for file in info.wanted))


def _expect_room(info: ModelInfo, there: int, here: Place) -> None:
    missing = sum(file.size for file in info.wanted) - there
    folder = next(path for path in (here.path, *here.path.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise HubError(
            f"{info.name} needs {missing / 1e9:.2f} GB more on the disk with {folder}, where {free / 1e9:.2f} GB are free. "
            "Free some space, or set HF_HOME to another disk."
        )


def _download(info: ModelInfo, file: File, here: Place, report: Callable[[int], None]) -> None:
    """One file, on from where it is, under the lock that huggingface_hub uses for it. Raises: HubError; the network; the disk."""
    from huggingface_hub.utils import WeakFileLock

    partial, blob = here.partial(file), here.blob(file)
    for parent in (here.locks, blob.parent):
        parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(here.locks / f"{file.etag}.lock"):
        if blob.exists():
            return
        with partial.open("ab") as target:
            for size in _received(info, file, target):
                report(size)
        if not _is_whole(partial, file):
            partial.unlink()
            raise HubError(f"{file.name} of {info.name} arrived damaged and was thrown away. Try again.")
        partial.replace(blob)


def _received(info: ModelInfo, file: File, target: BinaryIO) -> Iterator[int]:
    """Appends to a file what is missing; yields its size as it grows. A connection that is cut is made anew, with patience."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    tries = 0
    yield target.tell()
    while target.tell() < file.size:
        try:
            for size in _streamed(info, file, target):
                tries = 0
                yield size
            if target.tell() < file.size:
                raise httpx2.RemoteProtocolError("The answer ended early.")
        except (httpx2.TransportError, HfHubHTTPError) as error:
            answered = isinstance(error, HfHubHTTPError) and error.response.status_code not in RETRIED
            if answered or tries >= len(PAUSES):
                raise
            time.sleep(PAUSES[tries])
            tries += 1


def _streamed(info: ModelInfo, file: File, target: BinaryIO) -> Iterator[int]:
    """Appends what one connection brings; yields the size as it grows."""
    from huggingface_hub import constants, get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    address = hf_hub_url(info.name, file.name, revision=info.commit)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if target.tell():
        headers["Range"] = f"bytes={target.tell()}-"
    with get_session().stream("GET", address, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as answer:
        hf_raise_for_status(answer)
        if answer.status_code != 206:  # all of it comes, whatever was asked for
            target.seek(0)
            target.truncate()
        for chunk in answer.iter_raw():
            target.write(chunk)
            target.flush()  # so that it outlives this process
            yield target.tell()
            if target.tell() >= file.size:
                return


def _is_whole(path: Path, file: File) -> bool:
    """Whether a file has the hash that the Hub gives for it: sha256, or git's for small files."""
    digest = hashlib.sha256() if len(file.etag) == 64 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as source:
        while block := source.read(CHUNK):
            digest.update(block)
    return digest.hexdigest() == file.etag


def _linked(info: ModelInfo, here: Place) -> Path:
    """Lets huggingface_hub link the files into the commit's folder and fetch what has no hash; notes the revision."""
    from huggingface_hub import hf_hub_download

    with explaining(info.name, revision=info.revision, partial=True):
        for file in info.wanted:
            hf_hub_download(info.name, file.name, revision=info.commit)
        if not COMMIT.fullmatch(info.revision):
            ref = here.path / "refs" / info.revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(info.commit)
    path = folder(info.name, info.commit)
    if path is None:
        raise HubError(f"{info.name} could not be downloaded in full. Try again: it goes on from what is already here.")
    return path
