"""What a stranger's card may do on a page of ours: say its text, and nothing else."""

from __future__ import annotations

import pytest

from pages.model_card import amount, as_markdown, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Title\n\n## Use", "#### Title\n\n#### Use"),
        ("a <b>bold</b> word", "a bold word"),
        ("<img src='https://x.org/a.png' onerror='alert(1)'>text", "text"),
        ("<script>alert(1)</script>text<style>p {}</style>", "text"),
        ("a<!-- a comment\n of two lines -->b", "ab"),
        ("<<b>script>alert(1)<</b>/script>", "alert(1)"),
        ("![a logo](https://x.org/logo.png)", "a logo"),
        ("![a logo][1] and [![badge](https://x.org/b.svg)](https://x.org)", "a logo and [badge](https://x.org)"),
        ("[paper](https://x.org/1) [file](./b.md) [bad](javascript:alert(1))", "[paper](https://x.org/1) file bad)"),
        ("<https://x.org/page>", "https://x.org/page"),
        ("costs $5 and :red[this] or :material/home: at 10:30", r"costs \$5 and \:red[this] or \:material/home: at 10:30"),
        ("`<s>` is `$x`\n```\n<b># code ![a](b)</b>\n```\n# end", "`<s>` is `$x`\n```\n<b># code ![a](b)</b>\n```\n#### end"),
        ("```\nnever <b>closed", "```\nnever <b>closed"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
    ],
)
def test_a_card_is_text_without_html_pictures_and_directives(text, shown):
    assert as_markdown(text) == shown


def test_a_long_card_is_cut():
    assert len(as_markdown("word " * 100_000)) < 61_000


def test_numbers_as_a_person_says_them():
    assert [size(n) for n in (0, 512, 999, 1500, 83_000_000, 999_600_000, 1_340_000_000)] == [
        "0 B",
        "512 B",
        "999 B",
        "1.5 kB",
        "83 MB",
        "1.0 GB",
        "1.3 GB",
    ]
    assert [amount(n) for n in (0, 640, 86_600_000, 1_340_000_000)] == ["0", "640", "87 million", "1.3 billion"]
