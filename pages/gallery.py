"""The gallery: every paper with its idea, and its latest result where there is one."""

import json

import streamlit as st

from app import engine
from core.methods import registry
from core.methods.base import FAMILIES, Method
from pages import following, pictures, tour, visitor, wording

NOT_RUN = "not run yet"
PICTURE_HEIGHT = 150


store = engine().store
methods = registry.catalogue()
# The last of a paper counts: a reference result only where there is no run of one's own.
# Runs on somebody's snapshot or model say nothing about the paper's own experiment.
completed = store.runs(status="completed", **visitor.sees()).sort_values(["origin", "finished"], ascending=[False, True])
latest = {row.slug: row for row in completed.itertuples() if not json.loads(row.spec).get("inputs")}
verdicts = {slug: following.outcomes(row.run, row.finished) for slug, row in latest.items() if slug in methods}


def matches(method: Method, words: str, families: list[str], outcomes: list[str], years: tuple[int, int]) -> bool:
    """Whether a card passes the search and every filter; an empty filter lets all through."""
    paper = method.paper
    text = " ".join(
        [paper.title, paper.authors, paper.idea, paper.venue, str(paper.year), FAMILIES[paper.family], paper.slug]
    ).lower()
    found = set(verdicts[paper.slug]) if paper.slug in verdicts else {NOT_RUN}
    return (
        all(word in text for word in words.lower().split())
        and (not families or FAMILIES[paper.family] in families)
        and (not outcomes or bool(found & set(outcomes)))
        and years[0] <= paper.year <= years[1]
    )


def filters() -> list[Method]:
    """Draws the search and the filters, whose state is in the URL; returns the papers that pass."""
    present = [title for family, title in FAMILIES.items() if any(method.paper.family == family for method in methods.values())]
    years = sorted({method.paper.year for method in methods.values()})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search", key="search", type="search", placeholder="Search titles, authors and ideas", live=True, bind="query-params",
            label_visibility="collapsed", width=420,
        )  # fmt: skip
        with st.popover("Filters", icon=":material/tune:"):
            outcomes = st.pills("Verdict", [*wording.OUTCOMES, NOT_RUN], selection_mode="multi", key="verdict", bind="query-params")
            span = (years[0], years[-1])
            if len(years) > 1:
                span = st.slider("Year", years[0], years[-1], span, key="year", bind="query-params")
    families = st.pills("Family", present, selection_mode="multi", key="family", bind="query-params", label_visibility="collapsed")
    return [method for method in methods.values() if matches(method, words, families, outcomes, span)]


def card(method: Method) -> st.delta_generator.DeltaGenerator | None:
    """Draws one paper without its picture; returns where the picture goes, where there is a result."""
    paper = method.paper
    row = latest.get(paper.slug)
    with st.container(border=True, height="stretch", key=f"card-{paper.slug}"):
        st.caption(FAMILIES[paper.family])
        st.page_link("method.py", label=f"**{paper.title}**", query_params={"paper": paper.slug}, icon="")
        st.caption(f"{paper.authors} · {wording.published(paper)}")
        st.markdown(paper.idea)
        st.space("stretch")
        if row is None:
            st.caption(f"Not run yet. The quick preset takes about {wording.duration(method.preset('quick').seconds)}.")
            return None
        slot = st.container(height=PICTURE_HEIGHT, border=False)
        st.markdown(wording.tally(verdicts[paper.slug]))
        whose = f"Reference result, {row.preset}" if row.origin == "reference" else row.preset.capitalize()
        st.caption(f"{whose} preset, at this scale, {row.finished:%-d %b %Y}")
    return slot


st.title("Papers, put to the test", anchor=False)
st.markdown(
    "Each paper here is a method that you can run against its baselines. Pick one, press Run, and read for each of its claims "
    "whether it holds on this machine, with the effect and its 95% interval."
)
tour.strip()
shown = filters()
slots = {}
with st.grid("auto", min_column_width=330, key="cards"):
    for method in shown:  # in the order of the families
        slots[method.slug] = card(method)
if not shown:
    st.info("No paper matches. Take a word out of the search, or a filter off.", icon=":material/search_off:")

for slug, slot in slots.items():  # last, so that the page stands before the first picture is drawn
    if slot is not None:
        picture = pictures.of_ended_view(latest[slug].run, latest[slug].finished, slug, 0, size="card")
        if picture:
            with slot:
                pictures.draw(picture)
