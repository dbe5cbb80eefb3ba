"""What recording costs the loop that records, its batches going to another process as a worker's do."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from core.engine import worker
from core.recorder import Recorder
from tests.benchmarks.measurement import Measurement

SCALARS = 1_000_000


def measure() -> Iterator[Measurement]:
    worker.warm_up()
    yield step_overhead()
    yield a_million_scalars()


def step_overhead(rounds: int = 60, steps: int = 100) -> Measurement:
    """Blocks of bare and of recorded steps take turns, so that what else the machine does meets both; medians of the blocks."""
    step = training_step()
    times: tuple[list[float], list[float]] = [], []
    with recorder() as record:

        def recorded_step(number: int) -> None:
            record.scalars(number, loss=step(number), rate=0.1)

        for number in range(rounds):
            first = number % 2  # each goes first every other time
            for kind in (first, 1 - first):
                times[kind].append(seconds(recorded_step if kind else step, steps) / steps)
    peer, ours = map(statistics.median, times)
    return Measurement(
        "Training step of a 2-layer MLP (width 256, batch 128), recorded against bare",
        f"{1e6 * ours:.0f} us",
        "below 1.03",
        ours / peer < 1.03,
        f"{1e6 * peer:.0f} us",
        ours / peer,
    )


def training_step() -> Callable[[int], torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, labels = torch.randn(128, 256), torch.randint(0, 10, (128,))

    def step(_: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return step


def a_million_scalars() -> Measurement:
    """TensorBoard's million is ten times what a tenth of it takes."""
    with recorder() as record:
        ours = seconds(lambda step: record.scalars(step, loss=0.5), SCALARS)
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        peer = 10 * seconds(lambda step: writer.add_scalar("loss", 0.5, step), SCALARS // 10)
    return Measurement(
        "A million scalars recorded, against TensorBoard's SummaryWriter",
        f"{ours:.2f} s",
        "below 0.2",
        ours / peer < 0.2,
        f"{peer:.1f} s",
        ours / peer,
    )


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A recorder whose batches another process reads."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    reader = context.Process(target=read, args=(theirs,))
    reader.start()
    theirs.close()
    ours.recv()  # it is there
    record = Recorder(ours.send, (0,))
    yield record
    record.close()
    ours.close()
    reader.join()


def read(connection: Connection) -> None:
    connection.send("there")
    try:
        while True:
            connection.recv()
    except EOFError:
        return


def seconds(call: Callable[[int], object], times: int) -> float:
    """How long that many calls take."""
    started = time.perf_counter()
    for number in range(times):
        call(number)
    return time.perf_counter() - started
