"""The sheet's facts about the network, its gradient, its kernel and the linearised twin."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, jacrev

from core.measures.kernels import kernel_regression, kernel_target_alignment
from core.methods.base import Inputs
from core.methods.dynamics import lazy_to_rich_grokking as paper
from core.recorder import Recorder

W = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))
X = torch.ones(1, 2, dtype=torch.float64)
Y = torch.tensor([0.5], dtype=torch.float64)


def one(value):
    """As the batched functions take alpha and epsilon."""
    return torch.full((1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("alpha", "output", "loss", "slopes", "kernel"),
    [(1.0, 2.125, 2.640625, [[2.4375, 2.4375], [3.25, 3.25]], 3.125), (2.0, 4.25, 14.0625, [[11.25, 11.25], [15, 15]], 12.5)],
)
def test_output_loss_gradient_and_kernel_by_hand(alpha, output, loss, slopes, kernel):
    h = paper.preactivations(W, X)
    f = paper.network(h, one(alpha), one(0.5))
    phi = paper.slope(h, one(0.5))
    assert f.item() == output
    assert (f - Y).square().mean().item() == loss
    assert paper.gradient(f - Y, phi, X, one(alpha)).tolist() == slopes
    assert paper.tangent_kernel(phi, X, phi, X, one(alpha)).item() == kernel


def random_problem(seed=0, n=7, d=3, units=5):
    source = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=source, dtype=torch.float64)  # noqa: E731
    return draw(units, d), draw(n, d), draw(n)


def test_gradient_is_that_of_autograd():
    w, x, y = random_problem()
    w.requires_grad_()
    h = paper.preactivations(w, x)
    f = paper.network(h, one(1.7), one(0.3))
    (automatic,) = torch.autograd.grad((f - y).square().mean(), w)
    torch.testing.assert_close(paper.gradient(f - y, paper.slope(h, one(0.3)), x, one(1.7)), automatic)


def test_kernel_is_that_of_jacobians():
    w, x, _ = random_problem()

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(w)

        def forward(self, inputs):
            return paper.network(paper.preactivations(self.w, inputs), one(1.7), one(0.3))

    model = Network()
    jacobian = jacrev(lambda weight: functional_call(model, {"w": weight}, (x,)))(w).flatten(1)
    phi = paper.slope(paper.preactivations(w, x), one(0.3))
    torch.testing.assert_close(paper.tangent_kernel(phi, x, phi, x, one(1.7)), (jacobian @ jacobian.T).detach())


def test_kernel_scales_with_alpha_squared_and_does_not_know_the_weights_where_epsilon_is_zero():
    w, x, _ = random_problem()
    other, _, _ = random_problem(seed=1)

    def kernel(weights, alpha, epsilon):
        phi = paper.slope(paper.preactivations(weights, x), one(epsilon))
        return paper.tangent_kernel(phi, x, phi, x, one(alpha))

    torch.testing.assert_close(kernel(w, 3.0, 0.3), 9 * kernel(w, 1.0, 0.3))
    torch.testing.assert_close(kernel(w, 1.0, 0.0), kernel(other, 1.0, 0.0))


def record(arm, seeds=(0,), **changes):
    """The scalars (series, name, seed, step) -> value and the tables of a small run."""
    small = {
        "dimension": 8, "samples": 12, "units": 16, "steps": 40, "alphas": (1.0,), "linearised": (1.0,), "epsilons": (0.25,),
        "sample_sizes": (12,), "test_points": 50,
    }  # fmt: skip
    batches = []
    recorder = Recorder(batches.append, seeds)
    paper.run(arm, paper.Params(**(small | changes)), Inputs(tuple(seeds)), recorder)
    recorder.close()
    curves = {}
    for batch in batches:
        for row in batch.scalars.to_pylist() if batch.scalars else ():
            curves[row["name"], row["seed"], row["step"]] = row["value"]
    tables = [(event.name, event.seed, row) for batch in batches for event in batch.tables for row in event.rows.to_pylist()]
    return curves, tables


def test_without_a_quadratic_part_the_linearised_network_is_the_network():
    network, _ = record("network", epsilon=0.0, epsilons=(0.0,))
    linearised, _ = record("linearised", epsilon=0.0, epsilons=(0.0,))
    assert network.keys() == linearised.keys()
    for key in network:
        if key[0] in ("training_loss", "test_loss"):
            assert network[key] == pytest.approx(linearised[key], rel=1e-4)


def test_the_linearised_network_leaves_the_network_with_the_square_of_the_step():
    differences = []
    for rate in (0.02, 0.01):
        network, _ = record("network", rate=rate, steps=10)
        linearised, _ = record("linearised", rate=rate, steps=10)
        assert network["training_loss", 0, 0] == linearised["training_loss", 0, 0] == 1.0
        differences.append(abs(network["training_loss", 0, 1] - linearised["training_loss", 0, 1]))
    assert 3 < differences[0] / differences[1] < 5


def test_the_linearised_networks_alignment_is_constant():
    curves, _ = record("linearised")
    alignment = [value for (name, _, _), value in curves.items() if name == "alignment"]
    assert np.ptp(alignment) == 0.0


def test_subtracting_the_initial_output_starts_at_the_targets_size_for_every_alpha(monkeypatch):
    seen = []
    real = paper.gradient
    monkeypatch.setattr(paper, "gradient", lambda errors, *rest: seen.append(errors) or real(errors, *rest))
    record("network", alphas=(0.5, 1.0, 8.0), subtract_initial=True)
    first = seen[0].square().mean(-1)[:, 0]  # (alphas,)
    target = paper.Problem.draw(paper.Params(dimension=8, units=16, test_points=50), (0,), 12, "cpu").targets
    assert first.tolist() == pytest.approx([target.square().mean().item()] * 3, rel=1e-5)


def test_the_larger_alpha_the_nearer_to_the_linearised_network():
    setting = {"subtract_initial": True, "alphas": (0.5, 2.0, 8.0, 64.0), "linearised": (64.0,), "steps": 600}
    _, tables = record("network", **setting)
    ends = [row["test_loss"] for name, _, row in tables if name == "settings"]
    _, tables = record("linearised", **setting)
    (lazy,) = [row["test_loss"] for name, _, row in tables if name == "settings"]
    distances = [abs(end - lazy) for end in ends]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.03 * lazy


def test_seeds_in_one_batch_give_the_numbers_of_each_alone():
    together, _ = record("network", seeds=(0, 1))
    for seed in (0, 1):
        alone, _ = record("network", seeds=(seed,))
        for name, _, step in alone:
            assert together[name, seed, step] == pytest.approx(alone[name, seed, step], rel=1e-4), (name, step)


def test_recording_is_dense_enough():
    marks = paper.log_spaced(20_000)
    ratios = np.array(marks[2:]) / np.array(marks[1:-1])
    assert marks[0] == 0
    assert marks[-1] == 20_000
    assert ratios[marks[2:].index(11) :].max() <= 1.1 + 1e-9


def test_alignment_of_the_targets_own_kernel_is_one():
    y = torch.tensor([1.0, -2.0, 3.0])
    assert kernel_target_alignment(torch.outer(y, y), y, centred=False).item() == pytest.approx(1.0)


def test_regression_with_a_kernel_interpolates():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 9, generator=source)
    y = torch.randn(2, 6, generator=source)
    kernel = x @ x.mT
    torch.testing.assert_close(kernel_regression(kernel, kernel, y), y, rtol=1e-4, atol=1e-4)
