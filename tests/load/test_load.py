"""A few visitors for a few seconds: nothing goes wrong for any of them. How fast it is, only `python -m tests.load` judges."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.load.__main__ import measure


def test_five_visitors_at_once_meet_no_error():
    with ThreadPoolExecutor(1) as thread:  # whose event loop is its own: a browser of the tests may hold this thread's
        measured = thread.submit(measure, visitors=5, seconds=8, pause=0.5, browser=False, full=False).result()
    assert measured.errors == []
    assert "running" in measured.seconds, "nobody looked at a paper while it ran"
    assert len(measured.pages) >= 20
