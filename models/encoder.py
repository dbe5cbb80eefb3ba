"""The encoders that the contrastive papers train, and the projection heads that belong to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from models.convnet import ConvNet
from models.projection import projection_head
from models.resnet18 import ResNet18

Network = Literal["convnet", "resnet-18"]


def encoder_and_head(
    shape: Sequence[int], network: Network = "convnet", *, generator: torch.Generator
) -> tuple[nn.Module, nn.Module]:
    """An encoder of items of a shape and a projection head on it, both with initial values from the generator.

    "convnet" halves images by strides until they are 2 x 2, doubling the channels from 16, and ends in 64 numbers (ENC8 and ENC14
    of the papers' sheets for sides of 8 and 14); its head is 64-128-64. "resnet-18" ends in 512 numbers; its head is 512-512-128.

    Args:
        shape: (channels, height, width) of images, or (d,) of frozen features: "convnet" is then two linear layers, d-128-64.

    >>> encoder, head = encoder_and_head((1, 14, 14), generator=torch.Generator())
    >>> head(encoder(torch.zeros(5, 1, 14, 14))).shape
    torch.Size([5, 64])
    """
    if network == "resnet-18":
        return ResNet18(channels=shape[0], generator=generator), projection_head((512, 512, 128), generator=generator)
    encoder: nn.Module
    if len(shape) == 1:
        encoder = projection_head((shape[0], 128, 64), generator=generator)
    else:
        channels, height, width = shape
        widths = [16 << block for block in range(math.ceil(math.log2(min(height, width))) - 1)]
        encoder = ConvNet((channels, height, width), widths, 64, stride=2, pooling="none", generator=generator)
    return encoder, projection_head((64, 128, 64), generator=generator)
