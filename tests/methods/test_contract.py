"""What every paper owes the house. Each test runs for each paper that the registry finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.engine.spec import Spec
from core.methods import registry
from core.methods.base import (
    FAMILIES,
    PRESET_NAMES,
    Bars,
    Embedding,
    Heatmap,
    Histogram,
    Images,
    Lines,
    Method,
    Paired,
    PairedRows,
    ParameterError,
    ParamSpec,
    Points,
    Reliability,
    Stack,
    View,
    WithinRange,
    make_params,
)

OUTCOMES = {"holds", "does not hold", "undecided", "not testable here"}


@pytest.fixture(params=list(registry.paths()))
def method(request) -> Method:
    return registry.load(request.param)


def is_sentence(text: str) -> bool:
    return text[:1].strip() != "" and text.rstrip()[-1:] in ".?!"


class TestDeclaration:
    def test_it_is_found_by_its_file_s_name_in_its_family_s_folder(self, method):
        path = Path(method.source)
        assert method.slug == path.stem.replace("_", "-")
        assert method.paper.family == path.parent.name
        assert method.paper.family in FAMILIES
        assert registry.declared(method.slug).paper == method.paper

    def test_it_says_what_the_paper_says(self, method):
        paper = method.paper
        assert paper.title and paper.authors and paper.venue and paper.equation
        assert is_sentence(paper.idea)
        assert "$" not in paper.equation
        assert "$$" in method.text, "the docstring shows the central equation"
        assert "Reference: " in method.text
        assert paper.title.split(":")[0] in " ".join(method.text.split()), "the reference names the paper"
        assert 1950 < paper.year < 2100

    def test_every_parameter_is_explained_and_bounded(self, method):
        for spec in method.params.values():
            assert is_sentence(spec.help), spec.name
            assert spec.kind is bool or spec.choices or (spec.low is not None and spec.high is not None), spec.name
        make_params(method.params_class, {name: spec.default for name, spec in method.params.items()})

    def test_arms_are_a_baseline_and_what_competes_with_it(self, method):
        names = [arm.name for arm in method.arms]
        assert len(set(names)) == len(names) >= 2
        assert method.arms[0].role == "baseline"
        assert all(arm.title and is_sentence(arm.help) for arm in method.arms)

    def test_arms_come_after_arms_that_there_are_and_in_no_circle(self, method):
        order = {arm.name: arm.after for arm in method.arms}
        assert {name for after in order.values() for name in after} <= order.keys()
        list(TopologicalSorter(order).static_order())

    def test_presets_are_valid_fixed_and_fast_enough(self, method):
        assert tuple(method.presets)[: len(PRESET_NAMES)] == PRESET_NAMES
        for name, preset in method.presets.items():
            method.make_params(name)
            method.with_needed(method.default_arms(name))
            assert preset.seeds and len(set(preset.seeds)) == len(preset.seeds)
            assert preset.seconds > 0
        assert method.preset("quick").seconds <= 60
        assert method.preset("standard").seconds <= 600
        assert not any(method.preset(name).needs for name in ("smoke", "quick", "standard"))

    def test_claims_can_be_decided_by_quick_and_standard(self, method):
        """An interval needs two seeds at least."""
        assert min(len(method.preset(name).seeds) for name in ("quick", "standard")) >= 2

    def test_claims_are_sentences_with_their_evidence(self, method):
        assert method.claims
        assert len({claim.id for claim in method.claims}) == len(method.claims)
        for claim in method.claims:
            assert is_sentence(claim.text), claim.id
            assert claim.evidence, claim.id

    def test_pictures_say_what_to_look_for(self, method):
        assert method.views
        assert len({view.title for view in method.views}) == len(method.views)
        for view in method.views:
            assert view.title and is_sentence(view.caption), view.title


def refused_values(spec: ParamSpec) -> list[Any]:
    """What a parameter must not take."""
    if spec.kind is bool:
        return ["perhaps", 2]
    if spec.choices:
        return ["no such choice", *([max(spec.choices) + 1] if spec.kind is not str else [])]
    assert spec.low is not None and spec.high is not None
    if spec.kind is int:
        return [spec.low - 1, spec.high + 1, spec.low + 0.5, math.nan, "many"]
    return [math.nextafter(spec.low, -math.inf), math.nextafter(spec.high, math.inf), math.nan, "many"]


def test_it_refuses_what_a_parameter_does_not_allow(method):
    for name, spec in method.params.items():
        for value in refused_values(spec):
            given = [value] if spec.many else value
            with pytest.raises(ParameterError) as refused:
                method.make_params("quick", {name: given})
            assert str(refused.value) == f"{name} is {given!r}; allowed: {spec.allowed}."


class TestSmoke:
    def test_every_arm_ends_with_finite_results_for_every_seed(self, method, smoke):
        metrics = smoke(method.slug).results().metrics.set_index(["arm", "seed"])
        cells = {(arm.name, seed) for arm in method.arms for seed in method.preset("smoke").seeds}
        assert set(metrics.index) == cells
        assert metrics.notna().any(axis=1).all(), "every arm records a result"
        assert not metrics.isin([math.inf, -math.inf]).any().any()

    def test_every_picture_finds_its_data(self, method, smoke):
        for view in method.views:
            assert found(view, smoke(method.slug)), f"{view.title}: nothing was recorded that it shows"

    def test_every_claim_reaches_a_verdict(self, method, smoke):
        results = smoke(method.slug).results()
        for claim in method.claims:
            obstacle = claim.precondition(results) if claim.precondition else ""
            assert isinstance(obstacle, str), claim.id
            verdict = claim.decide(results)
            assert verdict.outcome in OUTCOMES, claim.id
            assert verdict.n >= 1 or verdict.outcome == "not testable here", f"{claim.id} found nothing to decide on"
            assert is_sentence(verdict.detail), claim.id
            if verdict.outcome in ("holds", "does not hold"):
                assert verdict.low <= verdict.effect <= verdict.high, claim.id
            if isinstance(claim.decide, (Paired, PairedRows, WithinRange)):
                assert verdict.n == len(method.preset("smoke").seeds), claim.id

    def test_the_same_numbers_again(self, method, smoke, run_again):
        """One seed alone gives, to the bit, what it gave among others; batched seeds are run together again."""
        seeds = method.preset("smoke").seeds
        again = run_again(method.slug, seeds=seeds if method.batched else seeds[-1:])
        expected, numbers = everything(smoke(method.slug), again.spec), everything(again, again.spec)
        assert numbers.keys() == expected.keys()
        for name in expected:
            assert_same(numbers[name], expected[name], name)


@pytest.mark.parametrize("slug", [slug for slug, declared in registry.catalogue().items() if declared.batched])
def test_seeds_in_a_batch_give_the_numbers_of_each_alone(slug, smoke, run_again):
    """To rounding: a batched product may add in another order. The first seed may be the only one whose arrays are recorded."""
    together = smoke(slug)
    alone = run_again(slug, seeds=together.spec.seeds[-1:])
    expected, numbers = everything(together, alone.spec), everything(alone, alone.spec)
    assert expected.keys() <= numbers.keys()
    for name in expected:
        assert_same(numbers[name], expected[name], name, rtol=1e-3, atol=1e-5)


def found(view: View, recording: Any) -> bool:
    """Whether a run recorded what a view shows."""
    store, run = recording.store, recording.run
    match view:
        case Stack(views=views):
            return all(found(inner, recording) for inner in views)
        case Points(table=table) | Lines(table=table) | Bars(table=table) if table:
            columns = {name for name in (view.x, view.y, view.colour, view.facet) if name}
            if isinstance(view, Points):
                columns |= {name for name in (view.shape, view.frame) if name}
                if view.segments and not has(store.table(run, view.segments), {"x", "y", "x2", "y2"}, {}):
                    return False
            return has(store.table(run, table), columns, view.where)
        case Lines(y=name, x=x):
            return has(store.curves(run, name, x=x), {name for name in (view.colour, view.facet) if name}, view.where)
        case Bars(y=metric):
            rows = store.results(run)
            return has(rows, {metric}, view.where) and rows[metric].notna().any()
        case Heatmap(matrix=name) | Histogram(matrix=name):
            return has(store.arrays(run, "matrix", name), {view.facet}, view.where)
        case Images(images=name):
            return has(store.arrays(run, "images", name), set(), view.where)
        case Reliability(name=name):
            return has(store.arrays(run, "predictions", name), set(), view.where)
        case Embedding(name=name):
            return has(store.arrays(run, "embedding", name), set(), view.where)
    raise AssertionError(f"{type(view).__name__} is a view that this test does not know")


def has(rows: pd.DataFrame, columns: set[str], where: Mapping[str, Any]) -> bool:
    """Whether there are rows with these columns among those that `where` keeps."""
    if not columns | where.keys() <= set(rows.columns):
        return False
    for column, wanted in where.items():
        rows = rows[rows[column].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
    return not rows.empty


def everything(recording: Any, spec: Spec) -> dict[str, pd.DataFrame | np.ndarray]:
    """All that a run recorded for the arms and seeds of a spec, but for times."""
    store, run = recording.store, recording.run

    def chosen(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["seed"].isin(spec.seeds) & rows["arm"].isin(spec.arms)]

    frames = {"results": store.results(run)}
    frames |= {f"table {name}": store.table(run, name) for name in store.table_names(run)}
    frames |= {f"curve {name}": store.curves(run, name, points=10**9) for name in store.scalar_names(run)}
    recorded: dict[str, pd.DataFrame | np.ndarray] = {}
    for name, frame in frames.items():
        rows = chosen(frame).dropna(axis="columns", how="all")
        if len(rows) and "seconds" not in name:
            recorded[name] = rows[[column for column in rows if "seconds" not in column]].reset_index(drop=True)
    for kind in store.array_index(run)["kind"].unique():
        for row in chosen(store.arrays(run, kind)).itertuples():
            recorded[f"{kind} {row.name}, {row.part} of {row.arm} {row.seed} at {row.step}"] = row.array
    return recorded


def assert_same(numbers: Any, expected: Any, name: str, rtol: float = 0.0, atol: float = 0.0) -> None:
    name += ' (a measured time has "seconds" in its name)'
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(numbers, expected, check_exact=not rtol, rtol=rtol, atol=atol, obj=name)
    elif rtol:
        np.testing.assert_allclose(numbers, expected, rtol=rtol, atol=atol, err_msg=name)
    else:
        np.testing.assert_array_equal(numbers, expected, err_msg=name)
