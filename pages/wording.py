"""How the pages say verdicts, times and statuses: the same words and colours everywhere."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from core.methods.base import Paper

OUTCOMES = {  # colour, icon
    "holds": ("green", ":material/check:"),
    "does not hold": ("red", ":material/close:"),
    "undecided": ("gray", ":material/question_mark:"),
    "not testable here": ("gray", ":material/block:"),
}
STATUSES = {
    "queued": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/play_arrow:"),
    "completed": ("green", ":material/check:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("gray", ":material/cancel:"),
    "interrupted": ("gray", ":material/power_off:"),
}
ACTIVE = ("queued", "running")
MARKS = re.compile(r"[\\`*_{}\[\]()<>#+!|$:~^=&@.-]")  # what Markdown, or Streamlit in it, reads as more than itself

ORDINARY = re.compile(r"[\w ()/,.+=%-]*")
JOINED = re.compile(r"(?<=[:@])(?=[\w/])|(?<=www)(?=\.)")  # within addresses and :icons:, which no backslash keeps from being read


def badge(word: str, text: str = "") -> str:
    """Markdown of a chip: an outcome or a status in its colour, with its icon and its word."""
    colour, icon = (OUTCOMES | STATUSES)[word]
    return f":{colour}-badge[{icon} {text or word}]"


def tally(outcomes: Iterable[str]) -> str:
    """Chips that count the verdicts of a run: "2 hold", "1 undecided"."""
    counts = Counter(outcomes)
    plural = {"holds": "hold", "does not hold": "do not hold"}
    return " ".join(
        badge(outcome, f"{counts[outcome]} {outcome if counts[outcome] == 1 else plural.get(outcome, outcome)}")
        for outcome in OUTCOMES
        if counts[outcome]
    )


def standing(status: str, outcomes: Iterable[str]) -> str:
    """Chips of how a run stands: its verdicts, and its status where it did not complete."""
    return " ".join(filter(None, ["" if status == "completed" else badge(status), tally(outcomes)])) or badge(status)


def effect(verdict: Mapping[str, Any]) -> str:
    """The estimate with its unit, its 95% interval and n, as far as there are."""
    if not math.isfinite(verdict["effect"]):
        return ""
    unit = verdict["unit"] if verdict["unit"].startswith("%") else f" {plain(verdict['unit'])}".rstrip()
    words = f"**{number(verdict['effect'])}{unit}**"
    if math.isfinite(verdict["low"]) and math.isfinite(verdict["high"]):
        words += f", 95% interval {number(verdict['low'])} to {number(verdict['high'])}"
    return f"{words}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{verdict['n']}"


def published(paper: Paper) -> str:
    """Where and when: the venue, and the year where the venue does not say it."""
    return paper.venue if str(paper.year) in paper.venue else f"{paper.venue} ({paper.year})"


def number(value: float) -> str:
    """Three significant digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


def duration(seconds: float) -> str:
    """A length of time as a person says it: "8 s", "2 min 5 s", "1 h 10 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(whole / 60)} min"
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def left(seconds: float | None) -> str:
    """How long is left, no finer than it can be known: ", about 1 min 30 s left"."""
    if seconds is None:
        return ""
    return f", about {duration(seconds if seconds < 60 else round(seconds, -1))} left"


def count(number: int, noun: str) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plain(text: str) -> str:
    """Somebody's text as Markdown that shows just that text, with nothing in it that becomes a link or an icon.

    >>> plain("a_b [c](d)")
    'a\\\\_b \\\\[c\\\\]\\\\(d\\\\)'
    """
    return MARKS.sub(r"\\\g<0>", JOINED.sub("\N{WORD JOINER}", " ".join(text.splitlines())))


def option(text: str) -> str:
    """The same as one of several pills: an ordinary name stays as it is, since the address repeats it.

    >>> option("validation_loss (log)"), option("![a](b)")
    ('validation_loss (log)', '\\\\!\\\\[a\\\\]\\\\(b\\\\)')
    """
    return text if ORDINARY.fullmatch(text) and not JOINED.search(text) else plain(text)
