"""Trees of vessels in a cube, drawn from a seed: branching tubes, uneven background and attenuation, Rician noise."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Volume:
    """One cube of side N: image (N, N, N) float32 in [0, 1] with maximum 1, label (N, N, N) bool, and its thin vessels."""

    image: np.ndarray
    label: np.ndarray
    thin: np.ndarray


@lru_cache(maxsize=64)
def vessel_volume(seed: int, side: int = 48, radius: float = 2.2, roots: int = 3) -> Volume:
    """A volume of the generator shared by the papers on vessels.

    `roots` trees enter through random faces with about `radius` voxels. A segment takes 8 to 15 unit steps, turning a little at
    each, then splits by Murray's law (the cubes of the children's radii add up to the parent's); branches below 0.6 voxels end.
    A voxel is vessel within max(r, 0.75) of a point of the centre line, and of a thin vessel where that point has r < 1.1.

    Args:
        seed: of numpy's default_rng.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    points, radii = _trees(rng, side, radius, roots)
    label, thin, soft = np.zeros((side,) * 3, bool), np.zeros((side,) * 3, bool), np.zeros((side,) * 3)
    for point, r in zip(points, radii, strict=True):
        window, distance = _near(point, r, side)
        inside = distance <= max(r, 0.75)
        label[window] |= inside
        thin[window] |= inside & (r < 1.1)
        intensity = np.clip(r + 0.5 - distance, 0, 1) * min(1.0, 0.35 + 0.35 * r)
        soft[window] = np.maximum(soft[window], intensity)

    def smooth_noise(sigma: float) -> np.ndarray:
        noise = gaussian_filter(rng.normal(size=(side,) * 3), sigma)
        return (noise - noise.min()) / (noise.max() - noise.min())

    clean = 0.25 * smooth_noise(4) + soft * (0.25 + 0.75 * smooth_noise(3))
    real, imaginary = 0.10 * rng.normal(size=(2, side, side, side))
    image = np.sqrt((clean + real) ** 2 + imaginary**2)
    return Volume((image / image.max()).astype(np.float32), label, thin)


def _trees(rng: np.random.Generator, side: int, radius: float, roots: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (m, 3) and radii (m,) of the centre lines."""
    points: list[np.ndarray] = []
    radii: list[float] = []
    branches: deque[tuple[np.ndarray, np.ndarray, float]] = deque()
    for _ in range(roots):
        axis, far = int(rng.integers(3)), bool(rng.integers(2))
        start = rng.uniform(0.2 * side, 0.8 * side, 3)
        start[axis] = side - 1.0 if far else 0.0
        direction = 0.3 * rng.normal(size=3)
        direction[axis] = -1.0 if far else 1.0
        branches.append((start, _normalised(direction), radius * rng.uniform(0.8, 1.2)))
    while branches:
        point, direction, r = branches.popleft()
        steps = int(rng.integers(8, 16))
        for _ in range(steps):
            direction = _normalised(direction + 0.18 * rng.normal(size=3))
            point = point + direction
            if (point < 0).any() or (point > side - 1).any():
                break
            points.append(point)
            radii.append(r)
        else:
            share = rng.uniform(0.3, 0.7)
            normal = _normalised(np.cross(direction, rng.normal(size=3)))
            for sign, part in ((1, share), (-1, 1 - share)):
                angle, child = np.deg2rad(rng.uniform(20, 50)), r * part ** (1 / 3)
                if child >= 0.6:
                    branches.append((point, np.cos(angle) * direction + sign * np.sin(angle) * normal, child))
    return np.array(points), np.array(radii)


def _normalised(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _near(point: np.ndarray, r: float, side: int) -> tuple[tuple[slice, ...], np.ndarray]:
    """The window of voxels around a point that its tube can touch, and their distances from it."""
    reach = max(r, 0.75) + 1.0
    low, high = np.maximum(np.floor(point - reach), 0).astype(int), np.minimum(np.ceil(point + reach) + 1, side).astype(int)
    axes = [np.arange(a, b) - centre for a, b, centre in zip(low, high, point, strict=True)]
    z, y, x = np.ix_(*axes)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), np.sqrt(z**2 + y**2 + x**2)
