"""A worker process: `python -m core.engine.worker <file descriptor>`. It warms up, says hello, and runs what it is sent."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection

from core.engine.machine import look
from core.engine.messages import Done, Failed, Hello, Judge, Judged, RunCell
from core.engine.verdicts import judge
from core.methods import registry
from core.methods.base import Inputs, make_params
from core.recorder import Recorder

NICE = 5  # the app and its pages come first where there is not a core for everybody


def main(descriptor: int) -> None:
    """Serves tasks until the connection closes."""
    end_with_parent()
    os.nice(NICE)
    connection = Connection(descriptor)
    warm_up()
    connection.send(Hello(look()))
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        if isinstance(task, RunCell):
            connection.send(run_cell(task, connection))
        else:
            connection.send(decide(task))


def end_with_parent() -> None:
    """Ends this process when its parent is gone, also in the middle of a computation."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def warm_up() -> None:
    """One thread, whatever the number of workers, so that the numbers do not depend on it; and the slow imports, done now."""
    import pandas  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    (weight @ weight).sum().backward()
    torch.optim.Adam([weight]).step()  # its first step imports much


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and torch on every device."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def run_cell(task: RunCell, connection: Connection) -> Done | Failed:
    """Runs one cell, sending what it records."""
    started = time.perf_counter()
    recorder = Recorder(connection.send, task.seeds)
    try:
        method = registry.load(task.slug)
        params = make_params(method.params_class, task.params)
        seed_everything(task.seeds[0])
        method.run(task.arm, params, Inputs(task.seeds, task.device, task.recorded, **task.given), recorder)
        recorder.close()
    except Exception as error:  # whatever a method raises belongs to its cell; the run goes on
        recorder.close()
        return Failed(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return Done(time.perf_counter() - started)


def decide(task: Judge) -> Judged:
    """Decides the claims of a run."""
    return Judged(*judge(registry.load(task.slug), task.metrics, task.tables))


if __name__ == "__main__":
    main(int(sys.argv[1]))
