"""Residual networks for 32 x 32 images (He et al. 2016, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3 x 3 convolutions and the input added; where the shape changes, every second pixel of it, with channels of zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.normalisation1 = nn.BatchNorm2d(outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.normalisation2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.normalisation1(self.convolution1(x)))
        h = self.normalisation2(self.convolution2(h))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(h + shortcut)


class CifarResNet(nn.Module):
    """ResNet-20, -32, -56, ...: a 3 x 3 convolution, three stages of (depth - 2) / 6 blocks, mean over pixels, a linear layer.

    Input (n, channels, 32, 32), output logits (n, classes). The stages have width, 2 width and 4 width channels and halve the side
    between them. Convolutions start from He's normal distribution, the linear layer from torch's own.

    Args:
        generator: fixes the initial values; without it, torch's global state does.

    Raises:
        ValueError: a depth that is not 6 n + 2.
    """

    def __init__(
        self,
        depth: int = 20,
        classes: int = 10,
        *,
        channels: int = 3,
        width: int = 16,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"The depth of a CIFAR ResNet is {depth}; it must be 6 n + 2, e.g. 20, 32 or 56.")
        self.convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(width)
        stages, inputs = [], width
        for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            for index in range(blocks):
                stages.append(Block(inputs, outputs, stride if index == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*stages)
        self.output = nn.Linear(inputs, classes)
        self._initialise(generator)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.normalisation(self.convolution(x)))
        return self.output(self.blocks(h).mean(dim=(2, 3)))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        bound = self.output.in_features**-0.5
        self.output.weight.uniform_(-bound, bound, generator=generator)
        self.output.bias.uniform_(-bound, bound, generator=generator)
