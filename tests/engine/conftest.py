import os
from pathlib import Path

import pytest

from core.engine import Engine
from core.methods import registry

PAPERS = Path(__file__).parent / "papers"


@pytest.fixture(scope="package", autouse=True)
def papers():
    """The tests' own paper beside the real ones, here and in the workers."""
    os.environ["PROVING_GROUND_PAPERS"] = str(PAPERS)
    clear()
    yield
    del os.environ["PROVING_GROUND_PAPERS"]
    clear()


def clear():
    for function in (registry.paths, registry.catalogue, registry.load):
        function.cache_clear()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Engine(tmp_path_factory.mktemp("engine") / "store.duckdb", workers=2, cell_seconds=600, cell_bytes=2 * 2**30) as engine:
        engine.wait_warm()
        yield engine
