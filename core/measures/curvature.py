"""Spectra of matrices that are known by their products only: Hessians of losses, large kernels.

    product = hessian_product(loss_of, parameters)       # v -> H v, two backward passes
    values, vectors = extreme_eigenpairs(product, torch.randn(n), steps=30, largest=4)
    density = spectral_density(product, n, grid, width=0.01, source=generator)

Lanczos keeps all of its vectors and makes each new one orthogonal to them twice, so that no eigenvalue shows up as its own ghost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
BREAKDOWN = 1e-6  # of the largest entry so far, below which nothing new is left


def hessian_product(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Product:
    """v -> H v for the Hessian of a scalar loss in all parameters, flattened one after the other.

    The gradient's graph is built once: the parameters must not change while the product is in use.

    Args:
        loss: computes the loss of the parameters as they are; with one batch, always the same.
        parameters: tensors that require gradients, (p,) numbers in all.

    Returns:
        A function from (p,) to (p,).
    """
    parameters = list(parameters)
    first = torch.autograd.grad(loss(), parameters, create_graph=True)
    gradient = torch.cat([part.reshape(-1) for part in first])

    def product(vector: Tensor) -> Tensor:
        parts = torch.autograd.grad(gradient, parameters, vector, retain_graph=True, materialize_grads=True)
        return torch.cat([part.reshape(-1) for part in parts]).detach()

    return product


def lanczos(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The symmetric matrix of a product in the Krylov basis of `start`.

    Args:
        product: v -> A v for a symmetric A (n, n).
        start: (n,), not zero; it need not have length 1.
        steps: at most so many products; fewer where the space that `start` spans is exhausted.

    Returns:
        tridiagonal (m, m) and basis (m, n) with orthonormal rows, m <= steps: basis @ A @ basis.T = tridiagonal.

    Raises:
        ValueError: `start` is zero or not finite.
    """
    length = torch.linalg.vector_norm(start)
    if not (torch.isfinite(length) and length > 0):
        raise ValueError(f"Lanczos needs a start that is finite and not zero; its length is {float(length)}.")
    basis = [start / length]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for step in range(min(steps, len(start))):
        image = product(basis[-1])
        diagonal.append(basis[-1] @ image)
        so_far = torch.stack(basis)
        for _ in range(2):
            image = image - so_far.T @ (so_far @ image)
        rest = torch.linalg.vector_norm(image)
        scale = torch.stack([*diagonal, *beside]).abs().max()
        if step + 1 == min(steps, len(start)) or rest <= BREAKDOWN * scale:
            break
        beside.append(rest)
        basis.append(image / rest)
    tridiagonal = torch.diag(torch.stack(diagonal))
    if beside:
        edge = torch.stack(beside)
        tridiagonal = tridiagonal + torch.diag(edge, 1) + torch.diag(edge, -1)
    return tridiagonal, torch.stack(basis)


def extreme_eigenpairs(product: Product, start: Tensor, steps: int, largest: int = 1, smallest: int = 0) -> tuple[Tensor, Tensor]:
    """Eigenvalues at the ends of a spectrum, with their vectors; Lanczos finds the ends first.

    The largest are algebraically largest: early in training a large negative eigenvalue of a Hessian does not win, as it can in
    power iteration. A start near the wanted vector (the last step's) saves most of the products.

    Returns:
        values (largest + smallest,), descending, and vectors (largest + smallest, n) of length 1; fewer where `steps` or the space
        is smaller.
    """
    tridiagonal, basis = lanczos(product, start, steps)
    values, small = torch.linalg.eigh(tridiagonal)  # ascending
    count = len(values)
    chosen = sorted({*range(max(count - largest, 0), count), *range(min(smallest, count))}, reverse=True)
    return values[chosen], small[:, chosen].T @ basis


def spectral_density(
    product: Product, dimension: int, grid: Tensor, width: float, source: torch.Generator, probes: int = 4, steps: int = 60
) -> Tensor:
    """The density of a spectrum, smoothed by a Gaussian, by stochastic Lanczos quadrature.

    Ghorbani, Krishnan, Xiao (1901.10159), algorithm 1: each random probe gives nodes (the eigenvalues of its tridiagonal) and
    weights (the squares of the first entries of their vectors); the mean over probes estimates the density of A's eigenvalues.

    Args:
        dimension: n of A (n, n).
        grid: (g,) where the density is wanted, on the device of A.
        width: standard deviation of the Gaussian.

    Returns:
        (g,); its integral is 1 where the grid covers the spectrum.
    """
    density = torch.zeros_like(grid)
    for _ in range(probes):
        start = torch.randn(dimension, generator=source, dtype=grid.dtype).to(grid.device)
        nodes, vectors = torch.linalg.eigh(lanczos(product, start, steps)[0])
        bells = torch.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2) / (width * (2 * torch.pi) ** 0.5)
        density += bells @ vectors[0] ** 2
    return density / probes
