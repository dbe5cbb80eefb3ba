"""A worker process: `python -m core.engine.worker <file descriptor>`. It warms up, says hello, and runs what it is sent."""

from __future__ import annotations

import os
import random
import re
import resource
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

RESERVED = 2**29  # bytes that a cell may reserve beyond what it may hold: the engine ends it where it fills them
NO_MEMORY = ("can't allocate memory", "bad_alloc", "Cannot allocate memory")  # how native libraries say it
TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")


def main(descriptor: int) -> None:
    """Serves tasks until the connection closes."""
    end_with_parent()
    connection = Connection(descriptor)
    warm_up()
    give_way()
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


def give_way() -> None:
    """The app and its pages come first where there is not a core for everybody.

    Linux lets a process with little weight finish its turn before one that wakes up: a page, which wakes up a hundred times,
    waits for hundreds of milliseconds. Only an idle one gives way at once.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # no Linux, or a sandbox that refuses it
        os.nice(19)


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


def limit_memory(most: int) -> None:
    """From here on, what would take this process beyond `most` bytes is refused at once, before it is filled.

    The engine looks twice a second, and a single allocation can fill a machine in less. Only Linux keeps to this limit.
    """
    import psutil

    held = psutil.Process().memory_info()
    if sys.platform == "linux":
        reserved = held.data + max(most - held.rss, 0) + RESERVED
        resource.setrlimit(resource.RLIMIT_DATA, (min(reserved, 2**63 - 1), resource.RLIM_INFINITY))


def lift_memory_limit() -> None:
    """Undoes `limit_memory`."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def without_tokens(text: str) -> str:
    """A message without the Hub's tokens, this machine's own included: what a cell says is kept, shown and exported."""
    own = os.environ.get("HF_TOKEN", "").strip()
    return TOKEN.sub("hf_…", text.replace(own, "hf_…") if own else text)


def run_cell(task: RunCell, connection: Connection) -> Done | Failed:
    """Runs one cell, sending what it records."""
    started = time.perf_counter()
    recorder = Recorder(connection.send, task.seeds)
    try:
        if task.device == "cpu":  # a GPU's driver reserves more than any machine has
            limit_memory(task.memory_bytes)
        method = registry.load(task.slug)
        params = make_params(method.params_class, task.params)
        seed_everything(task.seeds[0])
        method.run(task.arm, params, Inputs(task.seeds, task.device, task.recorded, **task.given), recorder)
        recorder.close()
    except Exception as error:  # whatever a method raises belongs to its cell; the run goes on
        lift_memory_limit()
        recorder.close()
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in said for words in NO_MEMORY)):
            said = f"Ended as it asked for more memory; the limit for one cell is {task.memory_bytes / 2**30:.1f} GB."
        return Failed(without_tokens(f"{said}\n{traceback.format_exc()}"))
    finally:
        lift_memory_limit()
    return Done(time.perf_counter() - started)


def decide(task: Judge) -> Judged:
    """Decides the claims of a run."""
    return Judged(*judge(registry.load(task.slug), task.metrics, task.tables))


if __name__ == "__main__":
    main(int(sys.argv[1]))
