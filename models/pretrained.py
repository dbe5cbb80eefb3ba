"""A pretrained image classifier of the Hub under a new head, on tensors of pixels: what fine-tuning starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models import hub


class PretrainedClassifier(nn.Module):
    """Pixels (n, channels, height, width) to logits (n, classes), the images brought to the size and channels of the model.

    Pixels go in as they are: standardise them first. Dropout and the statistics of normalisation stay as in evaluation, so that a
    training step depends on nothing but the weights and the batch.

    Args:
        reference: a model for image classification, owner/name@revision or starter/name, that is on this machine.
        generator: of the new head's weights, drawn as nn.Linear draws them.

    Raises:
        HubError: there is no such model here, or it classifies no images.
    """

    def __init__(self, reference: str, classes: int, generator: torch.Generator) -> None:
        from PIL import Image

        super().__init__()
        loaded = hub.load(reference, "image-classification")
        if loaded.head is None:
            raise hub.HubError(f"{reference} has no linear layer that tells classes apart. Choose another model.")
        self.body = loaded.module
        _, self.channels, *self.size = loaded.preprocess([Image.new("RGB", (64, 64))]).inputs["pixel_values"].shape
        name = next(name for name, part in self.body.named_modules() if part is loaded.head)
        width = int(loaded.head.in_features)  # type: ignore[arg-type]
        head = nn.Linear(width, classes)
        with torch.no_grad():
            for values in head.parameters():
                values.uniform_(-(width**-0.5), width**-0.5, generator=generator)
        self.body.set_submodule(name, head)

    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, self.channels, -1, -1)
        if list(pixels.shape[2:]) != self.size:
            pixels = interpolate(pixels, self.size, mode="bilinear", antialias=True)
        return self.body(pixel_values=pixels).logits

    def train(self, mode: bool = True) -> PretrainedClassifier:
        """Stays as in evaluation."""
        return super().train(False)
