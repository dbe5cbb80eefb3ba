"""The real app on a free port with a store of its own, and the browser that visits it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.chromium import CHROMIUM

ROOT = Path(__file__).parents[2]
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDTHS = {"wide": (1440, 900), "laptop": (1024, 768), "phone": (390, 844)}
PATIENCE = 60_000  # milliseconds; the machine may be busy


@dataclass(frozen=True)
class Server:
    """A running Streamlit server."""

    url: str
    pid: int


@contextmanager
def serving(
    script: Path = ROOT / "app.py", health: str = "/healthz", log: Path | None = None, **environment: str
) -> Iterator[Server]:
    """Starts `streamlit run script`, waits until it answers, and ends it as a container would: with SIGTERM.

    What it prints goes to the file `log` where one is named.
    """
    port = free_port()
    options = ["--server.port", str(port), "--server.headless", "true", "--server.address", "127.0.0.1"]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *options]
    with log.open("wb") if log else nullcontext() as file:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=file, stderr=file)
    server = Server(f"http://127.0.0.1:{port}", process.pid)
    try:
        wait_until_healthy(server.url + health, process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Returns when the address answers with 200."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:  # refused, too slow, or an answer that is no 200
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not answer at {url}.") from None
            time.sleep(0.1)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def new_page(browser: Browser, server: Server, width: str = "wide", theme: str = "light") -> Page:
    """A fresh visitor."""
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    context = browser.new_context(base_url=server.url, viewport=size, color_scheme=theme, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    return context.new_page()


def settled(page: Page) -> Page:
    """The page when no script of it runs: what is made when it is asked for (files to take away) belongs to the last run of it."""
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE)
    return page
