"""A model's card as Markdown that is safe and quiet on a page of ours, and numbers as a person says them."""

from __future__ import annotations

import re

CODE = re.compile(r"(^ {0,3}(```+|~~~+).*?(?:^ {0,3}\2|\Z)|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
HIDDEN = re.compile(r"<(script|style)\b.*?(</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
ADDRESS = re.compile(r"<(https?://[^<>\s]+)>")
PICTURE = re.compile(r"!\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])?")
PLACE = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?://)[^)]*\)")
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+", re.MULTILINE)
DIRECTIVE = re.compile(r":(?=[a-z_-]+(\[|/))")
LONGEST = 60_000  # characters that are shown


def as_markdown(text: str) -> str:
    """A stranger's Markdown without HTML and pictures, its headings small; what is in code stays as it is.

    >>> as_markdown("# Title\\n<b>bold</b> ![logo](https://x.org/y.png) costs $5")
    '#### Title\\nbold logo costs \\\\\\\\$5'
    >>> as_markdown("`<s>` [here](./x.md) [there](https://x.org)")
    '`<s>` here [there](https://x.org)'
    """
    parts = CODE.split(text[:LONGEST])  # text, code, its fence, text, ...
    shown = "".join(_quiet(part) if number % 3 == 0 else part for number, part in enumerate(parts) if number % 3 != 2 and part)
    return shown + ("\n\n… the card goes on; the rest is on the Hub." if len(text) > LONGEST else "")


def _quiet(text: str) -> str:
    text = ADDRESS.sub(r"\1", HIDDEN.sub("", COMMENT.sub("", text)))
    while TAG.search(text):  # what is left of one may make another
        text = TAG.sub("", text)
    text = PLACE.sub(r"\1", PICTURE.sub(r"\1", text))
    return HEADING.sub("#### ", DIRECTIVE.sub(r"\\:", text.replace("$", r"\$")))


def size(count: float) -> str:
    """Bytes: "512 B", "83 MB", "1.3 GB".

    >>> size(512), size(83_000_000), size(1_340_000_000)
    ('512 B', '83 MB', '1.3 GB')
    """
    return _scaled(count, ("B", "kB", "MB", "GB", "TB"))


def amount(count: float) -> str:
    """A number of things: "640", "86 M", "1.3 B" as in thousand, million, billion.

    >>> amount(640), amount(86_600_000), amount(1_340_000_000)
    ('640', '87 million', '1.3 billion')
    """
    return _scaled(count, ("", "thousand", "million", "billion", "trillion")).rstrip()


def _scaled(count: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if round(count) < 1000:
            return f"{count:.1f} {unit}" if count < 10 and unit != units[0] else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} {units[-1]}"
