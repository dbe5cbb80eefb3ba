"""A parallel corpus of names: what CLDR calls territories, languages, currencies and scripts, in English and other languages.

    corpus = parallel(TWELVE)                # the names, in parts
    vocabulary = Vocabulary(corpus)          # of characters, one for both sides
    vocabulary.encode(corpus.train)          # as integers

The names ship with the package babel. Translations of one name into sister languages lie in different parts: that transfer is part
of what is to be learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from unicodedata import normalize
from zlib import crc32

import torch
from torch import Tensor

ROMANCE = ("es", "pt", "it", "gl", "ca", "fr")
TWELVE = ("de", "nl", "sv", "da", "no", "fr", "es", "it", "pt", "ca", "pl", "cs")
KINDS = ("territories", "languages", "currencies", "scripts")
LONGEST = 31  # characters of either side
PARTS = 20  # one is test, one is validation
PADDING, BEGIN, END = 0, 1, 2


class Name(NamedTuple):
    """One name in one language beside its English; `code` is CLDR's, such as DE or EUR."""

    language: str
    kind: str
    code: str
    english: str
    translation: str


@dataclass(frozen=True)
class Parallel:
    """Names to train, to decide and to test on, and all languages that there are."""

    train: tuple[Name, ...]
    validation: tuple[Name, ...]
    test: tuple[Name, ...]
    languages: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A part as integers.

    Attributes:
        source: (n, longest) the language's tag and the characters of the English name, then PADDING.
        target: (n, longest) BEGIN, the characters of the translation, END, then PADDING.
    """

    source: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.source)


@cache
def names(languages: tuple[str, ...]) -> tuple[Name, ...]:
    """All names of these languages whose English and translation have at most 31 characters, NFC-normalised.

    With babel 2.18, 7,660 for ROMANCE (88,267 target characters, each end counted) and 16,260 for TWELVE (191,809).

    Raises:
        ValueError: a language that babel does not know.
    """
    from babel import Locale, UnknownLocaleError

    english = Locale("en")
    found = []
    for language in languages:
        try:
            locale = Locale.parse(language)
        except (UnknownLocaleError, ValueError) as error:
            raise ValueError(f"There are no names in the language {language!r}: {error}.") from error
        for kind in KINDS:
            theirs = getattr(locale, kind)
            for code, name in getattr(english, kind).items():
                if code in theirs:
                    pair = normalize("NFC", name), normalize("NFC", theirs[code])
                    if max(map(len, pair)) <= LONGEST:
                        found.append(Name(language, kind, code, *pair))
    return tuple(found)


@cache
def parallel(languages: tuple[str, ...]) -> Parallel:
    """The names in three parts by a checksum of language, kind and code: 14,568, 854 and 838 for TWELVE."""
    placed = [(name, crc32(f"{name.language}|{name.kind}|{name.code}".encode()) % PARTS) for name in names(languages)]
    return Parallel(
        train=tuple(name for name, place in placed if place > 1),
        validation=tuple(name for name, place in placed if place == 1),
        test=tuple(name for name, place in placed if place == 0),
        languages=languages,
    )


class Vocabulary:
    """Characters and language tags as integers: padding, begin and end first, then the tags, then the characters in their order."""

    def __init__(self, corpus: Parallel) -> None:
        everything = (*corpus.train, *corpus.validation, *corpus.test)
        self.tags = {language: END + 1 + number for number, language in enumerate(corpus.languages)}
        first = END + 1 + len(self.tags)
        self.characters = {
            character: first + number
            for number, character in enumerate(sorted({c for name in everything for c in name.english + name.translation}))
        }
        self._text = {number: character for character, number in self.characters.items()}

    def __len__(self) -> int:
        return END + 1 + len(self.tags) + len(self.characters)

    def encode(self, part: Sequence[Name]) -> Encoded:
        """A part as integers; every row is as long as the longest that there can be."""
        source = [[self.tags[name.language], *map(self.characters.__getitem__, name.english)] for name in part]
        target = [[BEGIN, *map(self.characters.__getitem__, name.translation), END] for name in part]
        return Encoded(_padded(source, LONGEST + 1), _padded(target, LONGEST + 2))

    def decode(self, tokens: Tensor) -> str:
        """The characters of one row (n,) up to its first END; tags, padding and BEGIN are passed over."""
        row = tokens.tolist()
        if END in row:
            row = row[: row.index(END)]
        return "".join(self._text.get(token, "") for token in row)


def _padded(rows: Sequence[Sequence[int]], length: int) -> Tensor:
    padded = torch.full((len(rows), length), PADDING)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.tensor(row)
    return padded
