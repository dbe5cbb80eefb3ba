"""A pretrained classifier under a new head: the body is the model's, the head the generator's, the images the model's size."""

from __future__ import annotations

import torch

from models import hub
from models.pretrained import PretrainedClassifier

REFERENCE = "starter/mnist-resnet"


def made(seed=0, classes=7):
    return PretrainedClassifier(REFERENCE, classes, torch.Generator().manual_seed(seed))


def test_the_body_is_pretrained_and_the_head_is_drawn():
    first, again, other = made(), made(), made(seed=1)
    original = hub.load(REFERENCE).module.state_dict()
    names = {name for name, values in first.body.state_dict().items() if values.shape != original[name].shape}
    head = next(iter(names)).rpartition(".")[0]
    for name, values in first.body.state_dict().items():
        assert torch.equal(values, again.body.state_dict()[name])
        if name.startswith(head):
            assert not torch.equal(values, other.body.state_dict()[name])
        else:
            assert torch.equal(values, original[name])


def test_any_size_of_image_is_answered():
    with torch.no_grad():
        for shape in ((2, 1, 8, 8), (2, 1, 28, 28)):
            assert made()(torch.randn(shape)).shape == (2, 7)


def test_training_mode_changes_nothing():
    model, pixels = made(), torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        evaluated = model.eval()(pixels)
        assert torch.equal(model.train()(pixels), evaluated)
    assert not any(part.training for part in model.modules())
