"""Papers run in this process, as a worker runs them, into a store: once per paper and session, for all tests that look at it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from core.engine.spec import Spec, make_spec
from core.engine.worker import seed_everything
from core.methods import registry
from core.methods.base import Inputs, Method, Recorded, Results, make_params
from core.recorder import Batch, Recorder
from core.store import Store


@dataclass(frozen=True)
class Recording:
    """A finished run in a store, and the spec that it was made of."""

    store: Store
    spec: Spec

    @property
    def run(self) -> str:
        return self.spec.run

    def results(self) -> Results:
        tables = {name: self.store.table(self.run, name) for name in self.store.table_names(self.run)}
        return Results(self.store.results(self.run), tables)


def record(store: Store, spec: Spec) -> Recording:
    """Runs every cell of a spec, those that others come after first."""
    method = registry.load(spec.slug)
    params = make_params(method.params_class, spec.params)
    with store.writing() as writer:
        writer.add_run(spec.run, spec.slug, spec.preset, spec.content, spec.device, spec.cells())
    for arm, seeds in spec.cells():
        batches: list[Batch] = []
        recorder = Recorder(batches.append, seeds)
        seed_everything(seeds[0])
        method.run(arm, params, Inputs(seeds, spec.device, recorded(store, method, spec, arm, seeds)), recorder)
        recorder.close()
        write(store, spec.run, arm, batches)
    return Recording(store, spec)


def recorded(store: Store, method: Method, spec: Spec, arm: str, seeds: tuple[int, ...]) -> dict[str, list[Recorded]]:
    kinds = ("embedding", "predictions", "mask", "matrix")
    found: dict[str, list[Recorded]] = {}
    for earlier in method.arm(arm).after:
        rows = [row for kind in kinds for row in store.arrays(spec.run, kind, arm=earlier).itertuples() if row.seed in seeds]
        found[earlier] = [Recorded(row.kind, row.name, int(row.step), row.part, row.array) for row in rows]
    return found


def write(store: Store, run: str, arm: str, batches: list[Batch]) -> None:
    with store.writing() as writer:
        for batch in batches:
            if batch.scalars is not None:
                writer.add_scalars(run, arm, batch.scalars)
            for array in batch.arrays:
                writer.add_array(run, arm, array)
            for table in batch.tables:
                writer.add_table(run, arm, table.seed, table.name, table.rows)
            for result in batch.results:
                writer.add_result(run, arm, result.seed, result.metric, result.value)


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def smoke(one_thread, tmp_path_factory) -> Iterator[Callable[[str], Recording]]:
    """The smoke preset of a paper by its slug, with every arm, ablations included."""
    store = Store.open(tmp_path_factory.mktemp("smoke") / "store.duckdb")

    @functools.cache
    def run(slug: str) -> Recording:
        arms = [arm.name for arm in registry.declared(slug).arms]
        return record(store, make_spec(slug, "smoke", arms=arms))

    yield run
    store.close()


@pytest.fixture
def run_again(one_thread, tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Runs a spec, with what is named changed, into a store of its own."""
    store = Store.open(tmp_path / "store.duckdb")
    yield lambda slug, **changes: record(store, make_spec(slug, "smoke", **changes))
    store.close()
