"""Parameters, pairing and the verdict rule against values computed by hand, and how the registry reads declarations."""

from __future__ import annotations

import dataclasses
import functools
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.methods import registry
from core.methods.base import (
    Arm,
    Inputs,
    Lines,
    Method,
    Paired,
    PairedRows,
    Paper,
    ParameterError,
    Preset,
    Recorded,
    Results,
    WithinRange,
    decide_by_interval,
    decide_within,
    make_params,
    param,
    param_specs,
)

ROOT = Path(__file__).parents[2]
T2 = math.tan(math.pi * 0.475)  # the 97.5% quantile of Student's distribution with one degree of freedom
T3 = 0.95 / math.sqrt(2 * 0.975 * 0.025)  # with two


@dataclass(frozen=True)
class Params:
    steps: int = param(300, "Training steps.", low=1, high=1000)
    rate: float = param(0.1, "Learning rate.", low=0.0, high=1.0)
    optimiser: str = param("adam", "Which optimiser.", choices=("adam", "sgd"))
    size: int = param(32, "Batch size.", choices=(32, 64))
    rewind: bool = param(True, "Whether survivors are put back.")
    gammas: tuple[float, ...] = param((0.1, 1.0), "Step sizes.", low=0.0, high=100.0)
    slack: float = param(0.0, "Any number.")


class TestParameters:
    def test_what_a_control_needs(self):
        specs = param_specs(Params)
        assert list(specs) == ["steps", "rate", "optimiser", "size", "rewind", "gammas", "slack"]
        assert [spec.kind for spec in specs.values()] == [int, float, str, int, bool, float, float]
        assert [name for name, spec in specs.items() if spec.many] == ["gammas"]
        assert specs["steps"].help == "Training steps."
        assert (specs["rate"].default, specs["rate"].low, specs["rate"].high) == (0.1, 0.0, 1.0)

    @pytest.mark.parametrize(
        ("name", "given", "parsed"),
        [
            ("steps", "20", 20),
            ("steps", 20.0, 20),
            ("steps", 1, 1),
            ("steps", 1000, 1000),
            ("rate", "1e-3", 0.001),
            ("rate", 1, 1.0),
            ("optimiser", "sgd", "sgd"),
            ("size", "64", 64),
            ("rewind", "no", False),
            ("rewind", "TRUE", True),
            ("rewind", False, False),
            ("gammas", "1, 10,100", (1.0, 10.0, 100.0)),
            ("gammas", [1, 2], (1.0, 2.0)),
            ("slack", -1e9, -1e9),
        ],
    )
    def test_values_and_texts_are_parsed(self, name, given, parsed):
        value = getattr(make_params(Params, {name: given}), name)
        assert value == parsed
        assert type(value) is type(parsed)

    @pytest.mark.parametrize(
        ("name", "given", "allowed"),
        [
            ("steps", 0, "a whole number from 1 to 1000"),
            ("steps", 1001, "a whole number from 1 to 1000"),
            ("steps", 2.5, "a whole number from 1 to 1000"),
            ("steps", True, "a whole number from 1 to 1000"),
            ("steps", None, "a whole number from 1 to 1000"),
            ("steps", "many", "a whole number from 1 to 1000"),
            ("rate", math.nan, "a number from 0 to 1"),
            ("rate", "inf", "a number from 0 to 1"),
            ("rate", -0.1, "a number from 0 to 1"),
            ("optimiser", "lion", "one of adam, sgd"),
            ("size", 48, "one of 32, 64"),
            ("rewind", "perhaps", "true or false"),
            ("gammas", "1,200", "a list, each a number from 0 to 100"),
            ("gammas", "", "a list, each a number from 0 to 100"),
            ("gammas", [1, "x"], "a list, each a number from 0 to 100"),
            ("slack", "wide", "a number"),
        ],
    )
    def test_what_is_not_allowed_is_refused_by_name(self, name, given, allowed):
        with pytest.raises(ParameterError) as refused:
            make_params(Params, {name: given})
        assert str(refused.value) == f"{name} is {given!r}; allowed: {allowed}."

    def test_an_unknown_name_lists_what_there_is(self):
        with pytest.raises(ParameterError, match="no parameter 'step'; there are: steps, rate"):
            make_params(Params, {"step": 3})


@dataclass(frozen=True)
class OneBound:
    low: int = param(2, "At least one.", low=1)
    high: float = param(0.5, "At most one.", high=1)


@pytest.mark.parametrize(
    ("name", "value", "words"), [("low", 0, "a whole number of at least 1"), ("high", 2, "a number of at most 1")]
)
def test_one_bound_in_words(name, value, words):
    with pytest.raises(ParameterError, match=f"allowed: {words}"):
        make_params(OneBound, {name: value})


def make_method(arms: tuple[Arm, ...], presets: dict[str, Preset]) -> Method:
    paper = Paper("some-paper", "Title", "Author", 2024, "Venue", "theory", "0000.00000", "Idea.", "x")
    return Method(paper, "", Params, arms, presets, (), (), ("own",), False, lambda *_: None, "")


class TestMethod:
    method = make_method(
        (
            Arm("dense", "Dense", ""),
            Arm("ticket", "Ticket", "", "method", after=("dense",)),
            Arm("reinit", "Redrawn", "", after=("ticket",)),
            Arm("one-shot", "One shot", "", "ablation", after=("dense",)),
        ),
        {"quick": Preset(10, (0, 1), {"steps": 20}), "smoke": Preset(1, (0,), {}, arms=("one-shot",))},
    )

    def test_ablations_run_only_where_asked_for(self):
        assert self.method.default_arms("quick") == ("dense", "ticket", "reinit")
        assert self.method.default_arms("smoke") == ("one-shot",)

    def test_arms_bring_what_they_come_after(self):
        assert self.method.with_needed(["reinit"]) == ("dense", "ticket", "reinit")
        assert self.method.with_needed(["one-shot", "dense"]) == ("dense", "one-shot")

    def test_values_go_over_the_preset(self):
        assert self.method.make_params("quick") == Params(steps=20)
        assert self.method.make_params("quick", {"rate": "0.5"}) == Params(steps=20, rate=0.5)
        assert self.method.make_params("quick", {"steps": 30}) == Params(steps=30)

    def test_unknown_names_list_what_there_is(self):
        with pytest.raises(ParameterError, match="some-paper has no arm 'tickets'; there are: dense, ticket, reinit, one-shot"):
            self.method.with_needed(["tickets"])
        with pytest.raises(ParameterError, match="some-paper has no preset 'fast'; there are: quick, smoke"):
            self.method.make_params("fast")


class TestInputs:
    def test_the_seed_of_a_method_that_runs_one_at_a_time(self):
        assert Inputs((7,)).seed == 7
        with pytest.raises(ValueError, match="too many values"):
            _ = Inputs((7, 8)).seed

    def test_what_an_earlier_arm_recorded(self):
        first, second, other = np.array([True]), np.array([False]), np.array([1.0])
        recorded = [
            Recorded("mask", "fc1", 1, "mask", first),
            Recorded("mask", "fc1", 2, "mask", second),
            Recorded("matrix", "fc1", 2, "values", other),
        ]
        inputs = Inputs((0,), recorded={"ticket": recorded})
        assert inputs.arrays("ticket", "mask", step=1) == {"fc1": first}
        assert inputs.arrays("ticket", "mask") == {"fc1": second}
        assert inputs.arrays("ticket", "matrix", step=2) == {"fc1": other}


class TestTheRule:
    """9, 10, 11 have the mean 10 and the interval 10 +- T3 / sqrt(3) = 7.516 to 12.484."""

    half = T3 / math.sqrt(3)

    @pytest.mark.parametrize(
        ("values", "smallest", "outcome"),
        [
            ([9, 10, 11], 10.0, "holds"),  # the mean reaches the smallest effect exactly
            ([9, 10, 11], 10.0001, "undecided"),  # the mean falls short, the interval reaches beyond
            ([9, 10, 11], 12.48, "undecided"),
            ([9, 10, 11], 12.49, "does not hold"),  # the interval lies below
            ([1, 2, 3], 1.0, "undecided"),  # the mean is large enough, but the interval holds zero
            ([-11, -10, -9], 0.0, "does not hold"),
            ([-11, -10, -9], -7.6, "undecided"),
            ([-11, -10, -9], -7.5, "does not hold"),
            ([2, 2], 2.0, "holds"),  # no spread: the interval is the mean
            ([2, 2], 2.5, "does not hold"),
            ([0, 0], 0.0, "undecided"),  # neither above zero nor below the smallest effect
            ([0, 0], 0.1, "does not hold"),
        ],
    )
    def test_outcomes(self, values, smallest, outcome):
        assert decide_by_interval(values, smallest).outcome == outcome

    def test_the_figures_of_a_verdict(self):
        verdict = decide_by_interval([9, 10, 11], 1.0, "points", "Detail.")
        assert (verdict.effect, verdict.low, verdict.high) == pytest.approx((10, 10 - self.half, 10 + self.half))
        assert (verdict.n, verdict.smallest, verdict.unit, verdict.detail) == (3, 1.0, "points", "Detail.")

    def test_above_another_null(self):
        """A ratio of at least 1.5 must lie above 1: 1 and 3 give 2 +- T2, which holds 1."""
        assert decide_by_interval([9, 10, 11], 8.0, null=7.5).outcome == "holds"
        assert decide_by_interval([9, 10, 11], 8.0, null=7.52).outcome == "undecided"
        assert decide_by_interval([1, 3], 1.5, null=1.0).low == pytest.approx(2 - T2)

    @pytest.mark.parametrize("values", [[], [5.0]])
    def test_fewer_than_two_values_stay_undecided(self, values):
        verdict = decide_by_interval(values, 1.0, detail="Detail.")
        assert verdict.outcome == "undecided"
        assert verdict.detail == "Detail. An interval needs at least two seeds."
        assert math.isnan(verdict.low)

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_proves_nothing(self, wrong):
        assert decide_by_interval([10.0, 10.0, wrong], 1.0).outcome == "undecided"

    @pytest.mark.parametrize(
        ("low", "high", "outcome"),
        [
            (7.5, 12.5, "holds"),
            (7.52, 12.5, "undecided"),
            (7.5, 12.48, "undecided"),
            (-math.inf, 12.5, "holds"),
            (7.5, math.inf, "holds"),
            (12.49, 20.0, "does not hold"),
            (12.48, 20.0, "undecided"),
            (0.0, 7.51, "does not hold"),
            (0.0, 7.52, "undecided"),
        ],
    )
    def test_within(self, low, high, outcome):
        assert decide_within([9, 10, 11], low, high).outcome == outcome

    def test_the_edges_of_a_range_belong_to_it(self):
        assert decide_within([2.0, 2.0], 2.0, 3.0).outcome == "holds"
        assert decide_within([3.0, 3.0], 2.0, 3.0).outcome == "holds"

    def test_one_value_within_stays_undecided(self):
        assert decide_within([2.5], 2.0, 3.0).outcome == "undecided"


def results(**arms: dict[int, float]) -> Results:
    """Accuracies by arm and seed."""
    rows = [{"arm": arm, "seed": seed, "accuracy": value} for arm, seeds in arms.items() for seed, value in seeds.items()]
    return Results(pd.DataFrame(rows, columns=["arm", "seed", "accuracy"]), {})


class TestShapes:
    def test_pairs_meet_by_seed_and_not_by_order(self):
        """Differences 1, 1, 1 though the arms' rows are shuffled."""
        verdict = Paired("accuracy", "ours", "theirs", 1.0)(results(ours={0: 1, 1: 5, 2: 9}, theirs={2: 8, 0: 0, 1: 4}))
        assert (verdict.outcome, verdict.effect, verdict.low, verdict.high, verdict.n) == ("holds", 1, 1, 1, 3)

    def test_a_seed_that_one_arm_lacks_is_no_pair(self):
        verdict = Paired("accuracy", "ours", "theirs", 1.0)(results(ours={0: 1, 1: 5, 7: 99}, theirs={0: 0, 1: 4, 2: math.nan}))
        assert (verdict.effect, verdict.n) == (1, 2)

    def test_lower_is_better(self):
        given = results(ours={0: 1, 1: 2}, theirs={0: 4, 1: 5})
        assert Paired("accuracy", "ours", "theirs", 3.0, better="lower")(given).outcome == "holds"
        assert Paired("accuracy", "ours", "theirs", 3.0)(given).effect == -3

    def test_the_scale_is_that_of_the_smallest_effect(self):
        verdict = Paired("accuracy", "ours", "theirs", 2.0, scale=100, unit="points")(
            results(ours={0: 0.75, 1: 0.5}, theirs={0: 0.5, 1: 0.25})
        )
        assert (verdict.outcome, verdict.effect, verdict.unit) == ("holds", 25.0, "points")
        assert verdict.detail == "ours 62.5, theirs 37.5 (mean over seeds; higher is better)."

    def test_within_a_range(self):
        verdict = WithinRange("accuracy", "ours", 0.5, 1.0, scale=2)(results(ours={0: 0.25, 1: 0.5, 2: 0.375}))
        assert verdict.effect == 0.75
        assert verdict.low == pytest.approx(0.75 - T3 * 0.25 / math.sqrt(3))
        assert verdict.outcome == "undecided"

    @pytest.mark.parametrize("shape", [Paired("loss", "ours", "theirs", 1.0), WithinRange("loss", "ours", 0.0, 1.0)])
    def test_a_metric_that_nothing_recorded_decides_nothing(self, shape):
        verdict = shape(results(ours={0: 1.0, 1: 1.0}, theirs={0: 0.0, 1: 0.0}))
        assert (verdict.outcome, verdict.n) == ("undecided", 0)

    def test_a_table_that_nothing_recorded_is_empty(self):
        assert list(results().table("steps").columns) == ["arm", "seed"]
        assert results().table("steps").empty


def rounds(ours: dict[int, list[float]], theirs: dict[int, list[float]]) -> Results:
    """Accuracies by seed in the rounds 1, 2, 3, which leave 40, 8 and 6% of the weights."""
    rows = [
        {"arm": arm, "seed": seed, "round": number, "density": density, "accuracy": accuracy}
        for arm, seeds in (("ours", ours), ("theirs", theirs))
        for seed, values in seeds.items()
        for number, density, accuracy in zip((1, 2, 3), (0.4, 0.08, 0.06), values, strict=False)
    ]
    return Results(pd.DataFrame({"arm": [], "seed": []}), {"rounds": pd.DataFrame(rows)})


class TestPairedRows:
    claim = PairedRows("rounds", "accuracy", "ours", "theirs", 25.0, "round", "density", low=0.05, high=0.1, scale=100)

    def test_the_mean_of_a_seed_s_rows_in_the_range(self):
        """Rounds 2 and 3: 0.75 against 0.5 for both seeds; round 1 lies outside."""
        verdict = self.claim(rounds({0: [99, 1.0, 0.5], 1: [99, 0.75, 0.75]}, {1: [-99, 0.25, 0.75], 0: [-99, 0.5, 0.5]}))
        assert (verdict.outcome, verdict.effect, verdict.n) == ("holds", 25.0, 2)
        assert verdict.detail.startswith("ours 75, theirs 50 (mean over seeds and rows with density from 0.05 to 0.1")

    def test_relative_effects_are_in_percent(self):
        claim = dataclasses.replace(self.claim, relative=True, better="lower")
        verdict = claim(rounds({0: [9, 1.0, 0.5], 1: [9, 0.75, 0.75]}, {0: [9, 0.5, 0.5], 1: [9, 0.25, 0.75]}))
        assert verdict.effect == -50.0

    def test_a_row_that_one_arm_lacks_is_no_pair(self):
        verdict = self.claim(rounds({0: [9, 1.0, 0.0], 1: [9, 0.75, 0.0]}, {0: [9, 0.5], 1: [9, 0.25]}))
        assert (verdict.effect, verdict.n) == (50.0, 2)

    @pytest.mark.parametrize("theirs", [{}, {7: [9, 1.0, 1.0]}, {0: [9]}])
    def test_without_a_pair_nothing_is_decided(self, theirs):
        verdict = self.claim(rounds({0: [9, 1.0, 0.5]}, theirs))
        assert (verdict.outcome, verdict.n) == ("undecided", 0)
        assert verdict.detail == "ours and theirs share no row with density in the range."


PAPER_FILE = '''"""What it says.

$$ x = 1 $$
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from core.methods.base import Arm, Claim, Lines, Paired, Paper, Preset, Results, Verdict, param

LIMIT = math.sqrt(4.0)
WEIGHTS = torch.ones(3)


class Net(nn.Module):
    def __init__(self, device: str = torch.device("cpu").type):
        super().__init__()


@torch.no_grad()
def loss(x, scale=torch.pi):
    return x * scale


PAPER = Paper("made-up", "Title", "Author", 2024, "Venue", "theory", "0000.00000", "Idea.", "x = 1")


@dataclass(frozen=True)
class Params:
    steps: int = param(10, "Steps.", low=1, high=int(LIMIT) * 10)


ARMS = (Arm("plain", "Plain", "As it is."), Arm("ours", "Ours", "As proposed.", "method"))
PRESETS = {"smoke": Preset(1, (0,), {"steps": 2})}


def slope(results: Results) -> Verdict:
    return Verdict("holds", torch.tensor(1.0).item())


@dataclass(frozen=True)
class Ratio:
    smallest: float

    def __call__(self, results: Results) -> Verdict:
        return Verdict("undecided", float(torch.tensor(self.smallest)))


CLAIMS: tuple[Claim, ...] = (
    Claim("c1", "It rises.", slope),
    Claim("c2", "It is better.", Paired("accuracy", "ours", "plain", LIMIT)),
    Claim("c3", "It is twice as good.", Ratio(2.0)),
)
VIEWS = (Lines(title="Loss", caption="It falls.", y="loss"),)
BATCHED = True


def run(arm, params, inputs, record):
    record.result(accuracy=float(WEIGHTS.sum()))
'''


@pytest.fixture
def gallery(tmp_path, monkeypatch) -> Path:
    """A gallery of one made-up paper, on a machine where torch cannot be imported."""
    (tmp_path / "theory").mkdir()
    (tmp_path / "theory" / "__init__.py").write_text("")
    (tmp_path / "theory" / "made_up.py").write_text(PAPER_FILE)
    monkeypatch.delenv("PROVING_GROUND_PAPERS", raising=False)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    for function in (registry.paths, registry.catalogue):
        monkeypatch.setattr(registry, function.__name__, functools.cache(function.__wrapped__))
    return tmp_path


class TestCatalogue:
    def test_a_declaration_is_read_without_what_it_computes_with(self, gallery):
        method = registry.declared("made-up")
        assert method.paper.title == "Title"
        assert method.text.startswith("What it says.")
        assert method.params["steps"].high == 20
        assert [arm.name for arm in method.arms] == ["plain", "ours"]
        assert method.make_params("smoke").steps == 2
        assert method.views == (Lines(title="Loss", caption="It falls.", y="loss"),)
        assert (method.inputs, method.batched) == (("own",), True)

    def test_claims_keep_their_shape(self, gallery):
        by_function, paired, by_class = registry.declared("made-up").claims
        assert by_function.decide.__name__ == "slope"
        assert paired.decide == Paired("accuracy", "ours", "plain", 2.0)
        assert by_class.decide.smallest == 2.0

    def test_a_broken_file_is_left_out_and_says_what_it_lacks(self, gallery, caplog):
        path = gallery / "theory" / "made_up.py"
        path.write_text(PAPER_FILE.replace("VIEWS = ", "PICTURES = "))
        assert registry.catalogue() == {}
        lacks = "made_up.py declares no VIEWS; core/methods/base.py says"
        assert lacks in caplog.text
        with pytest.raises(TypeError, match=lacks):
            registry.declared("made-up")

    def test_papers_stand_by_family_and_year(self, gallery):
        for family, name, year in [("theory", "older", 1999), ("compression", "newer", 2025)]:
            (gallery / family).mkdir(exist_ok=True)
            text = PAPER_FILE.replace('"made-up"', f'"{name}"').replace("2024", str(year)).replace('"theory"', f'"{family}"')
            (gallery / family / f"{name}.py").write_text(text)
        assert list(registry.catalogue()) == ["newer", "older", "made-up"]

    def test_an_unknown_slug_offers_near_ones(self, gallery):
        with pytest.raises(registry.UnknownMethod, match="no paper 'madeup'; did you mean made-up"):
            registry.load("madeup")
        with pytest.raises(registry.UnknownMethod, match="no paper 'xyz'; `python -m core list` names them all"):
            registry.declared("xyz")


def declaration(value: Any) -> Any:
    """A declaration's content, comparable however it was read: functions and a paper's own classes by their names."""
    if isinstance(value, dict):
        return {key: declaration(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(declaration(item) for item in value)
    if isinstance(value, type):
        return value.__name__
    if dataclasses.is_dataclass(value):
        return type(value).__name__, {field.name: declaration(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value.__name__ if callable(value) else value


@pytest.mark.parametrize("slug", registry.paths())
def test_the_catalogue_says_what_the_file_says(slug):
    declared, loaded = registry.declared(slug), registry.load(slug)
    assert declaration(declared.params) == declaration(loaded.params)
    for field in dataclasses.fields(Method):
        assert declaration(getattr(declared, field.name)) == declaration(getattr(loaded, field.name)), field.name


def test_the_catalogue_is_read_without_torch():
    code = "import sys; from core.methods import registry; print(*registry.catalogue(), *sys.modules.keys() & {'torch', 'pandas'})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == list(registry.catalogue())
