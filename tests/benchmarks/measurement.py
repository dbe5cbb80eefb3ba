"""One row of the benchmarks' table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """`ours` and `peer` are written with their units; `ratio` is ours over the peer's."""

    benchmark: str
    ours: str
    target: str
    reached: bool
    peer: str = ""
    ratio: float | None = None
