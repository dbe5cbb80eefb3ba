"""A paper for the tests of the engine: arms that end well, slowly, badly, or not at all."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import torch

from core.methods.base import Arm, Claim, Inputs, Lines, Paired, Paper, Preset, param
from core.recorder import Recorder

PAPER = Paper(
    slug="faults",
    title="On faults",
    authors="The tests",
    year=2024,
    venue="tests",
    family="theory",
    arxiv="0000.00000",
    idea="Every way of ending.",
    equation="1 = 1",
)


@dataclass(frozen=True)
class Params:
    steps: int = param(20, "Recorded steps.", low=1, high=1_000_000)
    pause: float = param(0.0, "Seconds between steps.", low=0.0, high=10.0)
    width: int = param(32, "Size of the matrix product.", low=1, high=2048)


ARMS = (
    Arm("base", "Baseline", "Random walk."),
    Arm("first", "First", "Records a mask.", role="method"),
    Arm("second", "Second", "Reads the mask of the first.", role="method", after=("first",)),
    Arm("raises", "Raises", "Raises half-way.", role="ablation"),
    Arm("orphan", "Orphan", "Builds on the one that raises.", role="ablation", after=("raises",)),
    Arm("dies", "Dies", "Kills its own process.", role="ablation"),
    Arm("hog", "Hog", "Takes ever more memory.", role="ablation"),
    Arm("gulp", "Gulp", "Takes eight gigabytes at once.", role="ablation"),
    Arm("hangs", "Hangs", "Never returns and records nothing.", role="ablation"),
    Arm("nan", "NaN", "Records NaN and infinity.", role="ablation"),
    Arm("strange", "Strange", "Records a result that the claim cannot read.", role="ablation"),
)
PRESETS = {
    "smoke": Preset(1, (0, 1)),
    "quick": Preset(1, (0, 1, 2)),
    "standard": Preset(1, (0, 1, 2)),
    "paper": Preset(1, (0,), needs="cuda"),
}
CLAIMS = (
    Claim("c1", "First ends above the baseline.", Paired("end", "first", "base", smallest=0.5), evidence="none"),
    Claim("c2", "A claim that stumbles over strange results.", lambda results: stumbles(results), evidence="none"),
)
VIEWS = (Lines(title="Walk", caption="It walks.", y="walk"),)


def stumbles(results):
    """Raises where the arm `strange` took part."""
    from core.methods.base import Verdict

    return Verdict("holds", n=1 // (0 if "strange" in set(results.metrics["arm"]) else 1))


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    walk = torch.zeros(())
    weight = torch.randn(params.width, params.width) / params.width**0.5
    state = torch.randn(params.width)
    for step in range(params.steps):
        state = torch.tanh(weight @ state)
        walk = walk + state.mean() + torch.randn(())
        record.scalars(step, walk=walk)
        record.progress(step + 1, params.steps)
        if arm == "raises" and step == params.steps // 2:
            raise FloatingPointError("the loss is NaN at step 10")
        if arm == "dies" and step == params.steps // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(params.pause)
    if arm == "hangs":
        while True:
            time.sleep(1)
    if arm == "hog":
        kept = []
        while True:
            kept.append(torch.ones(40_000_000))
            time.sleep(0.01)
    if arm == "gulp":
        torch.ones(2_000_000_000)
    if arm == "nan":
        record.scalars(params.steps, walk=float("nan"))
        record.scalars(params.steps + 1, walk=float("inf"))
        record.result(bad=float("nan"))
    if arm == "first":
        record.mask(1, "layer", torch.arange(8) % (inputs.seed + 2) == 0)
    if arm == "second":
        record.result(kept=int(inputs.arrays("first", "mask", step=1)["layer"].sum()))
    record.result(end=walk)
