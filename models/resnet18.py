"""ResNet-18 with a 3 x 3 stem: the usual network for 32 x 32 images in papers on representations and losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.initialisation import draw_weights


class Block(nn.Module):
    """Two 3 x 3 convolutions and the input added; where the shape changes, through a 1 x 1 convolution (option B of He et al.)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.normalisation1 = nn.BatchNorm2d(outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.normalisation2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.normalisation1(self.convolution1(x)))
        h = self.normalisation2(self.convolution2(h))
        return F.relu(h + self.shortcut(x))


class ResNet18(nn.Module):
    """A 3 x 3 convolution, four stages of two blocks that halve the side between them, the mean over pixels, a linear layer.

    Input (n, channels, height, width). Without `outputs` there is no linear layer and the output is the features, (n, 8 width).

    Args:
        outputs: width of the linear layer, e.g. the number of classes.
        width: channels of the first stage.
        generator: fixes the initial values; without it, torch's global state does.
    """

    def __init__(
        self, outputs: int | None = None, *, channels: int = 3, width: int = 64, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(width)
        stages, inputs = [], width
        for stage in range(4):
            for index in range(2):
                stages.append(Block(inputs, width << stage, stride=2 if stage and not index else 1))
                inputs = width << stage
        self.blocks = nn.Sequential(*stages)
        self.output = nn.Identity() if outputs is None else nn.Linear(inputs, outputs)
        if generator is not None:
            draw_weights(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.normalisation(self.convolution(x)))
        return self.output(self.blocks(h).mean(dim=(2, 3)))
