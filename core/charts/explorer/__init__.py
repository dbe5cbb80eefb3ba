"""The embedding explorer: what the browser draws, packed as one string of bytes, and what its selections mean here.

explorer.js draws with regl-scatterplot (WebGL), so that a hundred thousand points stay smooth; `npm install && npm run build` in
this folder makes bundle.js of it, which ships with the program (licences in bundle.js.LEGAL.txt). A selection comes back as a
polygon in the coordinates that were sent: which points lie inside is found out here, however many there are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.charts import theme

FOLDER = Path(__file__).parent
HOVER_POINTS = 20_000  # with texts
THUMBNAIL_BYTES, LEAST_PIXELS = 12_000_000, 12
TEXT = 160  # characters shown on hover
CLASSES = 60  # in the legend; more are drawn, their colours repeat
VALUE_COLOURS = 64


@dataclass(frozen=True)
class Colour:
    """How points are coloured.

    Attributes:
        colours: hex strings; a category's by its index, or the stops of a ramp.
        place: (n,) float32: index of a category, or a value from 0 to 1.
        legend: (title, colour) in order.
    """

    kind: str  # "category" or "value"
    colours: tuple[str, ...]
    place: np.ndarray
    legend: tuple[tuple[str, str], ...]


def colour_by(values: Sequence[object] | np.ndarray | pd.Series, dark: bool) -> Colour:
    """Colours of a column: numbers with many values along a ramp, everything else by category.

    Args:
        values: (n,); missing ones are grey where they are categories, at the low end where they are numbers.
    """
    column = pd.Series(np.asarray(values))
    palette = theme.palette(dark)
    if pd.api.types.is_float_dtype(column) or (pd.api.types.is_integer_dtype(column) and column.nunique() > CLASSES):
        numbers = column.to_numpy(dtype=float)
        finite = numbers[np.isfinite(numbers)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        place = np.clip((np.nan_to_num(numbers, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12), 0, 1)
        stops = tuple(theme.blend(palette.levels, VALUE_COLOURS))
        ends = ((theme.label(theme.round_to(low, 4)), stops[0]), (theme.label(theme.round_to(high, 4)), stops[-1]))
        return Colour("value", stops, place.astype(np.float32), ends)
    codes, uniques = pd.factorize(column, sort=True)
    titles = [theme.label(value) for value in uniques]
    tints = list(theme.colours([theme.Key(number, str(number)) for number in range(len(titles))], dark).values())
    if (codes < 0).any():
        titles, tints = [*titles, "none"], [*tints, palette.line]
        codes = np.where(codes < 0, len(titles) - 1, codes)
    legend = tuple(zip(titles, tints, strict=True))[:CLASSES]
    return Colour("category", tuple(tints) or (palette.accent,), codes.astype(np.float32), legend)


def fitted(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) moved and scaled, both axes alike, so that the larger extent fills [-0.95, 0.95]; what is not finite is 0."""
    points = np.asarray(points, dtype=float)
    finite = np.isfinite(points).all(1)
    if not finite.any():
        return np.zeros_like(points, dtype=np.float32)
    low, high = points[finite].min(0), points[finite].max(0)
    scaled = (points - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-12) * 0.95
    return np.where(finite[:, None], scaled, 0).astype(np.float32)


def pack(
    points: np.ndarray,
    colour: Colour,
    *,
    selected: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    thumbnails: np.ndarray | None = None,
    series: str = "",
    description: str = "",
    dark: bool = False,
) -> bytes:
    """What explorer.js unpacks: the length of a header, the header as JSON, and the columns.

    Args:
        points: (n, 2) as `fitted` gives them.
        selected: (n,) bool; the others are muted. None: nothing is selected.
        texts: (n,) shown on hover; left out above HOVER_POINTS.
        thumbnails: (n, height, width) or (n, height, width, 3) uint8; made smaller where they are above THUMBNAIL_BYTES, and
            left out where fewer than LEAST_PIXELS would be left of a side.
        series: points of one series move smoothly from one place to the next.
        description: the alternative text.
    """
    n = len(points)
    place = points.astype("<f4")
    columns = [place[:, 0].tobytes(), place[:, 1].tobytes(), colour.place.astype("<f4").tobytes()]
    version = hashlib.sha256(b"".join(columns) + "".join(colour.colours).encode()).hexdigest()[:16]
    mask = np.zeros(n, np.uint8) if selected is None else np.asarray(selected, np.uint8)
    palette = theme.palette(dark)
    header = {
        "n": n,
        "version": version,
        "series": series,
        "kind": colour.kind,
        "colours": colour.colours if len(colour.colours) > 1 else colour.colours * 2,
        "legend": [{"title": title, "colour": tint} for title, tint in colour.legend],
        "background": palette.background,
        "hover": palette.text,
        "size": float(np.interp(np.log10(max(n, 1)), [2, 3, 4, 5, 6], [9, 7, 4.5, 2.5, 1.5])),
        "opacity": float(np.interp(np.log10(max(n, 1)), [3, 5, 6], [0.9, 0.6, 0.35])),
        "marked": selected is not None,
        "texts": [str(text)[:TEXT] for text in texts] if texts is not None and n <= HOVER_POINTS else None,
        "thumbnail": None,
        "description": description or f"{n:,} points",
    }
    pixels = b""
    every = 1  # row and column of a thumbnail
    if thumbnails is not None and thumbnails.size:
        every = math.ceil(math.sqrt(thumbnails.nbytes / THUMBNAIL_BYTES))
        thumbnails = thumbnails[:, ::every, ::every]
    if thumbnails is not None and (every == 1 or min(thumbnails.shape[1:3]) >= LEAST_PIXELS):
        channels = thumbnails.shape[3] if thumbnails.ndim == 4 else 1
        header["thumbnail"] = {"height": thumbnails.shape[1], "width": thumbnails.shape[2], "channels": channels}
        pixels = np.ascontiguousarray(thumbnails, np.uint8).tobytes()
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 4)
    return b"".join([len(text).to_bytes(4, "little"), text, *columns, mask.tobytes(), pixels])


def inside(points: np.ndarray, polygon: Sequence[Sequence[float]]) -> np.ndarray:
    """Which points (n, 2) lie in a polygon (m, 2), closed by itself, by the even-odd rule: (n,) bool.

    >>> inside(np.array([[0.5, 0.5], [2.0, 0.5]]), [[0, 0], [1, 0], [1, 1], [0, 1]])
    array([ True, False])
    """
    corners = np.asarray(polygon, dtype=float)
    if corners.ndim != 2 or corners.shape[1:] != (2,) or len(corners) < 3 or not np.isfinite(corners).all():
        return np.zeros(len(points), bool)
    x, y = points[:, 0].astype(float), points[:, 1].astype(float)
    within = np.zeros(len(points), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
            within ^= crosses
    return within
