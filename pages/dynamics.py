"""Training dynamics: curves of any runs over each other, spectra and norms of what they recorded, and phase portraits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import engine
from core.charts import Axis, Key, lines, trajectory
from pages import curves, exports, pictures, visitor, wording

POINTS = 4000  # of a curve, before it is smoothed
PATH_POINTS = 20_000  # of a curve that is read off at another's steps
STEPS = 40  # whose spectra are computed
SHOWN = 8  # singular values
LARGEST = 512  # rows or columns, whichever are fewer, of a matrix whose spectrum a page computes
SCRIPT = """from core.recorder import open_run

with open_run("my experiment", params={"lr": 0.1}) as record:
    ...
    record.scalars(step, loss=loss)"""

server = engine()
store = server.store


# --- which runs ---------------------------------------------------------------------------------------------------


def choose_runs(runs: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """The runs to look at, which are in the URL."""
    linked = [run for run in curves.chosen() if run in names]
    if st.session_state.get("runs_shown") != linked:
        st.session_state["runs_shown"] = linked
    return st.multiselect(
        "Runs",
        list(names),
        format_func=names.__getitem__,
        key="runs_shown",
        max_selections=curves.COMPARABLE,
        placeholder="Choose runs; those of your own scripts are among them",
        on_change=lambda: curves.choose(st.session_state["runs_shown"]),
    )


def record_your_own() -> None:
    """How a person's own script gets here."""
    st.markdown("Three lines in your own training script, whether this app is open or not:")
    st.code(SCRIPT, language="python")
    st.caption(
        f"Run it with Proving Ground's folder in `PYTHONPATH`. It records for the store `{store.path}`, "
        "which `PROVING_GROUND_STORE` names; the run shows up here within a second."
    )


def arms_of(frame: pd.DataFrame) -> pd.DataFrame:
    """With the column `curve`: of run, arm and series as much as tells the curves apart; the run where nothing does."""
    several = frame.groupby("run")["arm"].transform("nunique") > 1
    parts = [
        frame["run"] if frame["run"].nunique() > 1 else "",
        np.where(several, frame["arm"], ""),
        frame["series"] if frame["series"].nunique() > 1 else "",
    ]
    columns = pd.DataFrame({place: part for place, part in enumerate(parts)}, index=frame.index).astype(str)
    names = [" · ".join(filter(None, row)) for row in columns.itertuples(index=False)]
    return frame.assign(curve=np.where(np.array(names, dtype=object) == "", frame["run"], names))


# --- curves -------------------------------------------------------------------------------------------------------


def axis_controls() -> tuple[str, bool, bool, float]:
    """x, whether the axes are logarithmic, and the smoothing."""
    with st.container(horizontal=True, vertical_alignment="center"):
        x = st.segmented_control("Against", ["step", "seconds"], default="step", required=True, key="against", bind="query-params")
        weight = st.slider(
            "Smoothing", 0.0, 0.99, 0.0, 0.01, key="smoothing", bind="query-params", width=260,
            help="Weight of the past in an exponential moving average over the recorded points; 0 leaves them as they are.",
        )  # fmt: skip
        log_x = st.toggle("Log x", key="log_x", bind="query-params")
        log_y = st.toggle("Log y", key="log_y", bind="query-params")
        apart = st.toggle(
            "Every seed", key="every_seed", bind="query-params", help="Each seed as a curve of its own, not the mean."
        )
    st.session_state["apart"] = apart
    return x, log_x, log_y, weight


def draw_curves(named: dict[str, str], names: list[str]) -> None:
    """One chart a quantity, with the runs over each other."""
    x, log_x, log_y, weight = axis_controls()
    for name in names:
        frame = curves.together(store, named, name, x, POINTS if weight else 400)
        draw_frame(curves.smoothed(frame, weight), name, x, log_x, log_y)
    if weight:
        st.caption(f"Smoothed: each point has {100 * (1 - weight):.0f}% of the new value and the rest of the past.")


def draw_frame(frame: pd.DataFrame, name: str, x: str, log_x: bool, log_y: bool) -> None:
    """The curves of one quantity, as means over seeds with their 95% interval, or seed by seed."""
    frame = arms_of(frame)
    if frame.empty:
        return
    if st.session_state.get("apart"):
        label = frame["curve"] + np.where(
            frame.groupby("curve")["seed"].transform("nunique") > 1, " · seed " + frame["seed"].astype(str), ""
        )
        frame = frame.assign(curve=label)
    across = Axis(x, "seconds since the start" if x == "seconds" else "step", log=log_x)
    up = Axis("value", name.replace("_", " "), log=log_y)
    picture = pictures.of_lines(frame, across, up, "curve")
    pictures.draw(picture)
    exports.chart_menu(picture, f"{name} by {x}")


# --- spectra and norms --------------------------------------------------------------------------------------------


def matrices(named: dict[str, str]) -> pd.DataFrame:
    """What matrices there are: run (its identity), arm, seed, name, step, shape."""
    found = [store.array_index(run).assign(run=run) for run in named]
    index = pd.concat(found) if found else pd.DataFrame(columns=["kind"])
    return index[(index["kind"] == "matrix") & ~index["dtype"].isin(["bool"])]


@st.cache_data(max_entries=5000, show_spinner=False)
def singular_values(run: str, finished: str, name: str, arm: str, seed: int, step: int) -> np.ndarray | None:
    """Of a recorded array, largest first; None where it is larger than LARGEST, or not finite.

    Beyond two dimensions all axes after the first are laid side by side; of a vector they are its entries' sizes.
    """
    array = np.asarray(store.arrays(run, "matrix", name, arm, seed, step)["array"].iloc[-1], dtype=float)
    if not np.isfinite(array).all():
        return None
    if array.ndim < 2:
        return np.sort(np.abs(array.ravel()))[::-1]
    matrix = array.reshape(len(array), -1)
    return None if min(matrix.shape) > LARGEST else np.linalg.svd(matrix, compute_uv=False)


def spectra(named: dict[str, str], index: pd.DataFrame, name: str) -> tuple[pd.DataFrame, int]:
    """Singular values as rows: run, arm, seed, series, step, number (from 1), value; and how many matrices were left out."""
    index, rows, left_out = index[index["name"] == name], [], 0
    finished = {run: str(store.run(run)["finished"]) for run in index["run"].unique()}
    for (run, arm, seed), group in index.groupby(["run", "arm", "seed"], sort=False):
        steps = sorted(group["step"].unique())
        steps = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, min(len(steps), STEPS)).round().astype(int))]
        for step in steps:
            values = singular_values(run, finished[run], name, arm, int(seed), int(step))
            if values is None:
                left_out += 1
                continue
            facts = {"run": named[run], "arm": arm, "seed": seed, "series": "", "step": step}
            rows += [{**facts, "number": number, "value": value} for number, value in enumerate(values, 1)]
    return pd.DataFrame(rows, columns=["run", "arm", "seed", "series", "step", "number", "value"]), left_out


def draw_spectra(named: dict[str, str]) -> None:
    """Singular values of a recorded matrix over the steps, or the whole spectrum at several steps; a panel a run and arm."""
    index = matrices(named)
    if index.empty:
        st.info("None of these runs recorded a matrix: `record.matrix(step, name, weight)` does.", icon=":material/grid_off:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        name = st.selectbox("Matrix", sorted(index["name"].unique()), key="matrix", bind="query-params", width=260)
        way = st.segmented_control(
            "Spectrum", ["over steps", "at steps"], default="over steps", required=True, key="spectrum", bind="query-params"
        )
        log_y = st.toggle("Log y", True, key="log_spectrum", bind="query-params")
    frame, left_out = spectra(named, index, name)
    if not frame.empty:
        frame = arms_of(frame)
        up = Axis("value", "Singular value", log=log_y)
        if way == "over steps":
            frame = frame[frame["number"] <= SHOWN]
            keys = [Key(number, f"no. {number}", "level") for number in sorted(frame["number"].unique())]
            chart = lines(frame, Axis("step"), up, colour="number", keys=keys, facet="curve", dark=pictures.is_dark())
            words = f"The {min(SHOWN, frame['number'].max())} largest singular values of “{name}” over the steps."
        else:
            steps = sorted(frame["step"].unique())
            steps = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 6)).round().astype(int))]
            keys = [Key(step, str(step), "level") for step in steps]
            frame = frame[frame["step"].isin(steps)]
            chart = lines(frame, Axis("number", "Number of the singular value"), up, colour="step", keys=keys, facet="curve",
                          dark=pictures.is_dark())  # fmt: skip
            words = f"The singular values of “{name}”, largest first, at {len(steps)} of the recorded steps."
        picture = pictures.of_chart(chart)
        pictures.draw(picture)
        exports.chart_menu(picture, f"spectrum of {name}", wording.plain(words))
    if left_out:
        st.caption(f"Matrices left out, not finite or of more than {LARGEST} rows and columns: {left_out}.")


def norms_of(named: dict[str, str], index: pd.DataFrame, name: str) -> pd.DataFrame:
    """The Frobenius norm of a recorded matrix over the steps, as `together` gives curves."""
    frame, _ = spectra(named, index, name)
    squares = frame.assign(value=frame["value"] ** 2)
    keys = ["run", "arm", "seed", "series", "step"]
    return squares.groupby(keys, as_index=False, sort=False)["value"].sum().assign(value=lambda rows: np.sqrt(rows["value"]))


def draw_norms(named: dict[str, str]) -> None:
    """Whatever was recorded as a norm, and the norms of the recorded matrices."""
    index = matrices(named)
    recorded = {name: name for name in curves.recorded(store, named) if "norm" in name.lower()}
    computed = {f"Frobenius norm of {name}": name for name in sorted(index["name"].unique())}
    if not recorded and not computed:
        st.info(
            "None of these runs recorded a norm: `record.scalars(step, gradient_norm=norm)` does.", icon=":material/straighten:"
        )
        return
    names = [*recorded, *computed]
    shown = st.pills(
        "Norms", names, selection_mode="multi", default=names[:2], format_func=wording.option, key="norms", bind="query-params"
    )
    x, log_x, log_y, weight = axis_controls()
    for name in shown:
        if name in recorded:
            draw_frame(
                curves.smoothed(curves.together(store, named, name, x, POINTS if weight else 400), weight), name, x, log_x, log_y
            )
        else:
            draw_frame(curves.smoothed(norms_of(named, index, computed[name]), weight), name, "step", log_x, log_y)


# --- phase portraits ----------------------------------------------------------------------------------------------


def paths(named: dict[str, str], x: str, y: str) -> pd.DataFrame:
    """Moments at which x was recorded, with y read off by straight lines between its own points: curve, seed, step, x, y."""
    ways = []
    for run, name in named.items():
        across, up = (store.curves(run, curve, points=PATH_POINTS) for curve in (x, y))
        for key, rows in across.groupby(["arm", "seed", "series"], sort=False):
            other = up[(up["arm"] == key[0]) & (up["seed"] == key[1]) & (up["series"] == key[2])]
            inside = rows[(rows["step"] >= other["step"].min()) & (rows["step"] <= other["step"].max())]
            if len(inside) and len(other):
                at = np.interp(inside["step"], other["step"], other["value"])
                ways.append(inside.assign(run=name, x=inside["value"], y=at))
    return arms_of(pd.concat(ways)) if ways else pd.DataFrame()


def draw_portrait(named: dict[str, str]) -> None:
    """Two quantities against each other, the time as colour."""
    names = curves.recorded(store, named)
    if len(names) < 2:
        st.info("A phase portrait needs two curves of one run.", icon=":material/scatter_plot:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        x = st.selectbox("Across", names, key="across", bind="query-params", width=220)
        y = st.selectbox("Up", names, index=1, key="up", bind="query-params", width=220)
        log_x = st.toggle("Log x", key="log_across", bind="query-params")
        log_y = st.toggle("Log y", key="log_up", bind="query-params")
        log_time = st.toggle("Log time", key="log_time", bind="query-params")
    frame = paths(named, x, y)
    if frame.empty:
        st.info(
            f"No run recorded both {wording.plain(x)} and {wording.plain(y)} over the same steps.", icon=":material/scatter_plot:"
        )
        return
    chart = trajectory(
        frame, Axis("x", x.replace("_", " "), log=log_x), Axis("y", y.replace("_", " "), log=log_y), Axis("step", log=log_time),
        panel="curve", dark=pictures.is_dark(),
    )  # fmt: skip
    picture = pictures.of_chart(chart)
    pictures.draw(picture)
    exports.chart_menu(
        picture, f"{y} against {x}", "Where a path turns, one of the two goes on without the other. Each seed is a path."
    )


# --- the page -----------------------------------------------------------------------------------------------------


def draw(named: dict[str, str], show: str) -> None:
    """What was asked for, again and again while a run is under way."""
    with st.container(key="live"), st.container(key="picture"):
        if show == "Curves":
            names = curves.recorded(store, named)
            if not names:
                st.info("These runs recorded no curves.", icon=":material/show_chart:")
                return
            shown = st.pills(
                "Curves", names, selection_mode="multi", default=names[:1], format_func=wording.option, key="curves",
                bind="query-params",
            )  # fmt: skip
            draw_curves(named, shown)
        elif show == "Spectra":
            draw_spectra(named)
        elif show == "Norms":
            draw_norms(named)
        else:
            draw_portrait(named)


st.title("Training dynamics", anchor=False)
runs: Any = store.runs(**visitor.sees())
if runs.empty:
    st.markdown("Nothing was recorded yet. Run a paper from the gallery, or record a training of your own.")
    st.page_link("gallery.py", label="Open the gallery", icon=":material/grid_view:")
    record_your_own()
    st.stop()
found = choose_runs(runs, curves.names_of(runs))
named = {run: name for run, name in curves.names_of(runs).items() if run in found}
show = st.segmented_control(
    "Show", ["Curves", "Spectra", "Norms", "Phase portrait"], default="Curves", required=True, key="show", bind="query-params",
    label_visibility="collapsed",
)  # fmt: skip
if named:
    active = runs.loc[runs["run"].isin(found), "status"].isin(wording.ACTIVE).any()
    st.fragment(draw, run_every=2 if active else None)(named, show)
else:
    st.markdown("Choose one run or several above, and their curves are drawn over each other.")
with st.expander("Record your own training", icon=":material/add_circle:"):
    record_your_own()
