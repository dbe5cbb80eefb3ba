"""Features as papers expect them: every item has a label, and every class has items."""

from __future__ import annotations

import dataclasses

from core.methods.base import Features, ParameterError


def labelled(features: Features) -> Features:
    """The items that have a label; classes without any item are left out, and the others numbered anew in their order.

    Raises:
        ParameterError: fewer than two classes are left.
    """
    import numpy as np

    known = features.labels >= 0
    present, labels = np.unique(features.labels[known], return_inverse=True)
    if len(present) < 2:
        found = "all labelled items are of one class" if len(present) else "no item has a label"
        raise ParameterError(f"Papers need items of at least two classes, but in {features.source} {found}. Choose other data.")
    names = features.classes
    classes = tuple(names[label] if label < len(names) else str(label) for label in present)
    logits, targets = (None if part is None else part[known] for part in (features.logits, features.targets))
    return dataclasses.replace(
        features, vectors=features.vectors[known], labels=labels, classes=classes, logits=logits, targets=targets
    )
