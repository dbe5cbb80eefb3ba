"""The sheet's facts about the loss, and what the generator and the measures must be."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from core.data.vessels import vessel_volume
from core.measures.segmentation import centre_line_dice, components, dice, recall
from core.methods.applications.vessel_mip import (
    AXES,
    Params,
    Patch,
    check,
    decide_axes,
    decide_continuity,
    decide_thin,
    focal_tversky,
    objective,
    patches,
    project,
    projection_terms,
    targets_of,
)
from core.methods.base import ParameterError, Results
from core.training import generator
from models.unet import UNet

ALL = (0, 1, 2, 3, 4)


def cube(dtype=torch.float64):
    """2 x 2 x 2: the label has the voxels (0, 0, 0) and (0, 0, 1)."""
    label = torch.zeros(1, 1, 2, 2, 2, dtype=dtype)
    label[..., 0, 0, :] = 1
    p = torch.full_like(label, 0.1)
    p[..., 0, 0, 0], p[..., 0, 0, 1] = 0.8, 0.4
    return p, label


def projections(label):
    return {axis: project(label, axis) for axis in AXES}


def test_terms_by_hand():
    p, label = cube()
    voxel = focal_tversky(p, label, ALL)
    terms = projection_terms(p, projections(label))
    assert voxel.item() == pytest.approx(0.35535570487319507, abs=1e-14)
    assert [terms[axis].item() for axis in AXES] == pytest.approx([0.32107532873706157] * 2 + [0.19528723146222554], abs=1e-14)
    assert (0.7 * voxel + 0.3 * terms[4]).item() == pytest.approx(0.3073351628499042, abs=1e-14)
    assert (0.7 * voxel + 0.3 * sum(terms.values())).item() == pytest.approx(0.49998036009214114, abs=1e-14)


def test_extremes():
    _, label = cube()
    zeros, ones = torch.zeros_like(label), torch.ones_like(label)
    assert focal_tversky(zeros, label, ALL).item() == pytest.approx(0.6674789828639933, abs=1e-14)
    assert focal_tversky(ones, label, ALL).item() == pytest.approx(0.47920732818470446, abs=1e-14)
    assert focal_tversky(zeros, zeros, ALL).item() == 0
    assert focal_tversky(label, label, ALL).item() == 0
    assert all(term.item() == 0 for term in projection_terms(label, projections(label)).values())


def test_a_perfect_patch_has_a_finite_gradient():
    _, label = cube()
    for target in (label, torch.zeros_like(label)):
        p = target.clone().requires_grad_()
        focal_tversky(p, target, ALL).backward()
        assert torch.isfinite(p.grad).all()


def test_half_and_half_without_focus_is_dice_loss():
    p, label = cube()
    plain = focal_tversky(p, label, ALL, alpha=0.5, gamma=1.0)
    assert plain.item() == pytest.approx(1 - (2 * (p * label).sum() + 2).item() / (p.sum() + label.sum() + 2).item())
    assert plain.item() == pytest.approx(0.24137931034482762, abs=1e-14)


def test_projections_are_binary_and_do_not_mind_the_order_of_slices():
    label = (torch.rand(2, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0)) > 0.8).double()
    for axis, shape in zip(AXES, ((6, 7), (5, 7), (5, 6)), strict=True):
        projected = project(label, axis)
        assert projected.shape == (2, 1, *shape)
        assert set(projected.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(project(label.flip(axis), axis), projected)


def test_a_voxel_with_another_on_its_ray_can_go_without_changing_the_projection():
    label = torch.zeros(1, 1, 4, 4, 4)
    label[0, 0, 1, 2, 3] = label[0, 0, 3, 2, 3] = 1
    without = label.clone()
    without[0, 0, 1, 2, 3] = 0
    assert torch.equal(project(without, AXES[0]), project(label, AXES[0]))
    assert not torch.equal(project(without, AXES[1]), project(label, AXES[1]))


def test_a_projection_pulls_at_one_voxel_of_each_ray():
    p = torch.rand(1, 1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    label = torch.zeros_like(p)
    label[..., 1, 1, :] = 1
    projection_terms(p, {AXES[2]: project(label, AXES[2])})[AXES[2]].backward()
    assert ((p.grad != 0).sum(AXES[2]) <= 1).all()


def test_patches_cut_image_label_and_volume_projection_at_one_place():
    volumes = [vessel_volume(seed, side=24) for seed in (0, 1)]
    patch = next(patches(volumes, 12, 3, generator("patches", 0), "cpu"))
    assert patch.image.shape == patch.label.shape == (3, 1, 12, 12, 12)
    assert patch.image.amax((1, 2, 3, 4)).tolist() == [1.0] * 3
    for axis in AXES:
        own = project(patch.label, axis)
        assert patch.of_volume[axis].shape == own.shape
        assert (patch.of_volume[axis] >= own).all()  # the volume's projection holds the patch's
    whole = next(patches(volumes, 24, 1, generator("patches", 0), "cpu"))
    assert all(torch.equal(whole.of_volume[axis], project(whole.label, axis)) for axis in AXES)


def test_arms_differ_in_their_targets():
    label = torch.zeros(1, 1, 4, 4, 4)
    patch = Patch(label, label, {axis: torch.ones(1, 1, 4, 4) for axis in AXES})
    assert targets_of("voxel", patch) == {}
    assert list(targets_of("mip", patch)) == [AXES[0]]
    assert list(targets_of("mmip", patch)) == list(targets_of("mmip-third", patch)) == list(AXES)
    assert targets_of("mmip-volume", patch)[AXES[1]].min() == 1


def test_the_generator_is_fixed_and_has_thin_vessels():
    volume = vessel_volume(0)
    vessel_volume.cache_clear()
    again = vessel_volume(0)
    assert np.array_equal(volume.image, again.image)
    assert volume.image.max() == 1
    assert volume.image.min() >= 0
    shares = [vessel_volume(seed).label.mean() for seed in range(6)]
    thin = [vessel_volume(seed).thin.sum() / vessel_volume(seed).label.sum() for seed in range(6)]
    assert 0.02 < np.mean(shares) < 0.08
    assert 0.1 < np.mean(thin) < 0.6
    assert not (volume.thin & ~volume.label).any()
    inside, outside = volume.image[volume.label].mean(), volume.image[~volume.label].mean()
    assert inside > 1.5 * outside


def test_measures_of_a_cut_vessel():
    line = np.zeros((9, 9, 20), bool)
    line[4, 4, 2:18] = True
    cut = line.copy()
    cut[4, 4, 9:11] = False
    assert (components(line), components(cut)) == (1, 2)
    assert dice(line, line) == centre_line_dice(line, line) == 1
    assert dice(cut, line) == pytest.approx(2 * 14 / 30)
    assert recall(cut, line) == 14 / 16
    assert centre_line_dice(cut, line) == pytest.approx(2 * 1 * 14 / 16 / (1 + 14 / 16))
    assert centre_line_dice(np.zeros_like(line), line) == 0


def test_the_network_keeps_the_size_and_its_start_is_fixed():
    def model(seed):
        return UNet((2, 4, 8), generator=torch.Generator().manual_seed(seed)).eval()

    x = torch.randn(2, 1, 8, 12, 16)
    assert model(0)(x).shape == x.shape
    assert torch.equal(model(0)(x), model(0)(x))
    assert not torch.equal(model(0)(x), model(1)(x))
    assert UNet((2, 4), dimensions=2, inputs=3, outputs=5, normalisation="batch")(torch.randn(2, 3, 8, 8)).shape == (2, 5, 8, 8)


# --- the objective of each arm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arm", "total"),
    [
        ("mmip", 0.49998036009214114),
        ("mmip-third", 0.7 * 0.35535570487319507 + 0.1 * (2 * 0.32107532873706157 + 0.19528723146222554)),
    ],
)
def test_three_projections_are_summed_or_averaged(arm, total):
    p, label = cube()
    voxel, terms = objective(arm, p, Patch(label, label, {}), Params())
    assert (voxel + sum(terms.values())).item() == pytest.approx(total, abs=1e-14)


def test_one_projection_is_along_z_and_voxels_alone_have_none():
    p, label = cube()
    voxel, terms = objective("mip", p, Patch(label, label, {}), Params())
    assert (voxel + terms[AXES[0]]).item() == pytest.approx(0.7 * 0.35535570487319507 + 0.3 * 0.32107532873706157, abs=1e-14)
    assert objective("voxel", p, Patch(label, label, {}), Params())[1] == {}


def test_voxels_are_counted_over_the_batch_and_projections_patch_by_patch():
    p, label = cube()
    batch, labels = torch.cat([p, torch.zeros_like(p)]), torch.cat([label, label])
    voxel, terms = objective("mip", batch, Patch(labels, labels, {}), Params())
    tp, fn, fp = 1.2, 0.8 + 2, 0.6
    assert voxel.item() == pytest.approx(0.7 * (1 - (tp + 1) / (tp + 0.7 * fn + 0.3 * fp + 1)) ** 0.75)
    alone = [objective("mip", one, Patch(label, label, {}), Params())[1][AXES[0]].item() for one in (p, torch.zeros_like(p))]
    assert terms[AXES[0]].item() == pytest.approx(sum(alone) / 2)


def test_a_tie_shares_the_gradient_of_its_ray():
    p = torch.tensor([[0.5, 0.5], [0.2, 0.3]], dtype=torch.float64).reshape(1, 1, 1, 2, 2).requires_grad_()
    project(p, AXES[2]).sum().backward()
    assert p.grad.flatten().tolist() == [0.5, 0.5, 0.0, 1.0]


@pytest.mark.parametrize(("values", "said"), [({"patch": 64}, "larger than side"), ({"patch": 22}, "multiple of 4")])
def test_patches_that_do_not_fit_are_refused(values, said):
    with pytest.raises(ParameterError, match=said):
        check(Params(**values))
    check(Params())


# --- claims on made-up results ----------------------------------------------------------------------------------------


def results(**metrics) -> Results:
    """Each metric as {arm: values by seed}."""
    rows: dict = {}
    for metric, arms in metrics.items():
        for arm, values in arms.items():
            for seed, value in enumerate(values):
                rows.setdefault((arm, seed), {"arm": arm, "seed": seed})[metric] = value
    return Results(pd.DataFrame(list(rows.values())), {})


RISE = {"voxel": [0.60, 0.61, 0.62], "mmip": [0.70, 0.71, 0.72]}


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [([10, 10, 10], "holds"), ([90, 95, 100], "does not hold"), ([0, 0, 0], "holds"), ([10, 90, 20], "undecided")],
)
def test_continuity_needs_both_the_centre_lines_and_the_pieces(pieces, outcome):
    found = decide_continuity(results(cl_dice=RISE, component_error={"voxel": [100, 100, 100], "mmip": pieces}))
    assert found.outcome == outcome


def test_where_no_piece_is_wrong_there_is_nothing_to_improve():
    found = decide_continuity(results(cl_dice=RISE, component_error={"voxel": [0, 0, 0], "mmip": [0, 0, 0]}))
    assert found.outcome == "does not hold"


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        ([0.65] * 3, "holds"),
        ([0.5] * 3, "does not hold"),
        ([0.8] * 3, "does not hold"),
        ([0.55, 0.65, 0.58], "undecided"),  # below none on average, but not clearly
    ],
)
def test_more_projections_are_better_only_in_order(one, outcome):
    assert decide_axes(results(dice=RISE | {"mip": one})).outcome == outcome


def test_thin_vessels_count_where_there_are_any():
    ratio = {"volume_ratio": {"voxel": [1.4] * 3, "mmip": [1.1] * 3}}
    lost = {"voxel": [0.9, 0.8, math.nan], "mmip": [0.7, 0.6, math.nan]}
    kept = {"voxel": [0.9, 0.8, 0.7], "mmip": [0.9, 0.81, 0.71]}
    found = decide_thin(results(thin_recall=lost, **ratio))
    assert (found.outcome, found.n) == ("does not hold", 2)
    assert decide_thin(results(thin_recall=kept, **ratio)).outcome == "holds"
