"""This machine's executor: warm worker processes, each with a pipe of its own, so that ending one cannot hurt another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Worker:
    """One worker process and the engine's end of its pipe. `task` is what it is busy with, whatever the engine calls it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.engine.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self.connection = Connection(ours.detach())
        self.warm = False
        self.task: Any = None
        self.since = time.monotonic()

    @property
    def idle(self) -> bool:
        return self.warm and self.task is None

    def start(self, task: Any, message: Any) -> None:
        """Hands over a message to work on."""
        self.task, self.since = task, time.monotonic()
        self.connection.send(message)

    def received(self) -> Iterator[Any]:
        """The messages that are there now. Raises: EOFError, OSError where the process is gone."""
        while self.connection.poll():
            yield self.connection.recv()

    def memory(self) -> int:
        """Bytes of memory that the process holds; 0 where it is gone."""
        import psutil

        try:
            return psutil.Process(self.process.pid).memory_info().rss
        except psutil.Error:
            return 0

    def end(self) -> None:
        """Kills the process and waits for it."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
