"""Kernels as matrices: how well one fits a target, and what regression with it predicts."""

from __future__ import annotations

import torch
from torch import Tensor


def kernel_target_alignment(kernel: Tensor, target: Tensor, centred: bool = True) -> Tensor:
    """Cosine between a kernel and the target's own, y' K y / (|K| |y|^2) with the Frobenius norm.

    Args:
        kernel: (..., n, n), target: (..., n).
        centred: takes the mean off the target and off each column of the kernel, as Kumar et al. (2310.06110) do in their code.

    Returns:
        (...), from -1 to 1.

    >>> kernel, target = torch.diag(torch.tensor([2.0, 1.0, 0.0])), torch.tensor([1.0, 0.0, -1.0])
    >>> [round(kernel_target_alignment(kernel, target, centred).item(), 6) for centred in (False, True)]
    [0.447214, 0.547723]
    """
    if centred:
        kernel, target = kernel - kernel.mean(-2, keepdim=True), target - target.mean(-1, keepdim=True)
    quadratic = (target[..., None, :] @ kernel @ target[..., :, None])[..., 0, 0]
    return quadratic / (torch.linalg.matrix_norm(kernel) * target.square().sum(-1))


def kernel_regression(kernel: Tensor, cross: Tensor, target: Tensor, jitter: float = 1e-8) -> Tensor:
    """Predictions of regression without a penalty, k (K + jitter I)^-1 y, solved in float64.

    Args:
        kernel: (..., n, n) among the training points, cross: (..., m, n) of the test points with them, target: (..., n).
        jitter: relative to the mean of the kernel's diagonal.

    Returns:
        (..., m).
    """
    square = kernel.double()
    scale = square.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    ridge = jitter * scale * torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)
    weights = torch.linalg.solve(square + ridge, target.double()[..., None])
    return (cross.double() @ weights)[..., 0].to(target.dtype)
