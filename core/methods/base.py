"""The contract of a method: what one paper's file declares.

A paper's file core/methods/<family>/<paper>.py holds, in this order,

    a docstring            what the paper says, its central equation, the reference (Markdown, shown on the page)
    functions, nn.Modules  the algorithm itself, usable on its own by anyone who imports it
    PAPER                  Paper: where it was published and its idea in one sentence
    Params                 a frozen dataclass whose fields are made by `param`: the page builds its controls from them
    ARMS                   tuple of Arm: what competes; the first is the baseline
    PRESETS                dict of Preset: smoke, quick, standard, paper; more may follow
    CLAIMS                 tuple of Claim: what the paper says, made falsifiable
    VIEWS                  tuple of views (Lines, Points, ...): the pictures, the first is the hero
    run(arm, params, inputs, record)   trains or computes ONE arm for the seeds in `inputs.seeds`, and records

and, where the default does not fit, INPUTS (what it accepts) and BATCHED (all seeds of an arm in one call).

This module imports neither torch nor pandas at the top: the gallery reads declarations before either is loaded.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

if typing.TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from core.recorder import Recorder

FAMILIES = {
    "metric_learning": "Metric learning",
    "contrastive": "Contrastive learning",
    "classification": "Classification and calibration",
    "compression": "Compression",
    "dynamics": "Training dynamics",
    "theory": "Theory",
    "language_models": "Language models",
    "applications": "Applications",
}

InputKind = Literal["own", "images", "text", "tabular", "features", "weights", "two-models"]
PRESET_NAMES = ("smoke", "quick", "standard", "paper")


@dataclass(frozen=True)
class Paper:
    """Where a paper was published. `equation` is LaTeX without dollar signs; `family` is a key of FAMILIES."""

    slug: str
    title: str
    authors: str
    year: int
    venue: str
    family: str
    arxiv: str
    idea: str
    equation: str
    code: str = ""

    @property
    def url(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}"


def tool(slug: str, title: str, idea: str) -> Paper:
    """What a tool of core/lab declares as PAPER: a method that works on a person's own model or data, and tests no claim."""
    return Paper(slug, title, authors="", year=0, venue="", family="lab", arxiv="", idea=idea, equation="")


# --- parameters -------------------------------------------------------------------------------------------------


class ParameterError(ValueError):
    """A parameter outside what its field allows. The message says which, what was given and what is allowed."""


def param(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str | int | float] | None = None,
    unit: str = "",
) -> Any:
    """A field of a Params dataclass: a number within [low, high], one of `choices`, a bool, or a tuple of numbers or choices.

    Args:
        default: the value of the `standard` preset unless a preset says otherwise; its type is the field's type.
        help: one sentence for the person at the control.
    """
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices, "unit": unit})


@dataclass(frozen=True)
class ParamSpec:
    """One parameter as a control needs it. `kind` is the type of the value, or of a tuple's elements when `many`."""

    name: str
    kind: type
    many: bool
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None
    unit: str

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        if self.kind is bool:
            return "true or false"
        if self.choices:
            what = "one of " + ", ".join(map(str, self.choices))
        else:
            noun = "a whole number" if self.kind is int else "a number"
            if self.low is not None and self.high is not None:
                what = f"{noun} from {self.low:g} to {self.high:g}"
            elif self.low is not None:
                what = f"{noun} of at least {self.low:g}"
            elif self.high is not None:
                what = f"{noun} of at most {self.high:g}"
            else:
                what = noun
        return f"a list, each {what}" if self.many else what

    def parse(self, value: Any) -> Any:
        """`value` (also as text, lists separated by commas) as this parameter's type.

        Raises:
            ParameterError: not of the type, not finite, or outside what is allowed.
        """
        if self.many:
            items = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
            if not isinstance(items, (list, tuple)) or not items:
                raise self._refuse(value)
            return tuple(self._parse_one(item, value) for item in items)
        return self._parse_one(value, value)

    def _parse_one(self, value: Any, given: Any) -> Any:
        parsed: Any
        if self.kind is bool:
            parsed = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())
            if parsed is None:
                raise self._refuse(given)
            return parsed
        if self.kind is str:
            parsed = str(value)
        else:
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                raise self._refuse(given) from None
            if isinstance(value, bool) or not math.isfinite(number) or (self.kind is int and number != int(number)):
                raise self._refuse(given)
            parsed = int(number) if self.kind is int else number
        too_low = self.low is not None and parsed < self.low
        too_high = self.high is not None and parsed > self.high
        if too_low or too_high or (self.choices and parsed not in self.choices):
            raise self._refuse(given)
        return parsed

    def _refuse(self, value: Any) -> ParameterError:
        given = repr(value)
        given = given if len(given) <= 80 else f"{given[:80]}…"
        return ParameterError(f"{self.name} is {given}; allowed: {self.allowed}.")


def param_specs(params_class: type) -> dict[str, ParamSpec]:
    """The parameters of a Params dataclass, by name, in order."""
    specs = {}
    for item in dataclasses.fields(params_class):
        default: Any = item.default
        many = isinstance(default, tuple)
        sample = default[0] if many else default
        meta = item.metadata
        choices = tuple(meta["choices"]) if meta["choices"] else None
        specs[item.name] = ParamSpec(
            item.name, type(sample), many, default, meta["help"], meta["low"], meta["high"], choices, meta["unit"]
        )
    return specs


def make_params(params_class: type, values: Mapping[str, Any]) -> Any:
    """A Params of `values`, checked.

    Raises:
        ParameterError: an unknown name or a value outside what its field allows.
    """
    specs = param_specs(params_class)
    for name in values:
        if name not in specs:
            raise ParameterError(f"There is no parameter {name!r}; there are: {', '.join(specs)}.")
    return params_class(**{name: specs[name].parse(value) for name, value in values.items()})


# --- arms, presets, inputs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """One competitor. Arms named in `after` run first, seed by seed, and what they recorded is in `inputs.recorded`.

    An arm of role "ablation" is offered, but runs only where a preset or a person asks for it.
    """

    name: str
    title: str
    help: str
    role: Literal["baseline", "method", "ablation"] = "baseline"
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """A fixed experiment. `seconds` is the wall clock of all arms and seeds on 2 CPU cores with two workers (`paper`: an H100)."""

    seconds: float
    seeds: tuple[int, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    arms: tuple[str, ...] | None = None  # None: all arms that are no ablations
    needs: Literal["", "cuda"] = ""  # what the machine must have; where it is missing, the preset is offered with the reason


@dataclass(frozen=True)
class Features:
    """Frozen features of a model on a data set: vectors (n, d), labels (n,) integers, and the names of the classes.

    Where the model classifies: logits (n, outputs), and targets (n,), the labels as columns of the logits, -1 where there is none.
    """

    vectors: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    logits: np.ndarray | None = None
    targets: np.ndarray | None = None


@dataclass(frozen=True)
class Recorded:
    """One array that an earlier arm recorded. `part` names it where a record has several ("vectors", "labels")."""

    kind: str
    name: str
    step: int
    part: str
    array: np.ndarray


@dataclass(frozen=True)
class Inputs:
    """What `run` is given beside its parameters.

    Attributes:
        seeds: one seed, or all of them where the method declares BATCHED.
        device: "cpu", "cuda", "mps", ...
        recorded: for every arm named in Arm.after, the arrays it recorded with the same seed, in order.
        features: frozen features of a snapshot, where INPUTS offers "features" and a person chose one; else None.
        against: those of a second snapshot of the same items, where INPUTS offers "two-models".
        weights: a Hub model as owner/name@revision, where INPUTS offers "weights" and a person chose one; models.hub loads it.
        upload: an uploaded data set as the Parquet file that core.data.uploads made of it.
    """

    seeds: tuple[int, ...]
    device: str = "cpu"
    recorded: Mapping[str, Sequence[Recorded]] = field(default_factory=dict)
    features: Features | None = None
    against: Features | None = None
    weights: str | None = None
    upload: bytes | None = None

    @property
    def seed(self) -> int:
        """The seed of a method that runs one at a time."""
        (seed,) = self.seeds
        return seed

    def arrays(self, arm: str, kind: str, step: int | None = None) -> dict[str, np.ndarray]:
        """What `arm` recorded of one kind, by name: `inputs.arrays("ticket", "mask", step=2)` gives the masks by layer."""
        return {r.name: r.array for r in self.recorded[arm] if r.kind == kind and (step is None or r.step == step)}


# --- claims and verdicts ----------------------------------------------------------------------------------------

Outcome = Literal["holds", "does not hold", "undecided", "not testable here"]


@dataclass(frozen=True)
class Verdict:
    """What a run says about a claim.

    Attributes:
        effect, low, high: the estimate and its 95% interval; NaN where there is none.
        n: how many paired seeds (or other units that `detail` names) the interval rests on.
        smallest: the smallest effect that counts, drawn as a mark beside the interval; NaN where there is none.
        unit: what the effect is measured in, as written after the number.
        detail: one sentence with the figures a reader needs to check the verdict.
    """

    outcome: Outcome
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    smallest: float = math.nan
    unit: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Results:
    """Everything that a run recorded as results and tables, for claims to look at.

    Attributes:
        metrics: one row per arm and seed: columns arm, seed, and every metric (NaN where an arm has none).
        tables: by name; columns arm, seed, and the table's own.
    """

    metrics: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]

    def by_seed(self, arm: str, metric: str) -> pd.Series:
        """The metric of one arm, indexed by seed, without missing values."""
        if metric not in self.metrics:
            return self.metrics["seed"].iloc[:0].astype(float)
        rows = self.metrics[self.metrics["arm"] == arm]
        return rows.set_index("seed")[metric].dropna().sort_index()

    def table(self, name: str) -> pd.DataFrame:
        """A table, empty with the columns arm and seed where nothing was recorded."""
        import pandas as pd

        return self.tables.get(name, pd.DataFrame({"arm": [], "seed": []}))

    def grid(self, table: str, arm: str, column: str, value: str) -> pd.DataFrame:
        """A table's value for one arm: a row for each seed, a column for each entry of `column`; empty where there is none."""
        rows = self.table(table)
        if not {column, value} <= set(rows):
            return rows.iloc[:0, :0]
        return rows[rows["arm"] == arm].pivot_table(index="seed", columns=column, values=value)


class Decide(Protocol):
    """How a claim is decided: one of the shapes below, or a function of a paper's own file."""

    def __call__(self, results: Results) -> Verdict: ...


@dataclass(frozen=True)
class Claim:
    """A falsifiable statement of the paper.

    `decide` is called too where the precondition fails or a person left arms out; its Verdict rests on n of at least 1, or is
    "not testable here".

    Attributes:
        evidence: what the paper itself reports, with its figure or table.
        precondition: returns why the claim cannot be tested here (with the figure that says so), or "" where it can.
    """

    id: str
    text: str
    decide: Decide
    evidence: str = ""
    precondition: Callable[[Results], str] | None = None


def decide_by_interval(values: Sequence[float], smallest: float, unit: str = "", detail: str = "", null: float = 0.0) -> Verdict:
    """The rule of the house on paired differences in the direction of the claim.

    `holds` when the 95% t-interval lies above `null` and the mean reaches `smallest`; `does not hold` when the interval lies
    below `smallest`; else `undecided`. One value has no interval and stays undecided.
    """
    from core.measures.statistics import t_interval

    effect, low, high = t_interval(values)
    if len(values) < 2:
        outcome: Outcome = "undecided"
        detail = f"{detail} An interval needs at least two seeds.".strip()
    elif low > null and effect >= smallest:
        outcome = "holds"
    elif high < smallest:
        outcome = "does not hold"
    else:
        outcome = "undecided"
    return Verdict(outcome, effect, low, high, len(values), smallest, unit, detail)


@dataclass(frozen=True)
class Paired:
    """Arm minus another, seed by seed, must be at least `smallest` in the claimed direction (see decide_by_interval)."""

    metric: str
    arm: str
    against: str
    smallest: float
    better: Literal["higher", "lower"] = "higher"
    scale: float = 1.0  # 100 shows a share in points
    unit: str = ""

    def __call__(self, results: Results) -> Verdict:
        ours, theirs = results.by_seed(self.arm, self.metric), results.by_seed(self.against, self.metric)
        seeds = ours.index.intersection(theirs.index)
        sign = 1.0 if self.better == "higher" else -1.0
        differences = sign * self.scale * (ours.loc[seeds] - theirs.loc[seeds])
        detail = (
            f"{self.arm} {self.scale * ours.loc[seeds].mean():.4g}, {self.against} {self.scale * theirs.loc[seeds].mean():.4g} "
            f"(mean over seeds; {self.better} is better)."
        )
        return decide_by_interval(list(differences), self.smallest, self.unit, detail)


@dataclass(frozen=True)
class PairedRows:
    """Like Paired, on a table: for each seed the mean over the entries of `column` at which `low` <= `within` <= `high`.

    `column` counts the rows of both arms (the round, the noise level), `within` is a value of `arm`'s rows (the density). With
    `relative` the effect is the share by which one mean exceeds the other, in percent; otherwise their difference.
    """

    table: str
    value: str
    arm: str
    against: str
    smallest: float
    column: str
    within: str
    low: float = -math.inf
    high: float = math.inf
    better: Literal["higher", "lower"] = "higher"
    relative: bool = False
    scale: float = 1.0
    unit: str = ""

    def pair(self, results: Results, value: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """A value of the two arms where both have it within the range: rows are seeds, columns the entries of `column`."""
        place = results.grid(self.table, self.arm, self.column, self.within).mean()
        ours, theirs = (results.grid(self.table, arm, self.column, value or self.value) for arm in (self.arm, self.against))
        ours, theirs = ours.align(theirs, join="inner")
        both = ours.notna() & theirs.notna()
        chosen = [entry for entry in ours.columns if self.low <= place[entry] <= self.high]
        return ours.where(both)[chosen], theirs.where(both)[chosen]

    def __call__(self, results: Results) -> Verdict:
        ours, theirs = (frame.mean(axis=1) for frame in self.pair(results))
        if not len(ours.dropna()):
            return Verdict("undecided", detail=f"{self.arm} and {self.against} share no row with {self.within} in the range.")
        effects = (ours / theirs - 1) * 100 if self.relative else (ours - theirs) * self.scale
        sign = 1.0 if self.better == "higher" else -1.0
        detail = (
            f"{self.arm} {self.scale * ours.mean():.4g}, {self.against} {self.scale * theirs.mean():.4g} "
            f"(mean over seeds and rows with {self.within} from {self.low:g} to {self.high:g}; {self.better} is better)."
        )
        return decide_by_interval(list(sign * effects.dropna()), self.smallest, self.unit, detail)


@dataclass(frozen=True)
class WithinRange:
    """One arm's metric must lie in [low, high]: the whole interval inside holds, the whole interval outside does not."""

    metric: str
    arm: str
    low: float = -math.inf
    high: float = math.inf
    scale: float = 1.0
    unit: str = ""

    def __call__(self, results: Results) -> Verdict:
        values = list(self.scale * results.by_seed(self.arm, self.metric))
        detail = f"{self.arm}: allowed from {self.low:g} to {self.high:g}."
        return decide_within(values, self.low, self.high, self.unit, detail)


def decide_within(
    values: Sequence[float], low: float = -math.inf, high: float = math.inf, unit: str = "", detail: str = ""
) -> Verdict:
    """`holds` when the 95% t-interval lies inside [low, high], `does not hold` when outside, else `undecided`."""
    from core.measures.statistics import t_interval

    effect, lower, upper = t_interval(values)
    if len(values) < 2:
        outcome: Outcome = "undecided"
        detail = f"{detail} An interval needs at least two seeds.".strip()
    elif lower >= low and upper <= high:
        outcome = "holds"
    elif upper < low or lower > high:
        outcome = "does not hold"
    else:
        outcome = "undecided"
    edge = low if math.isfinite(low) else high
    return Verdict(outcome, effect, lower, upper, len(values), edge, unit, detail)


def weakest(*outcomes: Outcome) -> Outcome:
    """Of a claim that says several things: it holds where all of them do, and does not where one does not."""
    order: tuple[Outcome, ...] = ("not testable here", "does not hold", "undecided", "holds")
    return min(outcomes, key=order.index)


# --- views: which record is drawn how. The pictures themselves are in core/charts --------------------------------


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture of what was recorded. `caption` tells the reader what to look for.

    `where` keeps only rows (or arrays) whose columns have the given value or one of the given tuple of values.
    """

    title: str
    caption: str
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Lines(View):
    """Curves with the mean and a 95% band over seeds.

    `table` names a recorded table; without it, `y` names scalars, and `x` is "step" or "seconds" (since the cell began, all that it
    computed before included). `colour` and `facet` are columns; for scalars these are "arm" and "series". `dashed` and `rule` name
    values of `colour`: drawn in dashes; as a horizontal rule at their mean.
    """

    y: str
    x: str = "step"
    table: str = ""
    colour: str = "arm"
    facet: str = ""
    log_x: bool = False
    log_y: bool = False
    reverse_x: bool = False
    x_title: str = ""
    y_title: str = ""
    y_format: str = ""
    x_format: str = ""
    dashed: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, kw_only=True)
class Points(View):
    """Dots from a table, one a row. `fit` adds a straight line per colour (on the axes' scales).

    `frame` names a column with a slider; `segments` names a table of lines over the dots, with columns x, y, x2, y2 (and those
    that `frame` and `facet` name).
    """

    table: str
    x: str
    y: str
    colour: str = "arm"
    shape: str = ""
    facet: str = ""
    frame: str = ""
    segments: str = ""
    fit: bool = False
    log_x: bool = False
    log_y: bool = False
    x_title: str = ""
    y_title: str = ""


@dataclass(frozen=True, kw_only=True)
class Bars(View):
    """Mean with its 95% interval over seeds, and a dot a seed. Without `table`, `y` is a metric of the results."""

    y: str
    x: str = "arm"
    table: str = ""
    colour: str = "arm"
    facet: str = ""
    y_title: str = ""
    y_format: str = ""


@dataclass(frozen=True, kw_only=True)
class Heatmap(View):
    """Recorded matrices of one name, a panel per `facet` ("step", "arm" or "seed"), each the mean over seeds (or see `where`)."""

    matrix: str
    facet: str = "step"
    facet_title: str = ""
    x_title: str = ""
    y_title: str = ""
    value_title: str = ""
    diverging: bool = False


@dataclass(frozen=True, kw_only=True)
class Histogram(View):
    """Distribution of the entries of recorded matrices of one name, a panel per `facet`."""

    matrix: str
    facet: str = "step"
    facet_title: str = ""
    x_title: str = ""


@dataclass(frozen=True, kw_only=True)
class Images(View):
    """Recorded images of one name: (n, height, width) grey or (n, height, width, 3), values in [0, 1]; one row an arm."""

    images: str


@dataclass(frozen=True, kw_only=True)
class Reliability(View):
    """Reliability diagram of the recorded predictions with intervals and counts, a panel per arm."""

    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Embedding(View):
    """Recorded embeddings in their first two principal directions, coloured by label, a panel per arm, a slider over steps."""

    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Stack(View):
    """Views one above the other that share the x axis."""

    views: tuple[Lines, ...]


def shown_by(view: View) -> list[tuple[str, str]]:
    """What a view draws, as (kind, name): kinds are scalars, table, results, and those of arrays."""
    match view:
        case Stack(views=views):
            return [record for inner in views for record in shown_by(inner)]
        case Lines(table="", y=name):
            return [("scalars", name)]
        case Bars(table="", y=name):
            return [("results", name)]
        case Points(table=name, segments=segments) if segments:
            return [("table", name), ("table", segments)]
        case Lines(table=name) | Bars(table=name) | Points(table=name):
            return [("table", name)]
        case Heatmap(matrix=name) | Histogram(matrix=name):
            return [("matrix", name)]
        case Images(images=name):
            return [("images", name)]
        case Reliability(name=name):
            return [("predictions", name)]
        case Embedding(name=name):
            return [("embedding", name)]
    raise TypeError(f"{type(view).__name__} is no view.")


# --- the whole --------------------------------------------------------------------------------------------------


class Run(Protocol):
    """Trains or computes one arm for `inputs.seeds` and records; it returns nothing."""

    def __call__(self, arm: str, params: Any, inputs: Inputs, record: Recorder) -> None: ...


@dataclass(frozen=True)
class Method:
    """A paper's file as the rest of the house sees it. Built by core.methods.registry from the file's names."""

    paper: Paper
    text: str
    params_class: type
    arms: tuple[Arm, ...]
    presets: Mapping[str, Preset]
    claims: tuple[Claim, ...]
    views: tuple[View, ...]
    inputs: tuple[InputKind, ...]
    batched: bool
    run: Run
    source: str  # path of the file

    @property
    def slug(self) -> str:
        return self.paper.slug

    @property
    def params(self) -> dict[str, ParamSpec]:
        return param_specs(self.params_class)

    def arm(self, name: str) -> Arm:
        """Raises: ParameterError with the names there are."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ParameterError(f"{self.slug} has no arm {name!r}; there are: {', '.join(arm.name for arm in self.arms)}.")

    def preset(self, name: str) -> Preset:
        """Raises: ParameterError with the names there are."""
        if name not in self.presets:
            raise ParameterError(f"{self.slug} has no preset {name!r}; there are: {', '.join(self.presets)}.")
        return self.presets[name]

    def default_arms(self, preset: str) -> tuple[str, ...]:
        chosen = self.preset(preset).arms
        return chosen or tuple(arm.name for arm in self.arms if arm.role != "ablation")

    def with_needed(self, arms: Sequence[str]) -> tuple[str, ...]:
        """`arms` and all that they come after, in the declared order."""
        wanted: set[str] = set()
        pending = list(arms)
        while pending:
            arm = self.arm(pending.pop())
            if arm.name not in wanted:
                wanted.add(arm.name)
                pending.extend(arm.after)
        return tuple(arm.name for arm in self.arms if arm.name in wanted)

    def make_params(self, preset: str, values: Mapping[str, Any] | None = None) -> Any:
        """The preset's parameters with `values` over them, checked. Raises: ParameterError."""
        return make_params(self.params_class, {**self.preset(preset).params, **(values or {})})
