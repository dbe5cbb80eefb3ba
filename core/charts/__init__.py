"""Pictures: a data frame in, an Altair chart out, for a light and a dark page and in two sizes.

    lines       the mean over seeds with its 95% band          stack        such charts over one x axis
    points      dots, fitted lines, segments                   scaling      power laws with their bands
    bars        means with intervals and a dot a seed          interval     the verdicts of a run
    heatmap     matrices, large ones by means over blocks      mask         pruning masks as surviving shares
    histogram   distributions of entries                       phase        a quantity over two parameters
    images      recorded pictures in rows                      reliability  accuracy against confidence, ECE
    embedding   vectors in two dimensions (see project)        trajectory   one quantity against another over time

Show a chart with `st.altair_chart(chart, theme=None, width="stretch")`. A chart of size "card" has no titles and no legend.
Each has a description, its alternative text. Nothing here knows the store, methods or Streamlit.
Channels are given as objects, alt.Y2("high:Q"): for each that is a bare string Altair looks through all its classes, 10 ms a time.
"""

from core.charts.bars import bars
from core.charts.images import images
from core.charts.interval import interval
from core.charts.lines import lines, stack
from core.charts.matrices import heatmap, histogram, mask, phase
from core.charts.points import embedding, points, project, scaling
from core.charts.reliability import reliability
from core.charts.theme import Axis, Key, colours, keys_of
from core.charts.trajectory import trajectory

__all__ = [
    "Axis",
    "Key",
    "bars",
    "colours",
    "embedding",
    "heatmap",
    "histogram",
    "images",
    "interval",
    "keys_of",
    "lines",
    "mask",
    "phase",
    "points",
    "project",
    "reliability",
    "scaling",
    "stack",
    "trajectory",
]
