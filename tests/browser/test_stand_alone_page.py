"""The page of a run, opened from a file by a browser without a network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import report
from core.methods import registry
from core.methods.base import Lines
from tests.browser.serving import PATIENCE, WIDTHS
from tests.test_report import METHOD, RUN, store  # noqa: F401 - a fixture

PANELS = Lines(title="By arm", caption="", y="loss", facet="arm")


@pytest.fixture
def path(store, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr(registry, "declared", lambda slug: replace(METHOD, views=(*METHOD.views, PANELS)))
    path = tmp_path / "page.html"
    path.write_text(report.page(store, RUN), encoding="utf-8")
    return path


def test_it_draws_everything_by_itself_at_every_width(path, browser):
    for width, columns in (("wide", 2), ("phone", 1)):
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        page = browser.new_context(viewport=size, offline=True).new_page()
        asked, errors = [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelectorAll('svg.marks').length === 4", timeout=PATIENCE)
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert errors == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        titles = page.locator("#picture-2 .role-title-text")
        assert [titles.nth(i).text_content() for i in range(3)] == ["Dense network", "Winning ticket", "New weights"]
        left = {round(titles.nth(i).bounding_box()["x"]) for i in range(3)}
        assert len(left) >= columns if columns > 1 else len(left) == 1  # side by side; one below the other
        page.context.close()
