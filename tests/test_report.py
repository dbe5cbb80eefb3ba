"""A run's pictures and its page, from a store that a recorder wrote to as a worker's does."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import report
from core.charts import colours
from core.charts.theme import LIGHT
from core.measures.statistics import t_interval
from core.methods import registry
from core.methods.base import (
    Arm,
    Bars,
    Embedding,
    Heatmap,
    Histogram,
    Images,
    Lines,
    Method,
    Paper,
    Points,
    Reliability,
    Stack,
    param,
)
from core.recorder import Recorder
from core.store import Store
from tests.charts.specs import marks, note, rows

RUN, SEEDS = "a1b2c3", (0, 1, 2)
ARMS = (
    Arm("dense", "Dense network", "All weights."),
    Arm("ticket", "Winning ticket", "Pruned & rewound.", role="method"),
    Arm("reinit", "New weights", "The mask alone."),
    Arm("late", "Late ticket", "Rewound to step 100.", role="method"),
)


@dataclass(frozen=True)
class Params:
    """One parameter, as a page shows it."""

    steps: int = param(5, "How long.")


PAPER = Paper("tickets", "Tickets <small> & large", "A. Author", 2018, "ICLR 2019", "compression", "1803.03635", "Prune.", "m")
METHOD = Method(
    paper=PAPER,
    text="",
    params_class=Params,
    arms=ARMS,
    presets={},
    claims=(),
    views=(
        Lines(title="Loss & time", caption="It falls.", y="loss"),
        Bars(title="Accuracy", caption="", y="accuracy"),
        Heatmap(title="Mask", caption="", matrix="absent"),
    ),
    inputs=("own",),
    batched=False,
    run=lambda arm, params, inputs, record: None,
    source="",
)


def record_into(store: Store, arm: str, seed: int) -> Recorder:
    def sink(batch):
        with store.writing() as writer:
            if batch.scalars:
                writer.add_scalars(RUN, arm, batch.scalars)
            for event in batch.arrays:
                writer.add_array(RUN, arm, event)
            for event in batch.tables:
                writer.add_table(RUN, arm, event.seed, event.name, event.rows)
            for event in batch.results:
                writer.add_result(RUN, arm, event.seed, event.metric, event.value)

    return Recorder(sink, [seed])


def loss(arm: str, seed: int, step: int) -> float:
    return {"dense": 2.0, "ticket": 1.0, "reinit": 3.0}[arm] + seed / 10 + 1 / (1 + step)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store.open(tmp_path_factory.mktemp("report") / "store.duckdb")
    spec = {"slug": "tickets", "preset": "quick", "params": {"steps": 5}, "arms": ["dense"], "seeds": list(SEEDS), "device": "cpu"}
    with store.writing() as writer:
        writer.add_run(RUN, "tickets", "quick", spec, "cpu", [("dense", SEEDS)])
        writer.start_run(RUN, {"cores": 2, "versions": {"torch": "2.13.0"}})
    for arm in ("dense", "ticket", "reinit"):
        for seed in SEEDS:
            record = record_into(store, arm, seed)
            rng = np.random.default_rng(seed)
            for step in range(6):
                record.scalars(step, loss=loss(arm, seed, step))
                record.matrix(step, "mask", np.full((4, 4), step + seed / 10))
                record.embedding(step, rng.normal(size=(20, 3)) * [9, 3, 1], np.arange(20) % 2)
                record.table(
                    "plane",
                    [{"x": float(i), "y": float(i * step), "step": step, "label": 2 - i} for i in range(3) if step > 0 or i == 0],
                )
                record.table("line", {"x": 0.0, "y": 0.0, "x2": float(step), "y2": 1.0, "step": step})
            record.predictions(0, [[0.0, 9], [9, 0]], [1, 1])
            record.predictions(9, [[0.0, 0], [9, 0]], [0, 0])
            record.images(5, "inputs", rng.random((4, 6, 6)))
            if arm != "reinit":
                record.result(accuracy=0.9 + seed / 100 + (0.01 if arm == "ticket" else 0))
            record.close()
    verdict = {"claim": "c1", "text": "Tickets <match>", "verdict": "holds", "effect": 1.0, "low": 0.8, "high": 1.2}
    with store.writing() as writer:
        writer.set_verdicts(RUN, [verdict | {"n": 3, "smallest": 0.5, "unit": "points", "detail": "Ticket 92.0, dense 91.0."}])
        writer.finish_run(RUN, "completed", 12.5)
    yield store
    store.close()


def draw(store: Store, view, **options):
    return report.figure(store, RUN, view, method=METHOD, **options)


def test_arms_have_their_titles_and_the_colours_of_their_roles(store):
    spec = draw(store, Lines(title="Loss", caption="", y="loss")).to_dict()
    scale = marks(spec, "line")[0]["encoding"]["color"]["scale"]
    assert scale["domain"] == ["Dense network", "Winning ticket", "New weights"]
    assert scale["range"] == [LIGHT.baseline, LIGHT.accent, LIGHT.series[0]]
    assert colours(report.arm_keys(METHOD), False)["Late ticket"] == LIGHT.series[1]  # only one arm has the accent


def test_a_picture_of_fewer_arms_keeps_their_colours(store):
    spec = draw(store, Lines(title="Loss", caption="", y="loss", where={"arm": ("ticket", "reinit")})).to_dict()
    assert marks(spec, "line")[0]["encoding"]["color"]["scale"]["range"] == [LIGHT.accent, LIGHT.series[0]]


def test_a_curve_is_the_mean_of_its_seeds_with_the_t_interval(store):
    spec = draw(store, Lines(title="Loss", caption="", y="loss", where={"arm": "ticket"})).to_dict()
    last = max(rows(spec, marks(spec, "line")[0]), key=lambda row: row["x"])
    expected = t_interval([loss("ticket", seed, 5) for seed in SEEDS])
    assert (last["y"], last["low"], last["high"]) == pytest.approx(expected, abs=1e-5)


def test_nothing_recorded_is_no_picture(store):
    missing = [
        Lines(title="", caption="", y="absent"),
        Lines(title="", caption="", table="plane", y="absent"),
        Points(title="", caption="", table="absent", x="x", y="y"),
        Bars(title="", caption="", y="absent"),
        Heatmap(title="", caption="", matrix="absent"),
        Histogram(title="", caption="", matrix="absent"),
        Images(title="", caption="", images="absent"),
        Reliability(title="", caption="", name="absent"),
        Embedding(title="", caption="", name="absent"),
        Stack(title="", caption="", views=(Lines(title="", caption="", y="absent"),)),
        Lines(title="", caption="", y="loss", where={"arm": "late"}),
    ]
    assert [draw(store, view) for view in missing] == [None] * len(missing)


def test_a_slider_moves_over_what_was_recorded(store):
    plane = Points(
        title="Plane", caption="", table="plane", x="x", y="y", colour="label", facet="arm", frame="step", segments="line"
    )
    assert report.frames(store, RUN, plane) == [0, 1, 2, 3, 4, 5]
    assert report.frames(store, RUN, Embedding(title="", caption="")) == [0, 1, 2, 3, 4, 5]
    assert report.frames(store, RUN, Lines(title="", caption="", y="loss")) == []
    third, last = (draw(store, plane, frame=frame).to_dict() for frame in (3, None))
    for spec, step in ((third, 3), (last, 5)):
        assert {row["y"] for row in rows(spec, marks(spec, "point")[0])} == {0, step, 2 * step}
        assert {row["x2"] for row in rows(spec, marks(spec, "rule")[0])} == {step}
    first, end = (marks(draw(store, plane, frame=frame).to_dict(), "point")[0]["encoding"]["color"]["scale"] for frame in (0, 5))
    assert first["domain"] == ["2"] and first["range"] == [end["range"][end["domain"].index("2")]]  # a label keeps its colour
    axes = [marks(spec, "point")[0]["encoding"]["y"]["scale"]["domain"] for spec in (third, last)]
    assert axes[0] == axes[1] and axes[0][0] < 0 and axes[0][1] > 10  # they stand still
    assert [panel["title"]["text"] for panel in last["concat"]] == ["Dense network", "Winning ticket", "New weights"]


def test_matrices_by_step_are_means_over_seeds(store):
    spec = draw(
        store, Heatmap(title="", caption="", matrix="mask", facet_title="round", where={"arm": "ticket", "step": (0, 5)})
    ).to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == ["Round 0", "Round 5"]
    assert {row["value"] for row in rows(spec, marks(spec, "rect")[1])} == {5.1}
    assert note(spec) == "Mean over 3 seeds."


def test_matrices_by_arm_are_of_the_last_step(store):
    spec = draw(store, Heatmap(title="", caption="", matrix="mask", facet="arm", where={"seed": 0})).to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == ["Dense network", "Winning ticket", "New weights"]
    assert {row["value"] for rect in marks(spec, "rect") for row in rows(spec, rect)} == {5}


def test_a_histogram_pools_seeds_and_colours_arms(store):
    spec = draw(store, Histogram(title="", caption="", matrix="mask", where={"arm": ("dense", "ticket"), "step": 2})).to_dict()
    (area,) = marks(spec, "area")
    assert area["encoding"]["color"]["scale"]["domain"] == ["Dense network", "Winning ticket"]
    counts = [row["count"] for row in rows(spec, area) if row["key"] == "Winning ticket"]
    assert sum(counts) == 3 * 16


def test_reliability_is_of_the_last_predictions(store):
    spec = draw(store, Reliability(title="", caption="", where={"arm": "ticket"})).to_dict()
    half, sure = rows(spec, marks(spec, "point")[0])
    assert (half["confidence"], half["accuracy"], half["count"]) == (0.5, 1, 3)
    assert sure["confidence"] == pytest.approx(1 / (1 + np.exp(-9)), abs=1e-6)
    assert spec["concat"][0]["title"]["subtitle"].startswith("ECE 25%")


def test_an_embedding_is_seen_from_one_side_at_every_step(store):
    view = Embedding(title="", caption="", where={"arm": "dense"})
    before = draw(store, view, frame=0).to_dict()
    shown = np.array([[row["x"], row["y"]] for row in rows(before, marks(before, "point")[0])])
    vectors = store.arrays(RUN, "embedding", "", "dense", 0)
    first, last = (vectors[(vectors["step"] == step) & (vectors["part"] == "vectors")]["array"].iloc[0] for step in (0, 5))
    _, _, directions = np.linalg.svd(last - last.mean(0), full_matrices=False)
    assert np.abs(shown) == pytest.approx(np.abs((first - last.mean(0)) @ directions[:2].T), abs=1e-4)
    assert re.fullmatch(r"Dense network · \d+% of the variance", before["concat"][0]["title"]["text"])


def test_bars_are_of_the_results_and_images_a_row_an_arm(store):
    spec = draw(store, Bars(title="", caption="", y="accuracy", y_format=".1%")).to_dict()
    means = rows(spec, marks(spec, "tick")[0])
    assert [(row["row"], row["y"], row["n"]) for row in means] == [("Dense network", 0.91, 3), ("Winning ticket", 0.92, 3)]
    pictures = draw(store, Images(title="", caption="", images="inputs")).to_dict()
    (grid,) = marks(pictures, "image")
    assert [row["title"] for row in rows(pictures, grid)] == ["Dense network"] * 4 + ["Winning ticket"] * 4 + ["New weights"] * 4


def test_a_stack_shares_keys_and_drops_what_is_not_there(store):
    both = Stack(title="", caption="", views=(Lines(title="", caption="", y="loss"), Lines(title="", caption="", y="absent")))
    assert "vconcat" not in draw(store, both).to_dict()
    twice = replace(both, views=(both.views[0], replace(both.views[0], log_y=True, where={"arm": "ticket"})))
    above, below = draw(store, twice).to_dict()["vconcat"]
    scales = [marks(part, "line")[0]["encoding"]["color"]["scale"] for part in (above, below)]
    assert scales[0] == scales[1] and len(scales[0]["domain"]) == 3


def test_a_card_is_small(store):
    view = Lines(title="Loss", caption="", y="loss")
    assert len(json.dumps(draw(store, view, size="card").to_dict())) < 12_000


def test_an_image_has_the_asked_width_and_the_page_behind_it(store, tmp_path):
    chart = draw(store, Lines(title="Loss", caption="", y="loss"), dark=True)
    path = tmp_path / "loss.png"
    path.write_bytes(report.image(chart, "png", dark=True, width=400, scale=1))
    picture = Image.open(path).convert("RGB")
    assert abs(picture.width - 400) <= 15
    assert picture.getpixel((1, 1)) == (0x12, 0x15, 0x1A)
    assert report.image(chart, "svg").startswith(b"<svg")


def test_panels_wrap_at_the_asked_width(store):
    chart = draw(store, Lines(title="Loss", caption="", y="loss", facet="arm"))
    tall, wide = (Image.open(io.BytesIO(report.image(chart, width=width, scale=1))) for width in (340, 1000))
    assert tall.height > 2.5 * wide.height and wide.width > 2.5 * tall.width


def test_what_a_chart_draws_is_in_the_words_of_its_axes(store):
    frame = report.drawn(draw(store, Lines(title="Loss", caption="", y="loss", y_title="Test loss", log_y=True)).to_dict())
    assert list(frame)[:3] == ["key", "Step", "Test loss"] and "piece" not in frame and "panel" not in frame
    curve = frame[frame["key"] == "Dense network"]
    recorded = store.curves(RUN, "loss").query("arm == 'dense'").groupby("step")["value"]
    means = np.exp(recorded.apply(lambda values: np.log(values).mean()))
    assert curve.set_index("Step")["Test loss"].to_dict() == pytest.approx(means.to_dict(), rel=1e-6)
    assert set(curve["n"]) == {3}


def test_panels_and_marks_are_told_apart_in_what_a_chart_draws(store):
    by_arm = report.drawn(draw(store, Lines(title="Loss", caption="", y="loss", facet="arm")).to_dict())
    assert set(by_arm["panel"]) == {"Dense network", "Winning ticket", "New weights"}
    ruled = report.drawn(draw(store, Lines(title="Loss", caption="", y="loss", rule="dense")).to_dict())
    assert {"rect, rule, text", "area, line, point"} == set(ruled["drawn as"])
    cells = report.drawn(draw(store, Heatmap(title="Mask", caption="", matrix="mask", where={"step": 2})).to_dict())
    assert {"row", "column", "value"} <= set(cells) and cells["panel"].str.startswith("Winning ticket").any()
    for frame in (by_arm, ruled, cells):
        frame.to_parquet(io.BytesIO())


@pytest.fixture
def page(store, monkeypatch) -> str:
    monkeypatch.setattr(registry, "declared", lambda slug: METHOD)
    return report.page(store, RUN)


def test_the_page_asks_no_network_for_anything(page):
    assert not re.search(r"<script[^>]*\bsrc\b", page)
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.S)
    assert not re.search(r"<(?:link|img|iframe|object|embed|source|video|audio)\b", markup)
    assert re.findall(r"https?://[^\"'<\s]+", markup) == ["https://arxiv.org/abs/1803.03635"]  # to be clicked, not loaded
    assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//", page)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    sources = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert sources.pop("default-src") == "'none'"
    assert set(" ".join(sources.values()).split()) <= {"'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
    assert "vegaEmbed" in page and len(page) < 2_000_000


def test_the_page_has_verdicts_pictures_results_and_provenance(page):
    specs = json.loads(re.search(r'<script type="application/json" id="specs">(.*?)</script>', page, re.S)[1])
    assert list(specs) == ["verdicts", "picture-0", "picture-1"]  # the third has nothing to show
    assert all(f"id={name}>" in page for name in specs)
    for words in (
        "Tickets &lt;small&gt; &amp; large", "Loss &amp; time", "c1 holds", "Tickets &lt;match&gt;", "Ticket 92.0, dense 91.0.",
        "quick preset, 3 seeds, cpu, completed", "steps = 5", "torch = 2.13.0", "12.5 s", RUN, "arXiv 1803.03635", "ICLR 2019",
    ):  # fmt: skip
        assert words in page
    assert re.search(r"<th>Winning ticket</th><td>0\.92 <small>\[0\.895, 0\.945\]</small>", page)
    assert "<small> &" not in page


def test_the_page_of_an_unfinished_run_says_so(store, monkeypatch):
    monkeypatch.setattr(registry, "declared", lambda slug: METHOD)
    with store.writing() as writer:
        writer.add_run("empty", "tickets", "quick", {"params": {}, "seeds": [0]}, "cpu", [("dense", [0])])
    page = report.page(store, "empty")
    assert "No verdicts: the run has not ended" in page and "nothing that can be drawn" in page and "1 queued" in page
    with pytest.raises(KeyError, match="no run"):
        report.page(store, "unknown")


def test_every_view_of_the_contract_has_a_picture():
    """A new kind of view fails here until the report can draw it."""
    from core.methods import base

    declared = {kind.__name__ for kind in base.View.__subclasses__()}
    source = Path(report.__file__).read_text(encoding="utf-8")
    assert declared == set(re.findall(r"        case (\w+)\(\):", source))
