"""Lanczos against dense eigenvalues: of matrices that are known, and of the Hessian of a small network."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

from core.measures.curvature import extreme_eigenpairs, hessian_product, lanczos, spectral_density


def symmetric(values: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """A matrix with these eigenvalues in a random basis."""
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=torch.manual_seed(seed)))
    return basis @ torch.diag(values) @ basis.T


def test_the_tridiagonal_is_the_matrix_in_an_orthonormal_basis():
    matrix = symmetric(torch.linspace(-3, 5, 40, dtype=torch.float64))
    tridiagonal, basis = lanczos(matrix.mv, torch.ones(40, dtype=torch.float64), 25)
    torch.testing.assert_close(basis @ basis.T, torch.eye(25, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(basis @ matrix @ basis.T, tridiagonal, atol=1e-10, rtol=0)


def test_all_steps_give_all_eigenvalues_without_ghosts():
    values = torch.cat([torch.linspace(-1, 1, 30), torch.tensor([20.0, 21.0])]).double()
    tridiagonal, _ = lanczos(symmetric(values).mv, torch.randn(32, dtype=torch.float64, generator=torch.manual_seed(1)), 100)
    torch.testing.assert_close(torch.linalg.eigvalsh(tridiagonal), values, atol=1e-9, rtol=0)


def test_it_stops_where_the_space_is_exhausted():
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    tridiagonal, basis = lanczos(matrix.mv, torch.tensor([1.0, 0.0, 1.0, 0.0]), 4)
    assert len(basis) == 2
    torch.testing.assert_close(torch.linalg.eigvalsh(tridiagonal), torch.tensor([1.0, 3.0]))


@pytest.mark.parametrize("start", [torch.zeros(3), torch.tensor([1.0, float("nan"), 0.0])])
def test_it_refuses_a_start_that_leads_nowhere(start):
    with pytest.raises(ValueError, match="finite and not zero"):
        lanczos(torch.eye(3).mv, start, 2)


def test_the_largest_is_not_the_largest_in_size():
    matrix = symmetric(torch.tensor([-9.0, -1.0, 0.5, 1.0, 2.0, 4.0]).double())
    values, vectors = extreme_eigenpairs(matrix.mv, torch.ones(6).double(), 6, largest=2, smallest=1)
    torch.testing.assert_close(values, torch.tensor([4.0, 2.0, -9.0]).double())
    torch.testing.assert_close(vectors @ matrix, values[:, None] * vectors, atol=1e-9, rtol=0)


def test_a_network_s_hessian():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    inputs, labels = torch.randn(20, 5).double(), torch.randint(3, (20,))
    parameters = dict(network.named_parameters())

    def loss_of(values):
        return nn.functional.cross_entropy(functional_call(network, values, (inputs,)), labels)

    blocks = hessian(loss_of)({name: value.detach() for name, value in parameters.items()})
    rows = [torch.cat([blocks[a][b].reshape(parameters[a].numel(), -1) for b in parameters], 1) for a in parameters]
    dense = torch.cat(rows)
    product = hessian_product(lambda: loss_of(parameters), list(parameters.values()))
    vector = torch.randn(len(dense)).double()
    torch.testing.assert_close(product(vector), dense @ vector, atol=1e-12, rtol=1e-9)
    values, _ = extreme_eigenpairs(product, vector, 30, largest=3, smallest=2)
    exact = torch.linalg.eigvalsh(dense).flip(0)
    torch.testing.assert_close(values, torch.cat([exact[:3], exact[-2:]]), atol=1e-6, rtol=0)


def test_a_parameter_that_the_loss_does_not_need_has_no_curvature():
    used, unused = torch.tensor([2.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)
    product = hessian_product(lambda: (used**3).sum() + 0 * unused.sum(), [used, unused])
    assert product(torch.ones(2)).tolist() == [12.0, 0.0]


def test_the_density_has_the_spectrum_s_moments():
    values = torch.cat([torch.zeros(150), torch.linspace(0.5, 1.5, 50)]).double()
    grid = torch.linspace(-1, 3, 2001, dtype=torch.float64)
    density = spectral_density(symmetric(values).mv, 200, grid, 0.05, torch.Generator().manual_seed(0), probes=20, steps=40)
    mass, mean = torch.trapezoid(density, grid), torch.trapezoid(density * grid, grid)
    assert mass == pytest.approx(1, abs=1e-6)
    assert mean == pytest.approx(values.mean().item(), abs=0.03)
    near_zero = (grid > -0.2) & (grid < 0.2)
    assert torch.trapezoid(density[near_zero], grid[near_zero]) == pytest.approx(0.75, abs=0.04)
