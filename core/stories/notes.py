"""Notes on slides: the little Markdown that they may use, and the figures of verdicts that are filled into them.

A note may be a stranger's. Its text is escaped before anything is made of it, so that no HTML of its own remains; links lead to
the web only; and an image is no more than a link to it, so that nothing is loaded from elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from html import escape
from itertools import groupby
from typing import Any

HELP = "Markdown: **bold**, *italic*, `code`, [a link](https://…), # a heading, - a list, > a quotation."
MARKS = {"h3": r"#{1,6}\s+", "ul": r"[-*+]\s+", "ol": r"\d+[.)]\s+", "blockquote": r">\s*"}
LINK = re.compile(r"!?\[([^\[\]]+)\]\((https?://[^\s()*]+)\)")  # in escaped text, which has no quotation marks
PLACEHOLDER = re.compile(r"\{(?:(\w+)\.)?(verdict|effect|low|high|smallest|n|unit|detail|text)\}")


def html_of(note: str) -> str:
    """A note as HTML.

    >>> html_of("# So *what*?\\n- this\\n- <b>that</b>")
    '<h3>So <em>what</em>?</h3><ul><li>this</li><li>&lt;b&gt;that&lt;/b&gt;</li></ul>'
    """
    parts = []
    for kind, lines in groupby(note.splitlines(), key=_kind):
        texts = [_inline(re.sub(rf"^\s*{MARKS[kind]}" if kind in MARKS else r"^\s+", "", line)) for line in lines]
        match kind:
            case "h3":
                parts += [f"<h3>{text}</h3>" for text in texts]
            case "ul" | "ol":
                parts.append(f"<{kind}>{''.join(f'<li>{text}</li>' for text in texts)}</{kind}>")
            case "blockquote":
                parts.append(f"<blockquote>{' '.join(texts)}</blockquote>")
            case "p":
                parts.append(f"<p>{' '.join(texts)}</p>")
    return "".join(parts)


def _kind(line: str) -> str:
    """The element that a line belongs to; empty for a blank line."""
    return next((kind for kind, mark in MARKS.items() if re.match(rf"\s*{mark}", line)), "p" if line.strip() else "")


def _inline(line: str) -> str:
    pieces = re.split(r"`([^`]+)`", escape(line))
    return "".join(f"<code>{piece}</code>" if number % 2 else _marked(piece) for number, piece in enumerate(pieces))


def _marked(text: str) -> str:
    text = LINK.sub(r'<a href="\2" target="_blank" rel="noopener noreferrer nofollow">\1</a>', text)
    text = re.sub(r"\*\*(\S|\S.*?\S)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*(\S|\S.*?\S)\*", r"<em>\1</em>", text)


def filled(note: str, verdicts: Mapping[str, Mapping[str, Any]], claim: str = "") -> str:
    """A note with figures of verdicts in the place of their names in braces; a name without a figure stays as it is.

    Args:
        note: "{c2.effect}" is a figure of a claim of the slide's run, "{effect}" one of the slide's own claim.
        verdicts: by claim, with the columns of Store.verdicts.

    >>> filled("{verdict}: {effect} of {c9.n}", {"c1": {"verdict": "holds", "effect": -0.12345}}, "c1")
    'holds: −0.123 of {c9.n}'
    """

    def figure(found: re.Match[str]) -> str:
        value = verdicts.get(found[1] or claim, {}).get(found[2])
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return found[0]
        return value if isinstance(value, str) else number(value)

    return PLACEHOLDER.sub(figure, note)


def number(value: float) -> str:
    """Three significant digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


def effect(verdict: Mapping[str, Any]) -> str:
    """The estimate of a verdict with its unit, 95% interval and n, as far as there are."""
    if not math.isfinite(verdict["effect"]):
        return ""
    unit = verdict["unit"] if verdict["unit"].startswith("%") else f" {verdict['unit']}".rstrip()
    ends = [verdict["low"], verdict["high"]]
    interval = f", 95% interval {number(ends[0])} to {number(ends[1])}" if all(map(math.isfinite, ends)) else ""
    return f"{number(verdict['effect'])}{unit}{interval}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{verdict['n']}"
