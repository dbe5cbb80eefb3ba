"""Downloads a model of the Hub, so that snapshots of it can be made: safetensors and plain configuration, nothing else.

What was downloaded is kept in the Hub's own cache. A download that is cut or cancelled goes on from there when it is run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.methods.base import Arm, Inputs, Preset, param, tool

if TYPE_CHECKING:
    from core.recorder import Recorder

PAPER = tool(
    "download", "Download a model", "Fetches a model's safetensors and plain configuration files into the Hub's own cache."
)


@dataclass(frozen=True)
class Params:
    """Which model."""

    model: str = param("", "Its id on the Hub, owner/name.")
    revision: str = param("", "A branch, a tag or a commit; empty for the newest.")


ARMS = (Arm("download", "Download", "Fetches what is not here yet."),)

PRESETS = {
    "quick": Preset(seconds=60, seeds=(0,)),
    "smoke": Preset(seconds=5, seeds=(0,)),
}

CLAIMS = ()

VIEWS = ()

INPUTS = ("own",)


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Fetches the model and records its size. Raises: core.hub.HubError, with what to do."""
    import time

    import psutil

    from core import hub

    began = time.perf_counter()
    here: list[int] = []  # bytes that were here before

    def progress(done: int, total: int) -> None:
        """Counts only what is still to come, so that the time left is right for a download that goes on."""
        here.append(done) if not here else None
        record.progress(done - here[0], total - here[0])

    path = hub.fetch(params.model, params.revision, progress, memory_bytes=psutil.virtual_memory().total)
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    record.table("files", [{"name": file.relative_to(path).as_posix(), "bytes": file.stat().st_size} for file in sorted(files)])
    record.result(bytes=size, bytes_here_before=here[0] if here else size, seconds=time.perf_counter() - began)
