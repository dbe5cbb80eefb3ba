"""Text as integers: the two bundled corpora that the language papers share, texts of the Hub, and how batches are cut from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

VOCABULARY = 96  # newline is 0, chr(32) to chr(126) are 1 to 95
TYPOGRAPHY = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u2026": "...",
}
BLOCK = 4096  # characters; every tenth block is test


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tokens to train and to test on, one-dimensional int64 with values below `vocabulary`."""

    train: Tensor
    test: Tensor
    vocabulary: int


@cache
def prose() -> Corpus:
    """Corpus P: CPython's own help texts (pydoc_data.topics) in the order of their keys, joined by two newlines.

    In Python 3.11.7 417,792 characters to train and 45,056 to test; other versions differ a little.
    """
    from pydoc_data.topics import topics

    return in_blocks(encode("\n\n".join(topics[key] for key in sorted(topics))))


@cache
def code() -> Corpus:
    """Corpus S: the standard library's top-level modules in the order of their names, tabs as four spaces.

    In Python 3.11.7 4,231,168 characters to train and 466,944 to test; other versions differ a little.
    """
    import sysconfig

    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return in_blocks(encode("".join(file.read_text(encoding="utf-8") for file in files).replace("\t", "    ")))


def encode(text: str) -> Tensor:
    """Characters as integers; typographic quotes and dashes become plain ones, all else outside ASCII a question mark.

    >>> encode("A\\n\u2019~").tolist()
    [34, 0, 8, 95]
    """
    for sign, plain in TYPOGRAPHY.items():
        text = text.replace(sign, plain)
    codes = torch.tensor(list(text.encode("ascii", errors="replace")), dtype=torch.long)
    return torch.where(codes == 10, 0, torch.where((codes >= 32) & (codes <= 126), codes - 31, ord("?") - 31))


def decode(tokens: Tensor) -> str:
    """The text of tokens (n,).

    >>> decode(encode("A\\n~"))
    'A\\n~'
    """
    return "".join("\n" if token == 0 else chr(token + 31) for token in tokens.tolist())


def in_blocks(tokens: Tensor) -> Corpus:
    """Whole blocks of 4,096; every tenth, from the tenth on, is test."""
    blocks = tokens[: len(tokens) // BLOCK * BLOCK].view(-1, BLOCK)
    test = torch.arange(len(blocks)) % 10 == 9
    return Corpus(blocks[~test].flatten(), blocks[test].flatten(), VOCABULARY)


def hub_tokens(dataset: str, configuration: str, tokens: int, test: int = 1_000_000, tokeniser: str = "gpt2") -> Corpus:
    """The first tokens of a text data set of the Hub: `test` of them to test on, then `tokens` to train on.

    Raises:
        core.data.hub.HubDataError: what cannot be had, and why.
    """
    from core.data.hub import texts, tokeniser_of

    encoder = tokeniser_of(tokeniser)
    parts: list[int] = []
    for document in texts(dataset, configuration):
        parts += encoder.encode(document).ids
        if len(parts) >= tokens + test:
            break
    found = torch.tensor(parts[: tokens + test])
    return Corpus(found[test:], found[:test], encoder.get_vocab_size())


def passes(tokens: Tensor, context: int, batch: int, source: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (inputs, targets), each (batch, context), pass after pass without end.

    A pass is a random permutation of windows that do not overlap; from the second on windows start at a random offset below
    `context`, so that they differ. What does not fill a batch is left out.

    Raises:
        ValueError: fewer windows than a batch needs.
    """
    if len(tokens) // context < batch + 1:
        raise ValueError(f"{len(tokens)} tokens have too few windows of {context} for batches of {batch}.")
    padded = torch.cat([tokens, tokens.new_zeros(1)])  # the last window's last target
    offset = 0
    while True:
        starts = torch.arange(offset, len(tokens) - context + 1, context)
        for chosen in starts[torch.randperm(len(starts), generator=source)].split(batch):
            if len(chosen) == batch:
                window = padded[chosen[:, None] + torch.arange(context + 1)]
                yield window[:, :-1], window[:, 1:]
        offset = int(torch.randint(context, (), generator=source))


def random_blocks(tokens: Tensor, share: float, size: int = 512, seed: int = 0) -> Tensor:
    """A subset with the distribution of the whole: random blocks of `size`, in the order of the text; a share of 1 is all of it."""
    blocks = tokens[: len(tokens) // size * size].view(-1, size)
    count = max(1, round(share * len(blocks)))
    chosen = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(seed))[:count].sort().values
    return blocks[chosen].flatten()


def evenly_spaced(tokens: Tensor, context: int, windows: int) -> tuple[Tensor, Tensor]:
    """A fixed sample to test on: inputs and targets (windows, context), spread over the whole text."""
    last = len(tokens) - context - 1
    starts = torch.linspace(0, last, min(windows, last // context)).long()
    window = tokens[starts[:, None] + torch.arange(context + 1)]
    return window[:, :-1], window[:, 1:]
