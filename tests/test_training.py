"""The training loop against closed forms, and the parts around it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.training import (
    adam,
    batch_order,
    cosine,
    evaluating,
    generator,
    linear,
    predict,
    sgd,
    step_decay,
    train,
    warm_up,
)


def weight(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values))


class TestTrain:
    def test_gradient_descent_on_a_parabola_shrinks_by_a_constant_factor(self):
        w = weight(1.0)
        train(lambda step: (w**2).sum() / 2, torch.optim.SGD([w], 0.1), 10)
        assert w.item() == pytest.approx(0.9**10)

    def test_the_loss_is_told_its_step(self):
        w, steps = weight(0.0), []
        train(lambda step: steps.append(step) or w.sum(), torch.optim.SGD([w], 0.1), 7, start=3)
        assert steps == [3, 4, 5, 6]

    def test_a_schedule_multiplies_every_group_s_own_rate_also_when_training_goes_on(self):
        first, second = weight(0.0), weight(0.0)
        optimiser = torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 10.0}])
        for _ in range(2):
            train(lambda step: -(first + second).sum(), optimiser, 2, schedule=lambda step: (0.5, 0.25)[step])
        assert first.item() == pytest.approx(2 * 0.75)
        assert second.item() == pytest.approx(20 * 0.75)

    def test_clipping_bounds_the_norm_of_all_gradients_together(self):
        a, b = weight(0.0), weight(0.0)
        train(lambda step: -(3 * a + 4 * b).sum(), torch.optim.SGD([a, b], 1.0), 1, clip=1.0)
        assert (a.item(), b.item()) == pytest.approx((0.6, 0.8))
        train(lambda step: -(0.3 * a + 0.4 * b).sum(), torch.optim.SGD([a, b], 1.0), 1, clip=1.0)
        assert (a.item(), b.item()) == pytest.approx((0.9, 1.2)), "a smaller gradient is left alone"

    def test_gradients_may_be_changed_before_they_are_clipped(self):
        w = weight(0.0, 0.0)

        def keep_the_first():
            w.grad[1] = 0

        train(lambda step: -(3 * w[0] + 4 * w[1]), torch.optim.SGD([w], 1.0), 1, clip=1.0, before_update=keep_the_first)
        assert w.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)

    def test_the_hook_after_a_step_sees_the_new_weights(self):
        w, seen = weight(0.0), []
        train(lambda step: -w.sum(), torch.optim.SGD([w], 1.0), 3, after_step=lambda done: seen.append((done, w.item())))
        assert seen == [(1, 1.0), (2, 2.0), (3, 3.0)]

    @pytest.mark.parametrize(
        ("start", "steps", "every", "expected"),
        [(0, 10, 4, [0, 4, 8, 10]), (3, 10, 4, [3, 4, 8, 10]), (0, 8, 4, [0, 4, 8]), (0, 3, 100, [0, 3]), (5, 5, 2, [5])],
    )
    def test_evaluations_come_at_the_start_at_multiples_and_at_the_end(self, start, steps, every, expected):
        w, seen = weight(0.0), []
        evaluate = lambda done, loss: seen.append(done)  # noqa: E731
        train(lambda step: w.sum(), torch.optim.SGD([w], 0.1), steps, start=start, evaluate=evaluate, every=every)
        assert seen == expected

    def test_an_evaluation_gets_the_mean_loss_of_the_steps_before_it(self):
        w, seen = weight(0.0), []
        train(
            lambda step: w.sum() * 0 + step,
            torch.optim.SGD([w], 0.1),
            5,
            evaluate=lambda done, loss: seen.append(loss),
            every=2,
        )
        assert math.isnan(seen[0])
        assert seen[1:] == [0.5, 2.5, 4.0]

    def test_a_run_in_two_legs_is_the_run_in_one(self):
        torch.manual_seed(0)
        x, y = torch.randn(20, 3), torch.randn(20)
        order = batch_order(20, 5, 12, generator("batches", 0))

        def run(legs):
            w = weight(0.1, 0.2, 0.3)
            optimiser = adam([w], 0.05)
            for start, steps in legs:
                loss = lambda step: ((x[order[step]] @ w - y[order[step]]) ** 2).mean()  # noqa: E731
                train(loss, optimiser, steps, start=start, schedule=cosine(12))
            return w.detach()

        assert torch.equal(run([(0, 12)]), run([(0, 5), (5, 12)]))


class TestSchedules:
    def test_cosine(self):
        assert [cosine(10)(step) for step in (0, 5, 10)] == pytest.approx([1, 0.5, 0])
        assert cosine(10, floor=0.2)(10) == pytest.approx(0.2)
        assert cosine(4)(1) == pytest.approx((1 + math.sqrt(0.5)) / 2)

    def test_linear(self):
        assert [linear(10, floor=0.5)(step) for step in (0, 5, 10)] == pytest.approx([1, 0.75, 0.5])

    def test_step_decay_in_any_order(self):
        assert [step_decay([7, 5])(step) for step in (4, 5, 6, 7)] == pytest.approx([1, 0.1, 0.1, 0.01])

    def test_a_warm_up_rises_and_then_follows(self):
        schedule = warm_up(4, then=step_decay([6], factor=0.5))
        assert [schedule(step) for step in (0, 1, 3, 5, 6)] == pytest.approx([0.25, 0.5, 1, 1, 0.5])
        assert warm_up(0)(0) == 1


@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (lambda p: adam(p, 0.01, weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1, fused=False)),
        (lambda p: sgd(p, 0.01, weight_decay=0.1), lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=0.1)),
    ],
)
def test_optimisers_are_the_plain_ones(ours, plain):
    torch.manual_seed(1)
    start, target = torch.randn(50), torch.randn(50)
    ends = []
    for make in (ours, plain):
        w = nn.Parameter(start.clone())
        train(lambda step, w=w: ((w - target) ** 4).sum(), make([w]), 20)
        ends.append(w.detach())
    assert not torch.allclose(ends[0], start)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-5, atol=1e-6)


class TestBatches:
    def test_every_pass_is_a_fresh_permutation(self):
        order = batch_order(12, 4, 9, generator("batches", 1))
        assert order.shape == (9, 4)
        passes = order.view(3, 12)
        assert [sorted(row.tolist()) for row in passes] == [list(range(12))] * 3
        assert len({tuple(row.tolist()) for row in passes}) == 3

    def test_what_does_not_fill_a_batch_is_left_out_of_its_pass(self):
        order = batch_order(10, 4, 5, generator("batches", 1))
        assert all(len(set(order[at : at + 2].flatten().tolist())) == 8 for at in (0, 2))

    def test_a_seed_fixes_the_order(self):
        orders = [batch_order(50, 7, 20, generator("batches", seed)) for seed in (0, 0, 1)]
        assert torch.equal(orders[0], orders[1])
        assert not torch.equal(orders[0], orders[2])

    def test_a_batch_larger_than_the_data_is_refused(self):
        with pytest.raises(ValueError, match="A batch of 11 cannot be drawn from 10 items; choose a batch size of at most 10"):
            batch_order(10, 11, 1, generator("batches"))


def test_streams_of_other_names_or_numbers_are_others():
    draws = [torch.randn(8, generator=generator(*key)).tolist() for key in (("a", 0), ("b", 0), ("a", 1), ("a", 0, 1), ("a", 0))]
    assert draws[0] == draws[4]
    assert all(draws[0] != other for other in draws[1:4])


class TestEvaluation:
    def test_the_mode_is_as_before_also_after_an_error(self):
        model = nn.Dropout(0.5)
        with evaluating(model):
            assert not model.training
            assert torch.is_inference_mode_enabled()
        assert model.training
        with pytest.raises(ZeroDivisionError), evaluating(model.eval()):
            raise ZeroDivisionError
        assert not model.training

    def test_predictions_in_batches_are_those_of_all_at_once(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        x = torch.randn(10, 3)
        outputs = predict(model, x, batch_size=4)
        assert not outputs.requires_grad
        torch.testing.assert_close(outputs, model.eval()(x))
