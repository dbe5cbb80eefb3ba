"""What all tests share: one thread for numbers that repeat, and what happens where there is no browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

os.environ["PROVING_GROUND_REFERENCE"] = str(Path(__file__).parent / "no reference results")  # a store starts empty
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; the same for the processes that tests start

BROWSER_TESTS = Path(__file__).parent / "browser"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NO_CHROMIUM = f"There is no Chromium at {CHROMIUM}, so no browser was tried: install it, or say with CHROMIUM where it is."


def pytest_runtest_setup(item: pytest.Item) -> None:
    if BROWSER_TESTS in item.path.parents and not shutil.which(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail(NO_CHROMIUM, pytrace=False)
        pytest.skip(NO_CHROMIUM)
