"""Small convolutional networks: a stack of like blocks and a linear layer, and the block itself for other stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from models.initialisation import draw_weights

Pooling = Literal["none", "max", "average"]
Normalisation = Literal["none", "batch", "group", "instance"]

POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
NORMALISATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(min(channels, 16), channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
}


def convolution_block(
    inputs: int,
    outputs: int,
    *,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    padding: int | tuple[int, int] | None = None,
    pooling: Pooling = "none",
    normalisation: Normalisation = "batch",
) -> nn.Sequential:
    """Convolution, normalisation, ReLU, pooling over 2 x 2; the convolution has a bias only where nothing is normalised.

    Args:
        padding: without it, half the kernel, which keeps the size of the image at stride 1.
    """
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=normalisation == "none")]
    if normalisation != "none":
        layers.append(NORMALISATIONS[normalisation](outputs))
    layers.append(nn.ReLU())
    if pooling != "none":
        layers.append(POOLINGS[pooling](2))
    return nn.Sequential(*layers)


class ConvNet(nn.Module):
    """Blocks of 3 x 3 convolutions, flattened, then a linear layer: image (n, channels, height, width) to (n, outputs).

    A block halves the image by pooling, or by stride 2 without pooling.

    >>> ConvNet((1, 14, 14), (32, 32, 32), 20).feature_size
    32
    >>> ConvNet((1, 8, 8), (16, 32), 64, stride=2, pooling="none")(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 64])

    Attributes:
        blocks: each gives a feature map (n, channels, height, width).
        feature_size: numbers that the last block gives for an image.
        output: the linear layer; without `outputs` there is none, and the network gives its features.

    Args:
        image: (channels, height, width) of what goes in.
        widths: channels of each block.
        generator: fixes the initial values, torch's own uniform ones; without it, torch's global state does.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        widths: Sequence[int],
        outputs: int | None = None,
        *,
        stride: int = 1,
        pooling: Pooling = "max",
        normalisation: Normalisation = "batch",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                convolution_block(before, after, stride=stride, pooling=pooling, normalisation=normalisation)
                for before, after in pairwise((image[0], *widths))
            )
        )
        height, width = image[1:]
        for _ in widths:
            height, width = (_halved(side, stride, pooling) for side in (height, width))
        self.feature_size = widths[-1] * height * width
        self.output = nn.Identity() if outputs is None else nn.Linear(self.feature_size, outputs)
        if generator is not None:
            draw_weights(self, generator)
        # on a CPU, training then takes two thirds of the time, and evaluation half; torch's annotations do not know of it
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, x: Tensor) -> Tensor:
        """What the linear layer sees, (n, feature_size)."""
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


def _halved(side: int, stride: int, pooling: Pooling) -> int:
    side = (side - 1) // stride + 1
    return side if pooling == "none" else side // 2
