"""What a snapshot is made of: items of any data set, images or texts or rows of numbers, with their labels where there are any.

items("digits-8", n=500)                              a bundled set
items("uoft-cs/cifar10", split="test", n=500)         a data set of the Hub, only as much of it as is asked for
items(upload=file)                                    what core.data.uploads made of an upload
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

Kind = Literal["images", "text", "tabular"]


@dataclass(frozen=True, eq=False)
class Items:
    """n items of one kind.

    Attributes:
        kind: which of `images`, `texts` and `rows` is filled.
        images: PIL images, grey ("L") or coloured ("RGB"), of any size.
        texts: strings.
        rows: (n, d) float32.
        labels: (n,) int64, indices into `classes`; -1 where an item has none; None where the data have none.
        classes: names of the classes.
        columns: further columns of the data, a row an item, for the person who looks at them.
    """

    kind: Kind
    images: list[Image] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rows: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    columns: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.images or self.texts) if self.rows is None else len(self.rows)
