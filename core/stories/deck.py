"""A story as one HTML file, a slide at a time: what is presented, and what is taken away. It asks no network for anything."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from core import charts, report
from core.charts.theme import CONTAINER_WIDTH
from core.stories import notes
from core.stories.showing import Shown, show
from core.stories.story import PictureSlide, Slide, Story

if TYPE_CHECKING:
    from core.store import Store

TEMPLATE = Path(__file__).with_name("deck.html")
CHIPS = {"holds": "✓", "does not hold": "✕", "undecided": "?", "not testable here": "–"}
LEGEND = "Thin line: no effect. Thick mark: the smallest effect that counts. Dot and bar: the effect with its 95% interval."


def page(store: Store, story: Story, *, dark: bool = False, back: str = "") -> str:
    """The file. Arrow keys, space, Home and End lead through it; the address keeps the slide's number.

    Args:
        back: where Escape leads; by default it only leaves the full screen.
    """
    shown = [show(store, slide) for slide in story.slides]
    specs: dict[str, dict[str, Any]] = {}
    slides = []
    for number, (slide, what) in enumerate(zip(story.slides, shown, strict=True)):
        spec = _specification(store, replace(slide, title="", note=""), str(what.row["finished"]), dark) if what.row else None
        name = f"chart-{number}" if spec else ""
        if spec:
            specs[name] = spec
        slides.append(_slide(what, name))
    sources = {what.row["run"]: what for what in shown if what.row}
    if sources:
        slides.append(_sources(store, list(sources.values())))
    parts = {
        "title": escape(story.title),
        "theme": "dark" if dark else "light",
        "slides": "\n".join(slides) or '<section class="slide"><h2>This story has no slides yet.</h2></section>',
        "back": f'<a id="back" href="{escape(back)}">Back</a>' if back else "",
        "charts": json.dumps({"specs": specs, "width": CONTAINER_WIDTH}, allow_nan=False).replace("<", "\\u003c"),
        "vega": report.vega_script(),
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


@lru_cache(maxsize=100)
def _specification(store: Store, slide: Slide, finished: str, dark: bool) -> dict[str, Any] | None:
    """The chart of a slide without words; a run that is run again has another `finished`."""
    what, chart = show(store, slide), None
    if isinstance(slide, PictureSlide) and what.view:
        chart = report.figure(store, slide.run, what.view, method=what.method, dark=dark, frame=slide.frame)
    elif what.verdict and math.isfinite(what.verdict["effect"]):
        chart = charts.interval(pd.DataFrame([what.verdict]), size="card", dark=dark)
    return chart and chart.to_dict(validate=False)


def _slide(what: Shown, chart: str) -> str:
    note = f'<div class="note">{what.note}</div>' if what.note else ""
    drawn = f'<div class="chart" id="{chart}"></div>' if chart else ""
    if what.missing:
        inside = f"<p>{escape(what.missing)}</p>"
    else:
        inside = _verdict(what, drawn) if what.verdict else _picture(what, drawn) if what.view else ""
    shown = f'<div class="shown">{inside}</div>' if inside else ""
    kind = "picture" if what.view else "verdict" if what.verdict else "text"
    title = escape(what.title)
    return f"""<section class="slide {kind}" tabindex="-1" aria-label="{title}">
<h2>{title}</h2>
<div class="body{"" if shown and note else " alone"}">{shown}{note}</div>
<p class="source">{escape(what.source)}</p>
</section>"""


def _picture(what: Shown, drawn: str) -> str:
    assert what.view is not None
    drawn = drawn or "<p>This result keeps no data for this picture.</p>"
    return f'{drawn}<p class="caption">{escape(what.view.caption)}</p>'


def _verdict(what: Shown, drawn: str) -> str:
    verdict = what.verdict
    assert verdict is not None
    claim = f"<p>{escape(verdict['text'])}</p>" if what.title != verdict["text"] else ""
    legend = f'<p class="legend">{LEGEND}</p>' if drawn else ""
    return f"""<p>{_chip(verdict["verdict"])}</p>{claim}
<p class="effect">{escape(notes.effect(verdict))}</p>{drawn}{legend}
<p class="caption">{escape(verdict["detail"] or "")}</p>"""


def _chip(outcome: str) -> str:
    tone = {"holds": "holds", "does not hold": "fails"}.get(outcome, "")
    return f'<span class="chip {tone}">{CHIPS[outcome]} {escape(outcome)}</span>'


def _sources(store: Store, shown: list[Shown]) -> str:
    """The last slide: every claim of every run that the story shows something of, and all that decided its numbers."""
    parts = []
    for what in shown:
        assert what.row is not None and what.method is not None
        paper, run = what.method.paper, what.row["run"]
        link = f' <a href="{escape(paper.url)}">arXiv {escape(paper.arxiv)}</a>' if paper.arxiv else ""
        claims = "".join(
            f"<li>{_chip(row.verdict)} {escape(row.text)} {escape(notes.effect(row._asdict()))}</li>"
            for row in store.verdicts(run).itertuples()
        )
        details = f"<details><summary>All that decided the numbers</summary>{report.provenance(store, run, what.row)}</details>"
        parts.append(f"<h3>{escape(paper.title)}</h3><p>{escape(what.source)}{link}</p><ul>{claims}</ul>{details}")
    return f"""<section class="slide" tabindex="-1" aria-label="Where this comes from">
<h2>Where this comes from</h2>
<div class="sources"><p>All claims of every paper that was shown, whatever their verdicts.</p>{"".join(parts)}</div>
<p class="source"></p>
</section>"""
