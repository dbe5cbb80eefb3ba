"""A picture that is taken away shows strangers' words as text."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd

from core import report
from core.charts import Axis, lines

EVIL = '<script>alert(1)</script><image href="http://stranger.invalid/a.png"/>&lt;b&gt; ]]> <a href="javascript:alert(1)">'


def test_an_svg_has_only_text_of_what_a_stranger_named():
    frame = pd.DataFrame({"step": [0, 1], "value": [1.0, 2.0], "run": EVIL, "arm": EVIL, "seed": 0})
    chart = lines(frame, Axis("step", EVIL), Axis("value", EVIL), colour="run", facet="arm", description=EVIL)
    root = ElementTree.fromstring(report.image(chart, "svg"))  # it is well-formed
    elements = list(root.iter())
    assert not {element.tag.rpartition("}")[2] for element in elements} & {"script", "image", "a", "foreignObject", "style"}
    names = {name.rpartition("}")[2].lower() for element in elements for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name == "href"]
    assert any("<script>" in "".join(element.itertext()) for element in elements)
