r"""A vessel of one or two voxels is easily cut by a loss that counts voxels: a single missing voxel costs almost nothing, but
breaks the vessel. Radiologists look at maximum intensity projections (MIP), where a vessel is a line and a gap is obvious. So the
projection of the prediction along one axis, or all three, must match that of the label too: a missed voxel that is alone on its
ray now costs as much as a pixel of a small picture, and a false one counts as soon as it is the highest on its ray.

Both terms are focal Tversky losses of probabilities $p$ against labels $y$, with $\alpha=0.7$ (misses weigh more),
$\gamma=0.75$ and $s=1$,
$$\mathrm{FT}(p,y)=|1-T|^{\gamma},\qquad T=\frac{\mathrm{TP}+s}{\mathrm{TP}+\alpha\,\mathrm{FN}+(1-\alpha)\,\mathrm{FP}+s},$$
$$\mathcal L=0.7\,\mathrm{FT}(p,y)+0.3\,\frac1B\sum_b\sum_{k\in\mathcal K}\mathrm{FT}\big(\max_{\text{axis }k}p_b,\;M_{k,b}\big),$$
where $\mathcal K$ holds one axis or all three.

The voxel term looks at the whole batch at once, the projection terms at each patch. With three axes the terms are summed, so that
their weight triples; the arm `mmip-third` averages them instead. The target $M_k$ is the projection of the patch's own label. The
released loader crops it from the projection of the whole volume, so that it holds vessels before and behind the patch: that is
the arm `mmip-volume`.

Trained on patches of generated vessel trees by a small 3D U-Net, tested on whole volumes at the threshold 0.5, and not on the
paper's scans of heads at 7 tesla. Networks are small and training is short, so that the figures are not the paper's.

Reference: Chethan Radhakrishna, Karthikesh Varma Chintalapati, Sri Chandana Hudukula Ram Kumar, Raviteja Sutrave, Hendrik Mattern,
Oliver Speck, Andreas Nürnberger, Soumick Chatterjee, *SPOCKMIP: Segmentation of Vessels in MRAs with Enhanced Continuity using
Maximum Intensity Projection as Loss*, 2024.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from core.data.vessels import Volume, vessel_volume
from core.measures.segmentation import centre_line_dice, components, dice, recall
from core.methods.base import (
    Arm,
    Claim,
    Heatmap,
    Images,
    Inputs,
    Lines,
    Outcome,
    Paired,
    Paper,
    ParameterError,
    Points,
    Preset,
    Results,
    Verdict,
    decide_by_interval,
    decide_within,
    param,
    weakest,
)
from core.recorder import Recorder
from core.training import adam, evaluating, generator, train
from models.unet import UNet

AXES = (2, 3, 4)  # z, y, x of (batch, 1, z, y, x)


def focal_tversky(
    p: Tensor, y: Tensor, dims: tuple[int, ...], alpha: float = 0.7, gamma: float = 0.75, smooth: float = 1.0
) -> Tensor:
    """FT over the axes `dims`; what is left is the result's shape. Exactly 0, with no gradient, where p is y."""
    tp, fn, fp = (part.sum(dims) for part in (p * y, (1 - p) * y, p * (1 - y)))
    gap = (1 - (tp + smooth) / (tp + alpha * fn + (1 - alpha) * fp + smooth)).abs()
    return torch.where(gap > 1e-8, gap.clamp_min(1e-8) ** gamma, torch.zeros_like(gap))  # the power's slope at 0 is infinite


def project(volume: Tensor, axis: int) -> Tensor:
    """Maximum intensity projection of (b, 1, z, y, x) along an axis, (b, 1, ., .)."""
    return volume.amax(axis)


def projection_terms(p: Tensor, targets: dict[int, Tensor], alpha: float = 0.7, gamma: float = 0.75) -> dict[int, Tensor]:
    """For every axis with a target (b, 1, ., .): FT of each patch's projection, averaged over patches."""
    return {axis: focal_tversky(project(p, axis), target, (1, 2, 3), alpha, gamma).mean() for axis, target in targets.items()}


# --- declaration ------------------------------------------------------------------------------------------------------

PAPER = Paper(
    slug="vessel-mip",
    title="SPOCKMIP: Segmentation of Vessels in MRAs with Enhanced Continuity using Maximum Intensity Projection as Loss",
    authors="Chethan Radhakrishna et al.",
    year=2024,
    venue="arXiv",
    family="applications",
    arxiv="2407.08655",
    idea="Vessels stay whole when the projection of the prediction, where a gap is obvious, must match as well.",
    equation=r"\mathcal L=0.7\,\mathrm{FT}(p,y)+0.3\sum_k\mathrm{FT}\big(\max_{\text{axis }k}p,\;\max_{\text{axis }k}y\big)",
    code="https://github.com/soumickmj/SPOCKMIP",
)


@dataclass(frozen=True)
class Params:
    """What can be set."""

    side: int = param(48, "Voxels along each side of a volume.", low=16, high=256)
    radius: float = param(2.2, "Of the vessels that enter, in voxels.", low=0.6, high=10)
    volumes: int = param(4, "To train on.", low=1, high=50)
    test_volumes: int = param(3, "To test on.", low=1, high=16)
    patch: int = param(24, "Voxels along each side of a patch.", low=8, high=128)
    batch: int = param(2, "Patches in a step.", low=1, high=64)
    channels: tuple[int, ...] = param((6, 12, 24), "Of the U-Net's levels.", low=1, high=1024)
    normalisation: str = param(
        "instance", "In the U-Net; batches of two give poor batch statistics.", choices=("instance", "batch")
    )
    rate: float = param(3e-3, "Adam's learning rate, the same for all arms.", low=1e-6, high=1)
    steps: int = param(500, "Of training.", low=1, high=100_000)
    alpha: float = param(0.7, "Weight of misses; false alarms have the rest.", low=0, high=1)
    gamma: float = param(0.75, "Focus of the Tversky loss.", low=0.1, high=5)
    weight: float = param(0.3, "Of the projection terms; the voxel term has the rest.", low=0, high=1)


ARMS = (
    Arm("voxel", "Voxels alone", "Focal Tversky loss of the voxels."),
    Arm("mip", "One projection", "And of the projection along z.", role="method"),
    Arm("mmip", "Three projections", "And of the projections along all axes, summed.", role="method"),
    Arm("mmip-third", "Three projections, averaged", "The same weight as one projection: more axes without more weight."),
    Arm("mmip-volume", "Three projections of the volume", "Targets cut from the projection of the whole volume, as released."),
)
LARGE = {
    "side": 128,
    "radius": 3.5,
    "volumes": 14,
    "test_volumes": 4,
    "patch": 64,
    "batch": 15,
    "channels": (64, 128, 256, 512, 1024),
    "normalisation": "batch",
    "rate": 1e-4,
    "steps": 20 * 2000 // 15,
}
PRESETS = {
    "smoke": Preset(2, (0, 1), {"side": 24, "volumes": 1, "test_volumes": 1, "patch": 16, "channels": (2, 4), "steps": 30}),
    "quick": Preset(58, (0, 1, 2), {"steps": 50, "test_volumes": 2}, ("voxel", "mip", "mmip")),
    "standard": Preset(550, (0, 1, 2, 3), {"steps": 300}),
    "paper": Preset(7200, (0, 1, 2), LARGE, needs="cuda"),  # an estimate
}


def decide_continuity(results: Results) -> Verdict:
    """clDice of three projections is 0.02 or more above voxels alone, and the error in the number of pieces a fifth lower."""
    whole = Paired("cl_dice", "mmip", "voxel", 0.02, unit="of clDice")(results)
    ours, theirs = results.by_seed("mmip", "component_error"), results.by_seed("voxel", "component_error")
    seeds = ours.index.intersection(theirs.index)
    if not len(seeds):
        return Verdict("undecided", detail="It needs the arms voxel and mmip.")
    wrong = theirs[seeds] > 0
    fewer = decide_by_interval(list(100 * (1 - ours[seeds] / theirs[seeds].where(wrong, math.inf)).where(wrong, 0.0)), 20.0)
    detail = (
        f"{whole.detail} The number of pieces is off by {ours[seeds].mean():.0f} instead of {theirs[seeds].mean():.0f}, "
        f"{fewer.effect:.0f}% less by the mean over seeds ({fewer.low:.0f} to {fewer.high:.0f})."
    )
    return replace(whole, outcome=weakest(whole.outcome, fewer.outcome), detail=detail)


def decide_axes(results: Results) -> Verdict:
    """In Dice: three projections at least as good as one, one as voxels alone, and three better than none by 0.01 or more.

    A wrong order of the means leaves it undecided, a difference that is clearly below 0 refutes it.
    """
    gain = Paired("dice", "mmip", "voxel", 0.01, unit="of Dice")(results)
    none, one, three = (results.by_seed(arm, "dice") for arm in ("voxel", "mip", "mmip"))
    seeds = none.index.intersection(one.index).intersection(three.index)
    if not len(seeds):
        return Verdict("undecided", detail="It needs the arms voxel, mip and mmip.")
    steps = [decide_by_interval(list(more[seeds] - fewer[seeds]), 0.0) for more, fewer in ((three, one), (one, none))]
    order: Outcome = "does not hold" if any(step.outcome == "does not hold" for step in steps) else "holds"
    if order == "holds" and any(step.effect < 0 for step in steps):
        order = "undecided"
    means = ", ".join(f"{name} {arm[seeds].mean():.3f}" for name, arm in (("voxels", none), ("one", one), ("three", three)))
    return replace(gain, outcome=weakest(gain.outcome, order), detail=f"Means over seeds: {means}.")


def decide_thin(results: Results) -> Verdict:
    """Recall of thin vessels falls by no more than 0.02."""
    change = (results.by_seed("mmip", "thin_recall") - results.by_seed("voxel", "thin_recall")).dropna()
    if change.empty:
        return Verdict("undecided", detail="It needs the arms voxel and mmip.")
    detail = (
        f"Predicted over true volume: three projections {results.by_seed('mmip', 'volume_ratio').mean():.2f}, voxels "
        f"{results.by_seed('voxel', 'volume_ratio').mean():.2f}."
    )
    return decide_within(change.tolist(), low=-0.02, unit="of recall", detail=detail)


CLAIMS = (
    Claim(
        "c1",
        "Vessels are more continuous: with three projections clDice is 0.02 or more higher than with voxels alone, and the number "
        "of pieces is off by a fifth less.",
        decide_continuity,
        "Visual comparison of regions of interest (Figs. 4 to 6).",
    ),
    Claim(
        "c2",
        "More projections are better: Dice orders none, one, three, and three are 0.01 or more above none.",
        decide_axes,
        "Median Dice 80.245 with three, 79.749 with one (abstract).",
    ),
    Claim(
        "c3",
        "The gain is not bought by shrinking the mask: recall of thin vessels falls by no more than 0.02.",
        decide_thin,
        "Not reported; needed for c1 to mean what it says.",
    ),
    Claim(
        "c4",
        "The target must be the patch's own projection: cutting it from the volume's projection costs 0.05 of Dice or more.",
        Paired("dice", "mmip", "mmip-volume", 0.05, unit="of Dice"),
        "Not reported; the released loader uses the volume's projection.",
    ),
)

VIEWS = (
    Images(
        title="Gaps close",
        caption="Projections of one test volume along z: the image, the label, and the prediction with hits in grey, misses in red "
        "and false alarms in blue.",
        images="projection",
    ),
    Lines(
        title="Continuity over training",
        caption="clDice of one test volume.",
        y="cl_dice",
        y_title="clDice",
        x_title="step",
    ),
    Lines(
        title="Overlap over training",
        caption="Dice of the same volume.",
        y="dice",
        y_title="Dice",
        x_title="step",
    ),
    Lines(
        title="Pieces at every threshold",
        caption="Connected pieces of the prediction for each true one: 1 is right, more is broken or speckled.",
        table="thresholds",
        x="threshold",
        y="piece_ratio",
        log_y=True,
        x_title="threshold",
        y_title="pieces for each true one (log)",
    ),
    Points(
        title="Centre lines and their pieces",
        caption="The predicted centre line of each seed's first test volume, seen along z. Many colours are many pieces.",
        table="centre line",
        x="x",
        y="y",
        colour="piece",
        facet="arm",
        frame="seed",
    ),
    Heatmap(
        title="Where each loss pulls",
        caption="Size of the gradient in one slice of a patch of seed 0: the voxel term on the left, the projections on the right.",
        matrix="gradients",
        facet="arm",
        value_title="share of the largest",
        where={"arm": ("mip", "mmip"), "seed": 0},
    ),
)

# --- one arm, one seed ------------------------------------------------------------------------------------------------


class Patch(NamedTuple):
    """Images (b, 1, P, P, P), labels, and for every axis the projection of the whole volume's label cut to the patch."""

    image: Tensor
    label: Tensor
    of_volume: dict[int, Tensor]


def patches(volumes: Sequence[Volume], size: int, batch: int, source: torch.Generator, device: str) -> Iterator[Patch]:
    """Random patches, each divided by its own maximum; the same for every arm of a seed."""
    images, labels = (torch.from_numpy(np.stack([getattr(v, part) for v in volumes])).float() for part in ("image", "label"))
    projections = {axis: labels.amax(axis - 1) for axis in AXES}  # (volumes, N, N), of the whole volumes
    high = images.shape[1] - size + 1
    while True:
        corners = torch.randint(high, (batch, 3), generator=source).tolist()
        chosen = torch.randint(len(volumes), (batch,), generator=source).tolist()
        cut = [(v, *(slice(c, c + size) for c in corner)) for v, corner in zip(chosen, corners, strict=True)]
        image = torch.stack([images[window] for window in cut])[:, None]
        of_volume = {}
        for axis, whole in projections.items():
            seen = [whole[v][tuple(w for a, w in zip(AXES, window, strict=True) if a != axis)] for v, *window in cut]
            of_volume[axis] = torch.stack(seen)[:, None].to(device)
        largest = image.amax((1, 2, 3, 4), keepdim=True)
        yield Patch((image / largest).to(device), torch.stack([labels[window] for window in cut])[:, None].to(device), of_volume)


def targets_of(arm: str, patch: Patch) -> dict[int, Tensor]:
    """What the projections of the prediction are compared with, by axis."""
    match arm:
        case "voxel":
            return {}
        case "mip":
            return {AXES[0]: project(patch.label, AXES[0])}
        case "mmip-volume":
            return patch.of_volume
    return {axis: project(patch.label, axis) for axis in AXES}


def objective(arm: str, p: Tensor, patch: Patch, params: Params) -> tuple[Tensor, dict[int, Tensor]]:
    """The loss of probabilities p: the voxel term and the projection terms by axis, each with its weight."""
    voxel = focal_tversky(p, patch.label, (0, 1, 2, 3, 4), params.alpha, params.gamma)
    terms = projection_terms(p, targets_of(arm, patch), params.alpha, params.gamma)
    each = params.weight / len(AXES) if arm == "mmip-third" else params.weight
    return (1 - params.weight) * voxel, {axis: each * term for axis, term in terms.items()}


def check(params: Params) -> None:
    """Raises: ParameterError where patches do not fit."""
    if params.patch > params.side:
        raise ParameterError(f"patch is {params.patch}; it must not be larger than side, which is {params.side}.")
    halvings = 2 ** (len(params.channels) - 1)
    if params.patch % halvings or params.patch < 2 * halvings:
        raise ParameterError(
            f"patch is {params.patch}; with {len(params.channels)} levels of channels it must be a multiple of {halvings}, and "
            f"{2 * halvings} or more."
        )


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Trains the network of one arm on the seed's volumes and tests it on others."""
    check(params)
    first = 100 * inputs.seed
    volumes = [vessel_volume(first + i, params.side, params.radius) for i in range(params.volumes)]
    tests = [vessel_volume(first + 50 + i, params.side, params.radius) for i in range(params.test_volumes)]
    source = generator("initial weights", inputs.seed)
    normalisation = cast(Literal["instance", "batch"], params.normalisation)
    model = UNet(params.channels, normalisation=normalisation, generator=source).to(inputs.device)
    batches = patches(volumes, params.patch, params.batch, generator("patches", inputs.seed), inputs.device)

    def loss(step: int) -> Tensor:
        patch = next(batches)
        with torch.autocast("cuda", torch.bfloat16, enabled=inputs.device.startswith("cuda")):
            logits = model(patch.image)
        p = logits.float().sigmoid()
        voxel, terms = objective(arm, p, patch, params)
        projected = sum(terms.values(), torch.zeros((), device=p.device))
        named: dict[str, Any] = {f"projection_{'zyx'[axis - 2]}": term for axis, term in terms.items()}
        if terms and step % 10 == 0:
            pulls = [torch.autograd.grad(part, p, retain_graph=True)[0] for part in (voxel, projected)]
            named["projection_share"] = pulls[1].norm() / (pulls[0].norm() + pulls[1].norm())
            if step >= params.steps - 10:
                record_pulls(record, step, pulls, patch.label)
        record.scalars(step, voxel_term=voxel, **named)
        return voxel + projected

    def evaluate(step: int, _: float) -> None:
        if step:
            predicted = probabilities(model, tests[0], inputs.device) > 0.5
            record.scalars(
                step,
                dice=dice(predicted, tests[0].label),
                cl_dice=centre_line_dice(predicted, tests[0].label),
                pieces=components(predicted),
            )

    train(
        loss, adam(model.parameters(), params.rate), params.steps, clip=1.0, evaluate=evaluate, every=50,
        after_step=lambda step: record.progress(step, params.steps),
    )  # fmt: skip
    conclude(model, tests, inputs.device, record, params.steps)


def probabilities(model: UNet, volume: Volume, device: str) -> np.ndarray:
    """Of a whole volume at once, padded to what the network can halve; (N, N, N)."""
    image = torch.from_numpy(volume.image)[None, None].to(device)
    multiple = 2 ** (len(model.down) - 1)
    pad = -image.shape[-1] % multiple
    with evaluating(model):
        logits = model(torch.nn.functional.pad(image, (0, pad) * 3))
    n = volume.image.shape[0]
    return logits[0, 0, :n, :n, :n].float().sigmoid().cpu().numpy()


def conclude(model: UNet, tests: Sequence[Volume], device: str, record: Recorder, steps: int) -> None:
    """Measures on all test volumes, averaged, and pictures of the first."""
    found = [probabilities(model, volume, device) for volume in tests]
    rows = [measures(p > 0.5, volume) for p, volume in zip(found, tests, strict=True)]
    thin = [recall(p > 0.5, volume.thin) for p, volume in zip(found, tests, strict=True) if volume.thin.any()]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    record.result(**means, thin_recall=float(np.mean(thin)) if thin else math.nan)
    for threshold in np.arange(0.1, 0.95, 0.1):
        ratios = [components(p > threshold) / components(volume.label) for p, volume in zip(found, tests, strict=True)]
        record.table("thresholds", {"threshold": round(float(threshold), 1), "piece_ratio": float(np.mean(ratios))})
    predicted, volume = found[0] > 0.5, tests[0]
    record.images(steps, "projection", pictures(predicted, volume))
    record.table("centre line", list(centre_line(predicted)))


def measures(predicted: np.ndarray, volume: Volume) -> dict[str, float]:
    """Of one test volume."""
    truth = volume.label
    return {
        "dice": dice(predicted, truth),
        "cl_dice": centre_line_dice(predicted, truth),
        "component_error": abs(components(predicted) - components(truth)),
        "projected_dice": float(np.mean([dice(predicted.max(axis), truth.max(axis)) for axis in range(3)])),
        "volume_ratio": float(predicted.sum() / truth.sum()),
    }


def pictures(predicted: np.ndarray, volume: Volume) -> np.ndarray:
    """Image, label, and prediction in colours, projected along z: (3, N, N, 3)."""
    hits, truth = predicted.max(0), volume.label.max(0)
    grey, red, blue = (0.75, 0.75, 0.75), (0.90, 0.36, 0.24), (0.25, 0.50, 0.85)
    coloured = np.zeros((*hits.shape, 3), np.float32)
    for where, colour in ((hits & truth, grey), (truth & ~hits, red), (hits & ~truth, blue)):
        coloured[where] = colour
    plain = [np.repeat(part[..., None], 3, -1).astype(np.float32) for part in (volume.image.max(0), truth)]
    return np.stack([*plain, coloured])


def centre_line(predicted: np.ndarray) -> Iterator[dict[str, float | str]]:
    """Its points along z, with the piece each belongs to: the seven largest by rank, then "smaller"."""
    from scipy.ndimage import label
    from skimage.morphology import skeletonize

    pieces, count = label(predicted, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    ranks = {int(piece) + 1: rank for rank, piece in enumerate(np.argsort(-sizes, kind="stable"))}
    for z, y, x in np.argwhere(skeletonize(predicted)):
        rank = ranks[int(pieces[z, y, x])]
        yield {"x": float(x), "y": float(y), "piece": f"{rank + 1}" if rank < 7 else "smaller"}


def record_pulls(record: Recorder, step: int, pulls: Sequence[Tensor], label: Tensor) -> None:
    """Both gradients in the slice with most vessel, side by side, each over its own largest entry."""
    slice_ = int(label[0, 0].sum((1, 2)).argmax())
    sides = [pull[0, 0, slice_].abs() / pull[0, 0, slice_].abs().max().clamp_min(1e-12) for pull in pulls]
    gap = torch.full((len(sides[0]), 1), math.nan, device=sides[0].device)
    record.matrix(step, "gradients", torch.cat([sides[0], gap, sides[1]], 1))
