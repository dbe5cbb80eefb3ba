"""What this machine is, as runs note it. Looked at in a worker, where torch is."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Machine:
    """`devices` are torch's names, the preferred one first; `accelerator` is what the vendor calls it."""

    cores: int
    memory_bytes: int
    devices: tuple[str, ...]
    gpus: int
    accelerator: str
    system: str
    python: str
    versions: dict[str, str]
    commit: str  # of this program; "+" where files differ from it, empty where unknown

    def as_dict(self) -> dict[str, Any]:
        """For the store."""
        return asdict(self)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def look() -> Machine:
    """Describes this machine. Imports torch."""
    import psutil
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    return Machine(
        cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        devices=(("cuda",) if cuda else ()) + ("cpu",) + (("mps",) if mps else ()),
        gpus=torch.cuda.device_count() if cuda else 0,
        accelerator=torch.cuda.get_device_name(0) if cuda else "Apple GPU" if mps else "",
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
        commit=commit(),
    )


def commit() -> str:
    """The program's commit: PROVING_GROUND_COMMIT, or what git says."""
    named = os.environ.get("PROVING_GROUND_COMMIT")
    if named:
        return named
    git = ["git", "-C", str(Path(__file__).parents[2])]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "core", "models", ":!core/reference"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")
