"""Verdicts at a glance: for each claim the effect, its interval, no effect, and the smallest effect that counts."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from core.charts import theme
from core.charts.theme import Palette, Size

SIGNS = {  # drawn: not every font has a tick
    "holds": "M-0.9,0L-0.2,0.7L0.9,-0.7",
    "does not hold": "M-0.7,-0.7L0.7,0.7M-0.7,0.7L0.7,-0.7",
    "undecided": "circle",
    "not testable here": "M-0.8,0L0.8,0",
}
SHAPES = {"holds": "circle", "does not hold": "cross", "undecided": "diamond", "not testable here": "square"}
NOTE = (
    "Thin line: no effect. Thick mark: the smallest effect that counts. Dot and bar: the effect with its 95% interval. "
    "Each row has its own scale."
)
ROW = {"full": 86, "card": 26}


def interval(verdicts: pd.DataFrame, *, dark: bool = False, size: Size = "full", description: str = "") -> Any:
    """One row a claim: its outcome in a sign, a word and a colour, the numbers, and a picture of the interval.

    Units differ from claim to claim, so that each row has its own scale, on which zero is at the same place and the furthest of
    its marks at an edge.

    Args:
        verdicts: claim, text, verdict, effect, low, high, n, smallest, unit; NaN where there is none.
    """
    chosen = theme.palette(dark)
    rows = theme.compact(pd.DataFrame([_row(i, verdict, chosen) for i, verdict in enumerate(verdicts.to_dict("records"))]))
    full = size == "full"
    lift = 20 if full else 0
    left = min([0.0, *rows["low"].dropna(), *rows["effect"].dropna(), *rows["smallest"].dropna()])
    scale = alt.Scale(domain=[left - 0.04 if left < 0 else -0.04, 1.04], nice=False)
    lane = alt.Y("row:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    at = {name: alt.X(f"{name}:Q", axis=None, scale=scale) for name in ("effect", "low", "smallest")}
    tint = alt.Color("tint:N", scale=None)
    base = alt.Chart(rows).encode(y=lane)
    hints = [
        alt.Tooltip(f"{name}:N", title=title)
        for name, title in (("text", "Claim"), ("outcome", "Verdict"), ("number", "Effect"), ("detail", "How"))
    ]
    shown = base.transform_filter("isValid(datum.effect)")
    none = alt.Chart(rows.assign(zero=0.0)).transform_filter("isValid(datum.effect)").encode(y=lane)
    tick = 18 if full else 14
    ends = shown.transform_filter("isValid(datum.low)").encode(x=at["low"], x2=alt.X2("high:Q"), color=tint)
    enough = shown.transform_filter("isValid(datum.smallest)").encode(x=at["smallest"])
    shape = alt.Shape("outcome:N", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())), legend=None)
    dot = shown.mark_point(filled=True, size=90 if full else 50, opacity=1, yOffset=lift).encode(
        x=at["effect"], color=tint, shape=shape
    )
    layers = [
        none.mark_rule(color=chosen.line, yOffset=lift, y2Offset=lift).encode(x=alt.XValue(0), x2=alt.X2Value("width")),
        none.mark_tick(orient="vertical", size=tick + 10, thickness=1.6, color=chosen.baseline, opacity=1, yOffset=lift).encode(
            x=alt.X("zero:Q", axis=None, scale=scale)
        ),
        ends.mark_rule(strokeWidth=4, opacity=0.75, yOffset=lift, strokeCap="round"),
        enough.mark_tick(orient="vertical", size=tick, thickness=2.4, color=chosen.text, opacity=1, yOffset=lift),
        dot.encode(tooltip=hints) if full else dot,
    ]
    if full:
        layers += _words(base, tint, chosen, hints)
    text = description or "Verdicts: " + " ".join(f"{row.claim}: {row.outcome}, {row.number}." for row in rows.itertuples())
    chart = theme.framed(alt.layer(*layers).resolve_scale(shape="independent"), ROW[size] * max(len(rows), 1))
    return theme.finished(chart, dark=dark, description=text, size=size, note=NOTE if rows["effect"].notna().any() else "")


def _row(number: int, verdict: dict[str, Any], chosen: Palette) -> dict[str, Any]:
    outcome = verdict["verdict"]
    marks = {name: float(verdict[name]) for name in ("effect", "low", "high", "smallest")}
    reach = max((abs(mark) for mark in marks.values() if math.isfinite(mark)), default=1.0) or 1.0
    return {
        "row": number,
        "claim": verdict["claim"],
        "text": verdict["text"],
        "outcome": outcome,
        "head": f"{verdict['claim']} {outcome}",
        "number": _number(verdict),
        "brief": _number(verdict | {"low": math.nan}),
        "detail": str(verdict.get("detail") or ""),
        "tint": {"holds": chosen.holds, "does not hold": chosen.fails}.get(outcome, chosen.muted),
        **{name: mark / reach if math.isfinite(mark) else None for name, mark in marks.items()},
    }


def _number(verdict: dict[str, Any]) -> str:
    """The effect with its unit, interval and n, as written beside the row."""
    if not math.isfinite(verdict["effect"]):
        return "no effect measured"
    unit = f"{'' if verdict['unit'] == '%' else ' '}{verdict['unit']}"
    words = f"{_short(verdict['effect'])}{unit}".strip()
    if math.isfinite(verdict["low"]) and math.isfinite(verdict["high"]):
        words += f" [{_short(verdict['low'])}, {_short(verdict['high'])}]"
    return f"{words}, n = {int(verdict['n'])}"


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _words(base: alt.Chart, tint: alt.Color, chosen: Palette, hints: list[alt.Tooltip]) -> list[alt.Chart]:
    shape = alt.Shape("outcome:N", scale=alt.Scale(domain=list(SIGNS), range=list(SIGNS.values())), legend=None)
    sign = base.mark_point(size=90, strokeWidth=2.4, filled=False, opacity=1, yOffset=-29).encode(
        x=alt.XValue(8), shape=shape, color=tint
    )
    head = base.mark_text(align="left", fontSize=13, fontWeight=600, yOffset=-28).encode(
        x=alt.XValue(22), text=alt.Text("head:N"), color=tint
    )
    claim = base.mark_text(align="left", fontSize=12.5, yOffset=-8, limit=alt.ExprRef("width - 4")).encode(
        x=alt.XValue(2), text=alt.Text("text:N")
    )
    text = alt.ExprRef("width < 440 ? datum.brief : datum.number")
    number = base.mark_text(align="right", fontSize=12, color=chosen.muted, yOffset=-28, text=text).encode(x=alt.XValue("width"))
    why = base.transform_filter("!isValid(datum.effect)").mark_text(
        align="left", color=chosen.muted, yOffset=12, limit=alt.ExprRef("width - 4")
    )
    return [sign, head, claim.encode(tooltip=hints), number, why.encode(x=alt.XValue(2), text=alt.Text("detail:N"), tooltip=hints)]
