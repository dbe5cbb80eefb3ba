"""The algorithm against values computed by hand and by scikit-learn, invariances, and a run from features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import one_hot

from core.data import Images, Split
from core.data.digits import digits_images
from core.measures.prototypes import class_means
from core.methods import registry
from core.methods.base import Features, Inputs
from core.methods.metric_learning import transductive_clustering
from core.methods.metric_learning.transductive_clustering import (
    assign,
    bound_updates,
    cluster,
    dissimilarity,
    energy,
    features,
    laplacian_shot,
    mean_shift,
    neighbours_of,
    potential,
    recognise,
    shifted,
    squared_bandwidth,
)
from core.recorder import Batch, Recorder

OPTIONS = [
    {},
    {"modes": True},
    {"strength": 0.5},
    {"modes": True, "strength": 0.5},
]


def random_tasks(tasks: int = 6, ways: int = 3, shots: int = 1, queries: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Points (T, n, 4) around one centre a class, the support's labels, and the truth of all points."""
    source = torch.Generator().manual_seed(seed)
    centres = torch.randn(tasks, ways, 4, generator=source, dtype=torch.float64)
    support = torch.arange(ways).repeat_interleave(shots).expand(tasks, -1)
    truth = torch.cat([support, torch.arange(ways).repeat_interleave(queries).expand(tasks, -1)], dim=1)
    noise = torch.randn(*truth.shape, 4, generator=source, dtype=torch.float64)
    return centres.gather(1, truth[..., None].expand_as(noise)) + 0.7 * noise, support, truth


def last(x: Tensor, support: Tensor, ways: int = 3, **options):
    *_, state = cluster(x, support, ways, **options)
    return state


class TestBoundUpdates:
    """Three points, two classes; the third is the neighbour of the others, the first that of the third."""

    a = torch.tensor([[[0, 1, 0.5], [1, 0, 0.5]]], dtype=torch.float64)  # (1, K, n)
    neighbours = torch.tensor([[[2], [2], [0]]])
    nobody = torch.zeros(1, 2, 0, dtype=torch.float64)

    def trace(self, strength: float = 0.5, **options) -> list[Tensor]:
        return list(bound_updates(self.a, self.neighbours, strength, self.nobody, **options))

    def test_values_by_hand(self):
        trace = self.trace(tolerance=0, limit=100)
        assert trace[0][0, 0].tolist() == pytest.approx([0.7310585786, 0.2689414214, 0.5], abs=1e-10)
        assert trace[1][0, 0, 2].item() == pytest.approx(0.55750901, abs=1e-8)
        assert trace[-1][0, 0].tolist() == pytest.approx([0.74276606, 0.28098018, 0.56039519], abs=1e-8)

    def test_the_energy_by_hand(self):
        energies = [energy(z, potential(z, self.a, self.neighbours, 0.5)).item() for z in self.trace(tolerance=0)]
        assert energies[:2] == pytest.approx([-1.569670555596391, -1.576329271327404], abs=1e-12)
        assert energies[-1] == pytest.approx(-1.577736574113801, abs=1e-12)

    def test_without_a_graph_the_first_update_is_the_last_word(self):
        for z in self.trace(strength=0.0):
            assert torch.equal(z, (-self.a).softmax(1))

    def test_a_constant_for_each_point_changes_nothing(self):
        moved = self.a + torch.tensor([3.0, -700.0, 50.0])
        *_, z = bound_updates(moved, self.neighbours, 0.5, self.nobody, tolerance=0, limit=50)
        *_, expected = bound_updates(self.a, self.neighbours, 0.5, self.nobody, tolerance=0, limit=50)
        torch.testing.assert_close(z, expected)

    def test_the_order_of_classes_only_orders_the_result(self):
        *_, z = bound_updates(self.a.flip(1), self.neighbours, 0.5, self.nobody)
        torch.testing.assert_close(z.flip(1), self.trace()[-1])

    def test_every_update_keeps_shares_that_add_up_to_one(self):
        for z in self.trace(strength=5.0):
            torch.testing.assert_close(z.sum(1), torch.ones(1, 3, dtype=torch.float64))

    def test_the_energy_of_half_of_lambda_never_rises_on_symmetric_positive_graphs(self):
        """Disjoint cliques: w is symmetric and positive semi-definite. The energy with all of lambda does rise on some."""
        source = torch.Generator().manual_seed(0)
        tasks, classes, size, cliques = 500, 3, 3, 4
        order = torch.rand(tasks, cliques * size, generator=source).argsort(1).view(tasks, cliques, size)
        neighbours = torch.empty(tasks, cliques * size, size, dtype=torch.long)
        for member in range(size):
            index = order[:, :, member, None].expand(-1, -1, size)
            neighbours.scatter_(1, index, order)
        rises = dict.fromkeys((0.5, 1.0), 0)
        for strength in (0.3, 1.0, 3.0):
            a = 3 * torch.randn(tasks, classes, cliques * size, generator=source, dtype=torch.float64)
            trace = list(bound_updates(a, neighbours, strength, torch.zeros(tasks, classes, 0).double(), limit=8, tolerance=0))
            for share in rises:
                energies = torch.stack([energy(z, potential(z, a, neighbours, share * strength)) for z in trace])
                rises[share] += int((energies.diff(dim=0) > 1e-9).sum())
        assert rises[0.5] == 0  # of 12,000 updates
        assert rises[1.0] > 0

    def test_tasks_side_by_side_are_like_tasks_alone(self):
        x, support, _ = random_tasks(tasks=5)
        for options in OPTIONS:
            together = last(x, support, **options)
            for task in range(5):
                alone = last(x[task : task + 1], support[task : task + 1], **options)
                assert torch.equal(alone.labels[0], together.labels[task])
                torch.testing.assert_close(alone.m[0], together.m[task], rtol=1e-9, atol=1e-12)


class TestGraph:
    x = torch.tensor([[[0.0], [1.0], [3.0], [3.5], [10.0]]], dtype=torch.float64)

    def test_neighbours_leave_the_point_out_and_point_one_way(self):
        assert neighbours_of(self.x).sort(2).values[0].tolist() == [[1, 2], [0, 2], [1, 3], [1, 2], [2, 3]]

    def test_the_bandwidth_sums_squared_distances_to_neighbours_over_five_n(self):
        squares = [1 + 9, 1 + 4, 4 + 0.25, 0.25 + 6.25, 49 + 42.25]
        assert squared_bandwidth(self.x, neighbours_of(self.x)).item() == pytest.approx(sum(squares) / 25)


class TestPrototypes:
    def test_k_means_is_lloyd_s_with_the_support_fixed(self):
        """Where the support's labels are those that free K-means finds, scikit-learn ends at the same centres."""
        x, support, _ = random_tasks(tasks=20, shots=2)
        compared = 0
        for task in range(20):
            points, start = x[task], x[task, :6].view(3, 2, 4).mean(1)
            free = KMeans(3, init=start.numpy(), n_init=1, algorithm="lloyd", tol=0).fit(points.numpy())
            if (free.labels_[:6] == support[task].numpy()).all():
                ours = last(x[task : task + 1], support[task : task + 1])
                np.testing.assert_array_equal(ours.labels[0], free.labels_)
                np.testing.assert_allclose(ours.m[0], free.cluster_centers_, atol=1e-9)
                compared += 1
        assert compared >= 5

    def test_a_wide_kernel_makes_modes_means(self):
        x, _, truth = random_tasks()
        start = x[:, :3].clone()
        wide = mean_shift(x, truth, start, torch.full((6, 1, 1), 1e9, dtype=torch.float64))
        means = torch.stack([x[truth == k].view(6, -1, 4).mean(1) for k in range(3)], dim=1)
        torch.testing.assert_close(wide, means, rtol=1e-6, atol=1e-6)

    def test_a_narrow_kernel_leaves_a_prototype_at_the_nearest_of_its_points(self):
        x, _, truth = random_tasks()
        start = x[:, :3] + 0.01  # the support's points are the first
        narrow = mean_shift(x, truth, start, torch.full((6, 1, 1), 1e-6, dtype=torch.float64))
        torch.testing.assert_close(narrow, x[:, :3], rtol=0, atol=1e-9)

    def test_mean_shift_ends_at_a_peak_of_its_points_density(self):
        x, _, truth = random_tasks()
        sigma2 = squared_bandwidth(x, neighbours_of(x))
        m = mean_shift(x, truth, x[:, :3].clone(), sigma2, tolerance=1e-10)
        place = m.requires_grad_()
        density = (-dissimilarity(x, place, sigma2) * (one_hot(truth, 3).mT == 1)).sum()
        (slope,) = torch.autograd.grad(density, place)
        assert slope.abs().max() < 1e-6

    @pytest.mark.parametrize("options", OPTIONS)
    def test_a_rotation_of_all_features_changes_nothing(self, options):
        x, support, _ = random_tasks()
        turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
        plain, turned = last(x, support, **options), last(x @ turn, support, **options)
        assert torch.equal(plain.labels, turned.labels)
        precision = 1e-4 if "modes" in options else 1e-9  # mean shift stops by single coordinates
        torch.testing.assert_close(plain.m @ turn, turned.m, rtol=0, atol=precision)

    def test_without_queries_k_means_returns_the_support_s_means(self):
        x, support, _ = random_tasks(shots=4, queries=0)
        torch.testing.assert_close(last(x, support).m, x.view(6, 3, 4, 4).mean(2))

    @pytest.mark.parametrize("options", OPTIONS)
    def test_the_support_keeps_its_labels_where_it_is_clamped(self, options):
        x, support, _ = random_tasks(tasks=40, shots=3)
        states = list(cluster(x, support, 3, **options))
        assert all(torch.equal(state.labels[:, :9], support) for state in states)
        free = last(x, support, clamp=False, **options)
        assert not torch.equal(free.labels[:, :9], support)

    def test_a_class_is_never_left_without_points(self):
        """A strong graph would take all points from some classes where the support is free; the labels before that stand."""
        x, support, _ = random_tasks(tasks=60, queries=4)
        state = last(x, support, strength=5.0, clamp=False)
        assert one_hot(state.labels, 3).any(1).all()
        truth = one_hot(support, 3).mT.to(x)
        z = assign(dissimilarity(x, class_means(x, state.labels, 3)), neighbours_of(x), 5.0, truth, clamp=False)
        assert not one_hot(z.argmax(1), 3).any(1).all(), "one more iteration would have emptied a class"

    def test_the_graph_of_no_strength_is_no_graph(self):
        x, support, _ = random_tasks(tasks=30)
        for modes in (False, True):
            soft = [state.labels for state in cluster(x, support, 3, modes=modes, strength=0.0)]
            hard = [state.labels for state in cluster(x, support, 3, modes=modes)]
            for ours, theirs in zip(soft, hard, strict=False):
                assert (ours == theirs).double().mean() > 0.99  # equal until one of them stops


class TestArms:
    def test_the_shift_puts_the_queries_mean_onto_the_support_s(self):
        support, queries = torch.randn(2, 3, 4), torch.randn(2, 9, 4) + 5
        torch.testing.assert_close(shifted(queries, support).mean(1), support.mean(1))

    def test_shifted_queries_are_recognised_only_by_the_arms_that_shift(self):
        x, labels, truth = random_tasks(tasks=20, queries=20)
        support, queries = x[:, :3], x[:, 3:] + 3.0  # a shift of all queries
        accuracy = {
            arm: (recognise(arm, support, labels, queries, 3, 0.3) == truth[:, 3:]).double().mean().item()
            for arm in ("ncm", "ncm-shift", "laplacian-shot", "k-means", "k-modes", "slk-means", "slk-ms")
        }
        assert all(accuracy[arm] > accuracy["ncm"] + 0.05 for arm in accuracy if arm != "ncm")

    def test_laplacian_shot_without_a_graph_is_the_nearest_prototype(self):
        x, _, _ = random_tasks()
        expected = dissimilarity(x[:, 3:], x[:, :3]).argmin(1)
        assert torch.equal(laplacian_shot(x[:, 3:], x[:, :3], 0.0), expected)

    def test_k_means_repairs_a_poor_prototype(self):
        """Two clouds; one of the labelled points lies far off its own."""
        source = torch.Generator().manual_seed(0)
        clouds = torch.randn(2, 30, 2, generator=source, dtype=torch.float64) + torch.tensor([[[0.0, 0.0]], [[6.0, 0.0]]])
        support = torch.tensor([[[0.0, 0.0], [12.0, 0.0]]], dtype=torch.float64)
        queries = clouds.view(1, 60, 2)
        truth, labels = torch.arange(2).repeat_interleave(30), torch.tensor([[0, 1]])
        nearest = (recognise("ncm", support, labels, queries, 2)[0] == truth).double().mean()
        x = torch.cat([support, queries], dim=1)
        clustered = (last(x, labels, ways=2).labels[0, 2:] == truth).double().mean()
        assert nearest < 0.8
        assert clustered == 1.0


class TestRun:
    slug = "transductive-clustering"

    def test_features_of_a_snapshot_are_centred_by_base_classes_only(self):
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(12), 30)
        vectors = (rng.normal(size=(12, 8))[labels] + rng.normal(size=(360, 8)) + 4).astype(np.float32)
        given = Features(vectors, labels, tuple("abcdefghijkl"), "test")
        params = registry.load(self.slug).make_params("smoke", {"ways": 3})
        parts = features(params, Inputs((5,), features=given), Recorder(lambda batch: None, (5,)))
        chosen = {name: set(part_labels.tolist()) for name, (_, part_labels) in parts.items()}
        assert [len(chosen[name]) for name in ("validation", "novel")] == [3, 3]
        assert not chosen["validation"] & chosen["novel"]
        base = ~np.isin(labels, list(chosen["validation"] | chosen["novel"]))
        expected = vectors[np.isin(labels, list(chosen["novel"]))] - vectors[base].mean(0)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(parts["novel"][0], expected, atol=1e-5)

    def test_the_large_network_learns_base_classes_of_images_split_by_class(self, one_thread, monkeypatch):
        """CIFAR's path with small pictures in its place: 20 classes, of which 12 are base, 4 for validation and 4 novel."""
        labels = torch.arange(20).repeat_interleave(10)
        source = torch.Generator().manual_seed(0)
        pixels = torch.rand(20, 3, 8, 8, generator=source)[labels] + 0.3 * torch.rand(200, 3, 8, 8, generator=source)
        split = Split(Images(pixels, labels, tuple(map(str, range(20)))), Images(pixels[:0], labels[:0], ()))
        monkeypatch.setattr(transductive_clustering, "load", lambda name: split)
        given = {"data": "uoft-cs/cifar100", "network": "resnet-20", "steps": 3, "batch_size": 20, "learning_rate": 0.05, "ways": 4}
        params = registry.load(self.slug).make_params("smoke", given)
        batches: list[Batch] = []
        recorder = Recorder(batches.append, (0,))
        parts = features(params, Inputs((0,)), recorder)
        recorder.close()
        assert batches[-1].progress == (3, 4)
        for vectors, part_labels in parts.values():
            assert vectors.shape == (40, 256) and len(part_labels.unique()) == 4
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(40))
        assert not set(parts["validation"][1].tolist()) & set(parts["novel"][1].tolist())

    def test_a_run_on_given_features(self, one_thread):
        """The pixels of scikit-learn's digits, frozen: K-means gains ten points and more with one shot, fewer with five."""
        images = digits_images()
        given = Features(images.pixels.flatten(1).numpy(), images.labels.numpy(), images.classes, "digits")
        method = registry.load(self.slug)
        params = method.make_params("smoke", {"tasks": 60, "ways": 5, "queries": 15})
        results = {}
        recorded: dict = {}
        for arm in ("ncm", "k-means"):
            batches: list[Batch] = []
            recorder = Recorder(batches.append, (100,))
            method.run(arm, params, Inputs((100,), recorded=recorded, features=given), recorder)
            recorder.close()
            results[arm] = {result.metric: result.value for batch in batches for result in batch.results}
            recorded = {"ncm": [array for batch in batches for array in batch.arrays]}
        gain = {shots: results["k-means"][shots] - results["ncm"][shots] for shots in ("one_shot", "five_shot")}
        assert gain["one_shot"] > 8
        assert 0 < gain["five_shot"] < gain["one_shot"] - 3

    def test_uneven_tasks_and_large_ones_are_left_out_where_classes_are_small(self, one_thread):
        rng = np.random.default_rng(2)
        labels = np.repeat(np.arange(10), 25)  # 5 + 15 fit; 5 x 15 of one class and 50 queries do not
        given = Features(rng.normal(size=(250, 6)).astype(np.float32), labels, tuple("abcdefghij"), "test")
        method = registry.load(self.slug)
        params = method.make_params("smoke", {"ways": 5, "queries": 15, "sweep": (1, 5, 50)})
        batches: list[Batch] = []
        recorder = Recorder(batches.append, (0,))
        method.run("ncm", params, Inputs((0,), features=given), recorder)
        recorder.flush()
        arrays = [array for batch in batches for array in batch.arrays]
        method.run("k-means", params, Inputs((0,), recorded={"ncm": arrays}, features=given), recorder)
        recorder.close()
        rows = [row | {"table": table.name} for batch in batches for table in batch.tables for row in table.rows.to_pylist()]
        assert {row["setting"] for row in rows if row["table"] == "accuracy"} == {"1-shot", "5-shot"}
        assert {row["queries"] for row in rows if row["table"] == "sweep"} == {1, 5}

    def test_arms_share_their_tasks_and_lambda_is_chosen_without_novel_classes(self, smoke):
        recording = smoke(self.slug)
        arrays = recording.store.arrays(recording.run, "embedding", arm="ncm")
        labels = {row.name: set(row.array.tolist()) for row in arrays.itertuples() if row.part == "labels" and row.seed == 0}
        assert set(labels) == {"validation", "novel"}
        assert len(labels["novel"]) == 5 and len(labels["validation"]) == 20
        task = recording.store.table(recording.run, "task")
        points = {
            arm: rows[(rows["iteration"] == 0) & (rows["what"] == "labelled")][["x", "y"]].to_numpy()
            for arm, rows in task[task["seed"] == 0].groupby("arm")
        }
        assert len(points) == 4
        for other in points.values():
            np.testing.assert_allclose(other, points["k-means"])

    def test_the_drawn_energy_goes_down_to_its_end(self, smoke):
        descent = smoke(self.slug).results().table("descent")
        lines = descent.pivot_table(index=["arm", "seed", "iteration"], columns="update", values="energy")
        assert len(lines) == 2 * 2 * 3
        assert (lines.iloc[:, 1] < lines.iloc[:, 0]).all()
        assert (lines.iloc[:, -1].abs() < 0.01 * lines.iloc[:, 0]).all()


class TestClaims:
    def verdict(self, claim: str, **columns: list[float]):
        import pandas as pd

        from core.methods.base import Results

        rows = [
            {"arm": arm, "seed": seed} | {name: values[i][seed] for name, values in columns.items()}
            for i, arm in enumerate(("ncm", "k-means", "slk-means", "slk-ms"))
            for seed in range(3)
        ]
        (found,) = (c for c in registry.load("transductive-clustering").claims if c.id == claim)
        results = Results(pd.DataFrame(rows), {})
        return found.precondition(results) if found.precondition else "", found.decide(results)

    nothing = (math.nan,) * 3

    def test_the_gain_with_one_shot_is_compared_with_that_of_five(self):
        one = [(60, 61, 62), (68, 69, 70), self.nothing, self.nothing]
        five = [(80, 80, 80), (83, 82, 81), self.nothing, self.nothing]
        obstacle, verdict = self.verdict("c2", one_shot=one, five_shot=five)
        assert obstacle == ""
        assert (verdict.outcome, verdict.effect) == ("holds", pytest.approx(6.0))

    def test_the_graph_is_compared_with_no_graph_over_both_versions(self):
        one = [self.nothing, self.nothing, (70, 71, 72), (70, 71, 72)]
        without = [self.nothing, self.nothing, (69, 70, 71), (70, 71, 72)]
        _, verdict = self.verdict("c4", one_shot=one, one_shot_no_graph=without)
        assert (verdict.outcome, verdict.effect) == ("holds", pytest.approx(0.5))

    def test_where_nearest_prototypes_are_nearly_perfect_there_is_nothing_to_gain(self):
        one = [(98, 98, 98), (99, 99, 99), self.nothing, self.nothing]
        obstacle, _ = self.verdict("c1", one_shot=one)
        assert "98.0%" in obstacle
