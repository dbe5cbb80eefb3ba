"""U-Nets for pictures and volumes: two convolutions a level, pooled on the way down, joined with what was there on the way up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models.initialisation import draw_weights

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
NORMALISATIONS = {
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
}


class UNet(nn.Module):
    """Input (n, inputs, ...) to logits (n, outputs, ...) of the same size, each side a multiple of 2^(levels - 1).

    Args:
        channels: of every level, from the finest.
        dimensions: 2 for pictures, 3 for volumes.
        normalisation: after each convolution, with learned scale; followed by LeakyReLU(0.01).
        generator: fixes the initial values; without it, torch's global state does.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        inputs: int = 1,
        outputs: int = 1,
        dimensions: Literal[2, 3] = 3,
        normalisation: Literal["instance", "batch"] = "instance",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        convolution, normalise = CONVOLUTIONS[dimensions], NORMALISATIONS[normalisation, dimensions]

        def twice(before: int, after: int) -> nn.Sequential:
            parts: list[nn.Module] = []
            for width in (before, after):
                parts += [convolution(width, after, 3, padding=1), normalise(after, affine=True), nn.LeakyReLU(0.01)]
            return nn.Sequential(*parts)

        self.pool = POOLS[dimensions](2)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.down = nn.ModuleList([twice(before, after) for before, after in zip((inputs, *channels[:-1]), channels, strict=True)])
        upward = list(zip(reversed(channels[1:]), reversed(channels[:-1]), strict=True))
        self.narrow = nn.ModuleList([convolution(before, after, 3, padding=1) for before, after in upward])
        self.up = nn.ModuleList([twice(2 * after, after) for _, after in upward])
        self.output = convolution(channels[0], outputs, 1)
        if generator is not None:
            draw_weights(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for number, block in enumerate(self.down):
            x = block(x if number == 0 else self.pool(x))
            levels.append(x)
        for narrow, block, skipped in zip(self.narrow, self.up, reversed(levels[:-1]), strict=True):
            x = block(torch.cat([skipped, narrow(self.enlarge(x))], 1))
        return self.output(x)
