"""One paper: what it says, a run of it, and what the run says about its claims.

The controls make a spec, the spec names its run, and the page shows that run. `?paper=` chooses the paper and `?run=` the run;
`?preset=`, `?snapshot=` and `?weights=` what the controls start with where there is no run.
"""

import math
import re
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from app import engine
from core import report
from core.engine import Progress, Spec
from core.engine.spec import INPUT_KINDS
from core.methods import registry
from core.methods.base import FAMILIES, Lines, Method, ParameterError, Points, View
from core.stories import PictureSlide, VerdictSlide
from pages import controls, exports, following, inputs, pictures, pins, visitor, wording

FIRST_POINT_PATIENCE = 0.95  # seconds, less than from one look at the run to the next
GIVEN = ("snapshot", "weights")  # what the URL may give a run to work on
DISPLAY_EQUATION = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)  # Markdown wants its dollars on lines of their own

server = engine()
store = server.store


# --- which paper, which run ---------------------------------------------------------------------------------------


def chosen_method() -> Method:
    """The paper in the URL; where there is none, the page says so and ends."""
    slug = st.query_params.get("paper", "")
    try:
        return registry.declared(slug)
    except registry.UnknownMethod:
        st.title("There is no such paper here", anchor=False)
        st.markdown(
            f"The link asks for the paper “{wording.plain(slug)}”, which is not in the gallery."
            if slug
            else "The link names no paper."
        )
        st.page_link("gallery.py", label="Choose one in the gallery", icon=":material/arrow_back:")
        st.stop()


def linked_run(method: Method) -> dict[str, Any] | None:
    """The run in the URL, else the paper's latest result. A run that is not there is said, and passed over."""
    run = st.query_params.get("run")
    if run is None:
        latest = store.latest(method.slug, **visitor.sees()) if not {"preset", *GIVEN} & set(st.query_params) else None
        return store.run(latest) if latest else None
    row = store.run(run)
    if row is None or row["slug"] != method.slug:
        why = "It may have been deleted, or belong to another store." if row is None else "It belongs to another paper."
        st.warning(f"There is no run “{wording.plain(run)}” of this paper. {why}", icon=":material/link_off:")
        return None
    return row


# --- from the controls to a run -----------------------------------------------------------------------------------


def has_arrived(method: Method) -> bool:
    """Whether a person has come from another page, or by the browser's way back, and not pressed something here."""
    slug, run, known = st.session_state.get("place", (None, None, True))
    if slug != method.slug or not controls.are_shown(method):
        return True
    if st.query_params.get("run") == run:
        st.session_state["place"] = (slug, run, True)
        return False
    return known  # else the click came before the browser had learnt the address of its run


def arrive(method: Method, row: dict[str, Any] | None) -> None:
    """On arrival at a paper or a run, sets the controls to a run of one's own, else to the quick preset (or the one in the URL)."""
    if not has_arrived(method):
        return
    if row is not None and row["origin"] != "reference" and row["preset"] in method.presets:
        controls.fill_from_run(method, row)
    else:
        asked = st.query_params.get("preset")
        usable = [kind for kind in GIVEN if INPUT_KINDS.get(kind, kind) in method.inputs and st.query_params.get(kind)]
        given = {name: st.query_params[name] for name in usable}
        controls.fill_from_preset(method, asked if asked in method.presets else "quick", given)
    remember(method, row["run"] if row else None)


def make_spec(method: Method, preset: str, values: dict[str, Any], arms: list[str], seeds: int) -> Spec | None:
    """The spec of the controls; where there is none, says why."""
    own = vars(method.make_params(preset))
    try:
        if not arms:
            raise ParameterError("Choose at least one arm.")
        parsed = {name: method.params[name].parse(value) for name, value in values.items()}
        changed = {name: value for name, value in parsed.items() if value != own[name]}
        return server.make_spec(method.slug, preset, changed, arms, seeds, inputs=controls.inputs(method))
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return None


def remember(method: Method, run: str | None) -> None:
    """The controls as they are now belong to this run, until one of them is moved."""
    st.session_state["place"] = (method.slug, run, False)
    st.session_state["linked"] = (run, controls.positions(method))


def shown_run(method: Method, spec: Spec | None) -> str | None:
    """The linked run as long as no control was moved; then the run of the controls, where it is kept."""
    linked, then = st.session_state["linked"]
    if linked and then == controls.positions(method) and store.run(linked):
        return linked
    return spec.run if spec and store.run(spec.run) else None


def run_panel(method: Method) -> tuple[Spec | None, str | None]:
    """The preset, the button and the settings; returns the spec and the run to show."""
    with st.container(border=True, key="run-panel"):
        with st.container(horizontal=True, vertical_alignment="center"):
            labels = {name: preset_label(method, name) for name in method.presets}
            preset = controls.choose_preset(method, labels.__getitem__)
            button = st.empty()
        said = st.container()
        values, arms, seeds = controls.choose_settings(method)
        with said:
            if server.machine is None:
                following.wait_for_workers()
                spec = None
            else:
                spec = make_spec(method, preset, values, arms, seeds)
        with button:
            if following.run_button(spec, "Run", "Run again", key=f"run/{method.slug}"):
                remember(method, spec.run)
        run = shown_run(method, spec)
        with said:
            if spec:
                size = f"{wording.count(len(spec.arms), 'arm')} with {wording.count(len(spec.seeds), 'seed')} on {spec.device}"
                st.caption(f"{size}. {what_is_shown(spec, run)}")
            input_line(method)
    return spec, run


def input_line(method: Method) -> None:
    """What the run works on instead of the paper's own data, and the way back to that."""
    given = inputs.described(store, controls.inputs(method))
    if given:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":blue-badge[:material/input: {given}]", width="content")
            st.button(
                "Use the paper's own data", icon=":material/close:", type="tertiary", on_click=controls.leave_inputs, args=(method,)
            )


def what_is_shown(spec: Spec, run: str | None) -> str:
    """Where the result below is not that of the controls, what it is."""
    if run is None:
        return "Not run yet: press Run, and the first points appear within seconds."
    if run == spec.run and store.run(run)["origin"] != "imported":
        return ""
    if store.run(run)["origin"] == "imported":
        return "Below is a result that was imported; press Run for one of your own."
    if store.run(run)["origin"] == "reference":
        return "Below is the reference result that ships with the app; press Run for one of your own."
    return "Below is a result of an earlier version of this paper's file; press Run for a new one."


def preset_label(method: Method, name: str) -> str:
    """A preset with how long it takes: what it took here, else what it takes on 2 cores."""
    preset, title = method.preset(name), name.replace("-", " ").capitalize()
    device = server.machine.devices[0] if server.machine else "cpu"
    took = store.seconds_of(method.slug, name, device)
    if took is None and preset.needs == "cuda":
        return f"{title} · GPU, {wording.duration(preset.seconds)}"
    return f"{title} · {wording.duration(took or preset.seconds)}"


# --- the result ---------------------------------------------------------------------------------------------------


def result(method: Method, run: str, progress: Progress) -> None:
    """Status, pictures and claims of a run; drawn again every second while it is under way."""
    with st.container(key="live"):
        status_line(run, progress)
        draw_findings(method, run, progress.status)
        draw_cells(progress)


def draw_findings(method: Method, run: str | None, status: str | None) -> None:
    """Pictures beside claims, at the same places before, during and after a run."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        draw_pictures(method, run, status)
    with right:
        draw_claims(method, run, status)


def status_line(run: str, progress: Progress) -> None:
    """How far the run is, or how it ended."""
    row = store.run(run)
    if progress.status in wording.ACTIVE:
        deciding = all(cell.status not in wording.ACTIVE for cell in progress.cells)
        following.bar(progress, "Deciding the claims" if deciding else following.cells_done(progress, "cell"))
    else:
        seeds = wording.count(len(row["spec"]["seeds"]), "seed")
        took = f"{wording.duration(progress.seconds)} on {wording.plain(row['device'])}"
        origin = {"reference": ["reference result"], "imported": ["imported"]}.get(row["origin"], [])
        given = inputs.described(store, row["spec"].get("inputs"))
        facts = (*origin, *filter(None, [given]), f"{row['preset']} preset", seeds, took, f"{row['created']:%-d %b %Y, %H:%M} UTC")
        chips = wording.standing(progress.status, store.verdicts(run)["verdict"])
        st.markdown(f"{chips} :small[:gray[{' · '.join(facts)}]]")
    following.failures(progress)


def draw_pictures(method: Method, run: str | None, status: str | None) -> None:
    """One picture at a time, the hero first."""
    tabs = st.tabs([view.title for view in method.views], key="view", bind="query-params")
    for number, (view, tab) in enumerate(zip(method.views, tabs, strict=True)):
        if not tab.open:
            continue
        with tab:
            if run is None:
                st.caption(blank("Press Run to draw this picture", view))
            elif status in wording.ACTIVE:
                st.caption(live_picture(method, run, view))
            else:
                ended_picture(method, run, number)


def blank(words: str, view: View) -> str:
    """Keeps a picture's place, and lets the browser fetch what draws it before there is something to draw."""
    with st.container(key="blank"):
        pictures.draw(pictures.of_words(words))
    return view.caption


def frame_title(view: View) -> str:
    """What a picture's slider moves over."""
    return (view.frame if isinstance(view, Points) else "step").replace("_", " ").capitalize()


def ended_picture(method: Method, run: str, number: int) -> None:
    """Draws a view with its slider and its caption, and what of it can be taken away."""
    view, place, below = method.views[number], st.container(), st.container()
    frames = report.frames(store, run, view)
    with below:
        frame = None
        if len(frames) > 1:
            frame = st.select_slider(frame_title(view), frames, value=frames[-1], key=f"frame-{number}", bind="query-params")
    picture = pictures.of_ended_view(run, store.run(run)["finished"], method.slug, number, frame=frame)
    with place:
        if picture is None:
            st.caption(blank("This result keeps no data for this picture; a run of your own does", view))
            return
        with st.container(key="picture"):
            pictures.draw(picture)
    slide = PictureSlide(run, number, frame)
    exports.chart_menu(picture, f"{method.slug} {run} {number + 1}", view.caption, slide)


def live_picture(method: Method, run: str, view: View) -> str:
    """The same as far as the run has got; while the view has nothing to show yet, the first curve that was recorded."""
    picture, caption = pictures.of_live_view(run, method.slug, view), view.caption
    names = [] if picture else first_curves(run)
    if names:
        first = Lines(title="First points", caption="The first that was recorded", y=names[0])
        picture, caption = pictures.of_live_view(run, method.slug, first), f"The first points. Later here: {view.caption}"
    if picture is None:
        return blank("The first points appear here as soon as they are recorded", view)
    with st.container(key="picture"):
        pictures.draw(picture)
    return caption


def first_curves(run: str) -> list[str]:
    """The names of the run's curves; where there are none yet, waits a little, so that the first points are shown at once."""
    deadline = time.monotonic() + FIRST_POINT_PATIENCE
    while not (names := store.scalar_names(run)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return names


def draw_claims(method: Method, run: str | None, status: str | None) -> None:
    """Every claim, with its verdict where the run has ended."""
    verdicts = store.verdicts(run) if run and status not in wording.ACTIVE else pd.DataFrame()
    imported = run is not None and store.run(run)["origin"] == "imported"
    st.markdown("**Claims, at this scale**")
    found = {row["claim"]: row for row in verdicts.to_dict("records")}
    for claim in method.claims:
        verdict = found.get(claim.id)
        with st.container(gap="xsmall", key=f"claim-{claim.id}"):
            waiting = ":gray-badge[after the run]" if status in wording.ACTIVE else ":gray-badge[not run yet]"
            st.markdown(f"{wording.badge(verdict['verdict']) if verdict else waiting} {claim.text}")
            if run and verdict:
                draw_verdict(verdict, VerdictSlide(run, claim.id), imported)
    if any(math.isfinite(verdict["effect"]) for verdict in found.values()):
        st.caption("Thin line: no effect. Thick line: the smallest effect that counts. Dot and bar: effect with its 95% interval.")


def draw_verdict(verdict: dict[str, Any], slide: VerdictSlide, imported: bool) -> None:
    """The effect in words and as a picture, and the figures behind it; to be pinned as `slide`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(wording.effect(verdict), width="stretch")
        pins.button(slide)
    if math.isfinite(verdict["effect"]):
        pictures.draw(pictures.of_verdict(verdict))
    st.caption(wording.plain(verdict["detail"]))


def draw_cells(progress: Progress) -> None:
    """Every arm with its seeds, on demand."""
    cells = st.expander("Cells", icon=":material/grid_on:", key="cells", on_change="rerun")
    if cells.open:
        rows = [
            {
                "Arm": cell.arm,
                "Seeds": ", ".join(map(str, cell.seeds)),
                "Status": cell.status,
                "Progress": 100 * cell.fraction,
                "Left": "" if cell.eta_seconds is None else wording.duration(cell.eta_seconds),
                "Message": cell.message.partition("\n")[0],
            }
            for cell in progress.cells
        ]
        bar = st.column_config.ProgressColumn(format="%d%%", min_value=0, max_value=100)
        cells.dataframe(rows, column_config={"Progress": bar}, hide_index=True, alt="The cells of the run")


# --- the paper ----------------------------------------------------------------------------------------------------


def heading(method: Method) -> None:
    """Title, where it was published, its idea and equation."""
    paper = method.paper
    st.set_page_config(page_title=paper.title)
    st.title(paper.title, anchor=False)
    links = f"[arXiv {paper.arxiv}]({paper.url})" + (f" · [code]({paper.code})" if paper.code else "")
    st.caption(f"{FAMILIES[paper.family]} · {paper.authors} · {wording.published(paper)} · {links}")
    st.markdown(paper.idea)
    st.latex(paper.equation)


def about(method: Method, spec: Spec | None, run: str | None) -> None:
    """What unfolds on demand."""
    paper, claims, source, command, export = st.tabs(
        ["The paper", "What it reports", "Source file", "Command line", "Export and link"], key="about", bind="query-params"
    )
    paper.markdown(DISPLAY_EQUATION.sub(r"\n$$\n\1\n$$\n", method.text), width=880)
    with claims:
        st.table([{"Claim": claim.text, "What the paper reports": claim.evidence or "–"} for claim in method.claims])
    source.code(Path(method.source).read_text(encoding="utf-8"), language="python", line_numbers=True, height=600)
    with command:
        st.markdown("The same run in a terminal:")
        st.code(spec.command if spec else f"python -m core run {method.slug}", language="bash", wrap_lines=True)
    with export:
        take_away(method, run)


def take_away(method: Method, run: str | None) -> None:
    """Files of the run, and its link."""
    if run is None:
        st.markdown("There is nothing to export before a run.")
        return
    with st.container(horizontal=True):
        exports.data_button(store, run, method.slug, "Data")
        exports.page_button(store, run, method.slug, "Page")
        exports.push_button(store, run, method.slug)
    share(run)
    st.markdown("Link to what is shown:")
    shown = {name: st.query_params.get_all(name) for name in st.query_params} | {"paper": [method.slug], "run": [run]}
    st.code(f"{st.context.url.split('?')[0]}?{urlencode(shown, doseq=True)}", language=None, wrap_lines=True)


def share(run: str) -> None:
    """Where visitors share the app: whether all see a run of one's own, or only who has its link."""
    if visitor.name() in store.owners(run):
        shared = st.toggle("Show this run to all visitors", store.is_shared(run), key=f"shared-{run}")
        if shared != store.is_shared(run):
            with store.writing() as writer:
                writer.set_shared(run, shared)
        st.caption("All visitors see it." if shared else "Only who has its link sees it.")


def keep_in_link(method: Method, run: str | None) -> None:
    """The address names the run, or the preset where there is none."""
    if run:
        st.query_params["run"] = run
        wanted: dict[str, str] = {}
    else:
        st.query_params.pop("run", None)
        wanted = {"preset": controls.positions(method)["preset"], **controls.inputs(method)}
    for name in ("preset", *GIVEN):
        if name in wanted:
            st.query_params[name] = wanted[name]
        else:
            st.query_params.pop(name, None)
    if st.session_state["place"][1] != run:
        st.session_state["place"] = (method.slug, run, False)


# --- the page -----------------------------------------------------------------------------------------------------

method = chosen_method()
row = linked_run(method)
heading(method)
arrive(method, row)
spec, run = run_panel(method)
keep_in_link(method, run)
if run is None:
    draw_findings(method, None, None)
else:
    following.follow(run, partial(result, method, run))
about(method, spec, run)
