"""What the engine and its workers say to each other, beside the recorder's batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.engine.machine import Machine
from core.methods.base import Recorded

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunCell:
    """To a worker: run one arm with these seeds."""

    slug: str
    arm: str
    params: Mapping[str, Any]
    seeds: tuple[int, ...]
    device: str
    recorded: Mapping[str, list[Recorded]]
    given: Mapping[str, Any]  # further fields of core.methods.base.Inputs
    memory_bytes: int = 2**63 - 1  # that the worker may hold


@dataclass(frozen=True)
class Judge:
    """To a worker: decide the claims on these results."""

    slug: str
    metrics: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Hello:
    """From a worker: it is warm."""

    machine: Machine


@dataclass(frozen=True)
class Done:
    """From a worker: the cell is complete."""

    seconds: float


@dataclass(frozen=True)
class Failed:
    """From a worker: the cell raised; `message` is a sentence and the traceback."""

    message: str


@dataclass(frozen=True)
class Judged:
    """From a worker: the verdicts as rows for the store, and the traceback of a claim that could not be computed."""

    verdicts: list[dict[str, Any]]
    message: str
