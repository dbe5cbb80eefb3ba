"""What all tests share: threads for numbers that repeat, what happens where there is no browser, and a disk to be filled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chromium import CHROMIUM

os.environ["PROVING_GROUND_REFERENCE"] = str(Path(__file__).parent / "no reference results")  # a store starts empty
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; the same for the processes that tests start

BROWSER_TESTS = Path(__file__).parent / "browser"
NO_CHROMIUM = f"There is no Chromium at {CHROMIUM}, so no browser was tried: install it, or say with CHROMIUM where it is."


def pytest_runtest_setup(item: pytest.Item) -> None:
    if BROWSER_TESTS in item.path.parents and not shutil.which(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail(NO_CHROMIUM, pytrace=False)
        pytest.skip(NO_CHROMIUM)


@dataclass(frozen=True)
class SmallDisk:
    """A file system of a few MB: `folder` is its root."""

    folder: Path

    def fill(self, leave: int = 0) -> None:
        """Takes all space but `leave` bytes."""
        with suppress(OSError):  # somebody else was quicker
            (self.folder / "filler").write_bytes(bytes(shutil.disk_usage(self.folder).free - leave))

    def free(self) -> None:
        """Gives it back."""
        (self.folder / "filler").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real file system of 64 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "small", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("No file system can be mounted here (only root on Linux can), so no disk was full.")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
