"""`make benchmarks`: measures what the project promises and prints one table. Run it on a machine that does nothing else."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from tests.benchmarks.measurement import Measurement

BENCHMARKS = ("recording", "storing", "gallery_paint", "extracting")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run (default: all): {', '.join(BENCHMARKS)}")
    names = parser.parse_args(arguments).names or BENCHMARKS
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    rows = [("benchmark", "ours", "peer", "ratio", "target", "")]
    for name in names:
        rows += [line(measured) for measured in importlib.import_module(f"tests.benchmarks.{name}").measure()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def line(measured: Measurement) -> tuple[str, ...]:
    ratio = f"{measured.ratio:.3g}" if measured.ratio is not None else ""
    return measured.benchmark, measured.ours, measured.peer, ratio, measured.target, "reached" if measured.reached else "MISSED"


if __name__ == "__main__":
    main()
