"""What papers are given of a snapshot: labelled items of at least two classes."""

from __future__ import annotations

import numpy as np
import pytest

from core.engine.inputs import labelled
from core.methods.base import Features, ParameterError


def features(*labels, **more):
    n = len(labels)
    return Features(np.arange(2.0 * n).reshape(n, 2), np.array(labels), ("a", "b", "c", "d"), "snapshot 1", **more)


def test_items_without_a_label_go_and_absent_classes_leave_no_gap():
    found = labelled(features(3, -1, 1, 3))
    assert found.vectors.tolist() == [[0, 1], [4, 5], [6, 7]]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.classes == ("b", "d")


def test_logits_and_targets_stay_beside_their_items():
    found = labelled(features(0, -1, 1, logits=np.eye(3), targets=np.array([2, -1, 0])))
    assert found.logits.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found.targets.tolist() == [2, 0]


@pytest.mark.parametrize(("labels", "why"), [((-1, -1), "no item has a label"), ((2, 2, -1), "are of one class")])
def test_one_class_is_refused(labels, why):
    with pytest.raises(ParameterError, match=why):
        labelled(features(*labels))
