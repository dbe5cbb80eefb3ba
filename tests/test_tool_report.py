"""The stand-alone page of a snapshot: its points, its reliability, its classes and where they come from."""

from __future__ import annotations

import json
import re

import pytest

from core import report, snapshots
from core.store import Store
from tests.browser.digits_store import ITEMS, SNAPSHOT, UNLABELLED, write_snapshot
from tests.charts.specs import marks, rows


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.duckdb"
    write_snapshot(path)
    store = Store.open(path)
    yield store
    store.close()


def test_the_page_of_a_snapshot_has_its_charts_and_tables(store):
    page = report.page(store, SNAPSHOT)
    specs = json.loads(re.search(r'<script type="application/json" id="specs">(.*?)</script>', page, re.S)[1])
    points, diagram = specs.values()
    assert len(rows(points, marks(points, "point")[0])) == ITEMS
    counts = rows(diagram, marks(diagram, "bar")[0])
    assert sum(row["count"] for row in counts) == ITEMS - UNLABELLED
    found = snapshots.read(store, SNAPSHOT)
    threes = (found.labels == 3) & (found.targets >= 0)
    accuracy = 100 * (found.logits.argmax(1)[threes] == 3).mean()
    shown = re.search(r"<tr><td>three</td><td>(\d+)</td><td>([\d.]+)</td></tr>", page)
    assert (int(shown[1]), float(shown[2])) == ((found.labels == 3).sum(), pytest.approx(accuracy, abs=0.01))
    assert "starter/digits on digits-8" in page and "Claims, at this scale" not in page and "arXiv" not in page
