"""Models that were made here to be taken away: a folder of files each, kept until somebody fetches them, and as one zip.

A worker writes the files and the web process reads them, both beside the store's machine: in PROVING_GROUND_EXPORTS, or in the
system's folder for temporary files. The folders' names are drawn by chance; nothing that a person types is part of a path.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

KEPT_SECONDS = 24 * 3600
ROOM = 1.1  # times the size of the weights that must be free
CHUNK = 2**20
NAME = re.compile(r"model-[a-z0-9_]+")


class ExportError(RuntimeError):
    """The files cannot be written; the message says why and what to do."""


def root() -> Path:
    """The folder of all exports, which only this user may read; made where it is not there yet."""
    path = Path(os.environ.get("PROVING_GROUND_EXPORTS") or Path(tempfile.gettempdir()) / f"proving-ground-exports-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def new_folder(needed: int) -> Path:
    """An empty folder for an export of about `needed` bytes. Those older than a day are removed first.

    Raises:
        ExportError: the disk has no room.
    """
    for old in root().iterdir():
        if NAME.fullmatch(old.name) and time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    free = shutil.disk_usage(root()).free
    if free < ROOM * needed:
        raise ExportError(
            f"The files take {needed / 1e9:.2f} GB, but {root()} has {free / 1e9:.2f} GB left. Free some, and try again."
        )
    return Path(tempfile.mkdtemp(prefix="model-", dir=root()))


def find(name: str) -> Path | None:
    """The folder of that name; None where there is none, or no longer."""
    path = root() / name if NAME.fullmatch(name) else None
    return path if path and path.is_dir() else None


def names(folder: Path) -> list[str]:
    """The files of a folder, with the folders within it that they are in, in order."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def zipped(folder: Path) -> Iterator[bytes]:
    """The folder's files as one zip, made while it is read: never more than a piece of it is in memory."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload]
        for name in names(folder):
            path = folder / name
            entry = zipfile.ZipInfo.from_file(path, name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(CHUNK):
                    target.write(piece)
                    yield sink.taken()
    yield sink.taken()


class _Sink:
    """What zipfile writes into, which cannot be rewound."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
