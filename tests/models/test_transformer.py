"""Sizes by count, no look into the future, padding that changes nothing, and starts fixed by a generator."""

import pytest
import torch

from models.transformer import Decoder, EncoderDecoder


@pytest.mark.parametrize(("width", "count"), [(16, 9_808), (24, 19_320), (32, 31_904), (48, 66_288), (64, 112_960), (96, 243_168)])
def test_parameters_of_the_decoder(width, count):
    assert sum(p.numel() for p in Decoder(96, width=width, layers=2, context=32).parameters()) == count


def test_a_decoder_sees_no_later_token():
    model = Decoder(10, width=16, layers=2, context=8).eval()
    tokens = torch.randint(10, (2, 8))
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 10
    torch.testing.assert_close(model(tokens)[:, :5], model(changed)[:, :5])
    assert not torch.allclose(model(tokens)[:, 5:], model(changed)[:, 5:])


def test_dropout_of_zero_in_training_is_evaluation():
    model, tokens = Decoder(10, width=16, layers=1, context=8), torch.randint(10, (2, 8))
    torch.testing.assert_close(model.train()(tokens), model.eval()(tokens))


def test_query_and_key_normalisation_bounds_attention():
    model = Decoder(10, width=16, layers=1, context=8, normalise=True)
    attention = model.blocks[0].attention
    with torch.no_grad():
        attention.query.weight.mul_(1000)
    query = attention.normalise_query(attention._split(attention.query(torch.randn(1, 8, 16))))
    assert query.square().mean(-1).max() <= 1 + 1e-5


def test_layers_of_an_encoder_decoder_have_the_counted_size():
    def size(encoder, decoder, layers=1):
        model = EncoderDecoder(50, encoder_width=encoder, decoder_width=decoder, encoder_layers=layers, decoder_layers=layers)
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "tokens" not in name and "positions" not in name]
        return sum(p.numel() for p in matrices) - 50 * decoder

    assert size(16, 32) == 12 * 16**2 + 14 * 32**2 + 2 * 16 * 32
    assert size(32, 32) == 12 * 32**2 + 14 * 32**2 + 2 * 32 * 32


def test_padding_of_the_source_changes_nothing():
    model = EncoderDecoder(20, encoder_width=16, decoder_width=24).eval()
    source, target = torch.randint(1, 20, (2, 5)), torch.randint(1, 20, (2, 4))
    padded = torch.cat([source, torch.zeros(2, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(model(source, target), model(padded, target))
    later = target.clone()
    later[:, 3] = 1 + later[:, 3] % 19
    torch.testing.assert_close(model(source, target)[:, :3], model(source, later)[:, :3])


def test_a_generator_fixes_the_start():
    def start(seed):
        return Decoder(10, width=16, layers=1, context=8, generator=torch.Generator().manual_seed(seed)).state_dict()

    one, again, other = start(0), start(0), start(1)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["output.weight"], other["output.weight"])
