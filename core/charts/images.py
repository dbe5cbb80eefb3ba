"""Recorded pictures in rows, as PNG data that travels inside the chart."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.matrices import evenly
from core.charts.theme import Size

IN_A_ROW = {"full": 8, "card": 5}
ROWS = {"full": 8, "card": 2}
STEP = {"full": 72, "card": 54}
TITLE = 26  # pixels above a row


def images(
    frame: pd.DataFrame, *, row: str = "row", array: str = "array", dark: bool = False, size: Size = "full", description: str = ""
) -> Any:
    """Images in rows, each row with its title above it.

    Args:
        frame: columns `row` (its title) and `array`: (n, height, width) or (n, height, width, 3), bytes or floats in [0, 1].
    """
    shown = frame.iloc[evenly(len(frame), ROWS[size])]
    step = STEP[size]
    cells = []
    for number, (title, array_of) in enumerate(zip(shown[row], shown[array], strict=True)):
        for place, index in enumerate(evenly(len(array_of), IN_A_ROW[size])):
            cells.append({"place": place, "row": number, "title": str(title), "index": index, "url": png_url(array_of[index])})
    pictures = pd.DataFrame(cells, columns=["place", "row", "title", "index", "url"])
    gap = TITLE if size == "full" else 6
    across = alt.X("place:O", axis=None, scale=alt.Scale(domain=list(range(IN_A_ROW[size])), paddingInner=0.08, paddingOuter=0))
    rows = alt.Scale(paddingInner=gap / (step + gap), paddingOuter=0)
    hints = [alt.Tooltip("title:N", title="Row"), alt.Tooltip("index:Q", title="Image")]
    grid = (
        alt.Chart(pictures).mark_image(smooth=False).encode(x=across, y=alt.Y("row:O", axis=None, scale=rows), url=alt.Url("url:N"))
    )
    layers = [grid.encode(tooltip=hints) if size == "full" else grid]
    if size == "full":
        names = alt.Chart(pictures.drop_duplicates("row")[["row", "title"]]).mark_text(align="left", baseline="bottom", dy=-5)
        layers.append(names.encode(x=alt.XValue(0), y=alt.Y("row:O", axis=None, bandPosition=0), text=alt.Text("title:N")))
    text = f"{description or 'Recorded images'}. Rows: {'; '.join(map(str, shown[row]))}."
    longest = max((len(value) for value in shown[array]), default=0)
    notes = [f"{IN_A_ROW[size]} of {longest} images of a row are shown, evenly chosen."] if longest > IN_A_ROW[size] else []
    notes += [f"{len(shown)} of {len(frame)} rows are shown."] if len(shown) < len(frame) else []
    height = (step + gap) * max(len(shown), 1) - gap
    return theme.finished(theme.framed(alt.layer(*layers), height), dark=dark, description=text, size=size, note=" ".join(notes))


def png_url(image: np.ndarray, side: int = 96) -> str:
    """An image (height, width) or (height, width, 3) as the data URL of a PNG, repeated or thinned to about `side` pixels."""
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        pixels = np.round(255 * np.clip(np.nan_to_num(pixels.astype(float)), 0, 1)).astype(np.uint8)
    longest = max(pixels.shape[:2])
    if longest > 2 * side:
        pixels = pixels[:: longest // side, :: longest // side]
    else:
        pixels = pixels.repeat(max(1, side // longest), axis=0).repeat(max(1, side // longest), axis=1)
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def png(pixels: np.ndarray) -> bytes:
    """Bytes (height, width) or (height, width, 3) as a PNG file."""
    height, width = pixels.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # filter 0 before each line
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
