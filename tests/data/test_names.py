"""The corpus of names, against the counts that its papers go by."""

from __future__ import annotations

import unicodedata

import pytest
import torch

from core.data.names import BEGIN, END, LONGEST, PADDING, ROMANCE, TWELVE, Vocabulary, names, parallel


@pytest.mark.parametrize(
    ("languages", "pairs", "tokens", "vocabulary"), [(ROMANCE, 7660, 88267, 118), (TWELVE, 16260, 191809, 157)]
)
def test_the_corpus_has_the_size_it_says(languages, pairs, tokens, vocabulary):
    corpus = parallel(languages)
    everything = [*corpus.train, *corpus.validation, *corpus.test]
    assert len(everything) == pairs == len(set(everything))
    assert sum(len(name.translation) + 1 for name in everything) == tokens
    assert len(Vocabulary(corpus)) == vocabulary


def test_parts_are_fixed_and_apart():
    corpus = parallel(TWELVE)
    assert [len(part) for part in (corpus.train, corpus.validation, corpus.test)] == [14568, 854, 838]
    keys = [{name[:3] for name in part} for part in (corpus.train, corpus.validation, corpus.test)]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


def test_names_are_what_they_say():
    found = {name[:3]: name for name in names(("de", "fr"))}
    assert found["de", "territories", "FR"][3:] == ("France", "Frankreich")
    assert found["fr", "languages", "de"][3:] == ("German", "allemand")
    assert all(unicodedata.is_normalized("NFC", name.english + name.translation) for name in found.values())


def test_encoding_comes_back():
    corpus = parallel(TWELVE)
    vocabulary, part = Vocabulary(corpus), corpus.test[:50]
    encoded = vocabulary.encode(part)
    assert encoded.source.shape == (50, LONGEST + 1) and encoded.target.shape == (50, LONGEST + 2)
    assert [vocabulary.decode(row) for row in encoded.source] == [name.english for name in part]
    assert [vocabulary.decode(row) for row in encoded.target] == [name.translation for name in part]
    assert (encoded.target[:, 0] == BEGIN).all() and ((encoded.target == END).sum(1) == 1).all()
    lengths = torch.tensor([len(name.translation) + 2 for name in part])
    assert ((encoded.target != PADDING).sum(1) == lengths).all()
    assert encoded.source[:, 0].tolist() == [vocabulary.tags[name.language] for name in part]
    assert int(max(encoded.source.max(), encoded.target.max())) < len(vocabulary)


def test_an_unknown_language_is_named():
    with pytest.raises(ValueError, match="language 'xx'"):
        names(("xx",))
