"""Models: the starters that ship with the app, and the Hub's by search or by id. The search and its filters are in the URL."""

import streamlit as st

from core import hub
from core.hub import Found, HubError
from pages import model_card, wording

SIZES = {"10 million": 10_000_000, "100 million": 100_000_000, "1 billion": 1_000_000_000}  # parameters
LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "openrail", "cc-by-nc-4.0", "other")
PAGE_LENGTH = 20
LONGEST_LIST = 100


@st.cache_data(ttl=120, max_entries=200, show_spinner=False)
def searched(words: str, task: str, licence: str, most: int | None, sort: str, limit: int) -> tuple[list[Found], str, bool]:
    """What the Hub answers; where it does not, the sentence that says why, and whether it could not be reached at all."""
    try:
        return hub.search(words, task, "", licence, most, sort, limit), "", False
    except HubError as error:
        return [], str(error), error.offline


def catalogue() -> None:
    """Starters, then the Hub."""
    st.title("Models", anchor=False)
    st.markdown("Pick a model to look into: its files, licence and layers; then what it makes of data, as a snapshot.")
    show_starters()
    st.subheader("On the Hugging Face Hub", anchor=False)
    words, answers = search_controls()
    with answers, st.spinner("Asking the Hub …"):
        show_results(*words)


def show_starters() -> None:
    """The models that always work."""
    if not hub.starters():
        return
    st.subheader("Starters", anchor=False)
    st.caption("Small models with their weights, made for this app. They need no network.")
    with st.grid("auto", min_column_width=260, key="starters"):
        for one in hub.starters():
            with st.container(border=True, height="stretch", key=f"card-{one.name.replace('/', '-')}"):
                st.page_link("model.py", label=f"**{one.title}**", icon="", query_params={"model": one.name})
                facts = [hub.TASKS.get(one.task, one.task), f"on {one.data}" if one.data else "", one.licence]
                st.caption(" · ".join(wording.plain(fact) for fact in facts if fact))
                if one.accuracy is not None:
                    st.caption(
                        f"{wording.plain(one.measured.capitalize())}: {100 * one.accuracy:.1f}% on {wording.plain(one.split)}"
                    )


def search_controls() -> tuple[tuple, st.delta_generator.DeltaGenerator]:
    """The search and its filters, whose state is in the URL; returns what to search for, and the place of the answers."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search", key="search", type="search", placeholder="Search names on the Hub", bind="query-params",
            label_visibility="collapsed", width=420,
        )  # fmt: skip
        with st.popover("Filters", icon=":material/tune:"):
            task = st.selectbox(
                "Task", [None, *hub.TASKS], format_func=lambda name: hub.TASKS.get(name, "Any"), key="task", bind="query-params"
            )
            licence = st.selectbox(
                "Licence", [None, *LICENCES], format_func=lambda name: name or "Any", key="licence", bind="query-params"
            )
            size = st.selectbox(
                "Parameters", [None, *SIZES], format_func=lambda name: f"At most {name}" if name else "Any", key="size",
                bind="query-params",
            )  # fmt: skip
            sort = st.selectbox("Order by", list(hub.SORTS), format_func=hub.SORTS.__getitem__, key="sort", bind="query-params")
        with st.popover("By id", icon=":material/tag:"):
            model = st.text_input("Model", key="typed-model", placeholder="owner/name").strip()
            revision = st.text_input(
                "Revision", key="typed-revision", placeholder="the newest", help="A branch, a tag or a commit."
            )
            if st.button("Open", type="primary", icon=":material/arrow_forward:") and model:
                st.switch_page("model.py", query_params={"model": model, "revision": revision.strip()})
    asked = (words, task or "", licence or "", SIZES.get(size or ""), sort)
    if st.session_state.get("searched") != asked:
        st.session_state["searched"], st.session_state["listed"] = asked, PAGE_LENGTH
    return (*asked, st.session_state["listed"]), st.container()


def show_results(words: str, task: str, licence: str, most: int | None, sort: str, limit: int) -> None:
    """A row a model; or what to do where there is none."""
    found, problem, offline = searched(words, task, licence, most, sort, limit)
    if problem:
        icon = ":material/cloud_off:" if offline else ":material/error:"
        (st.info if offline else st.warning)(wording.plain(problem), icon=icon)
        st.button("Try again", icon=":material/refresh:", on_click=searched.clear)
        return
    if not found:
        st.info("No model matches. Take a word out of the search, or a filter off.", icon=":material/search_off:")
    for model in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row-{model.name}"):
            with st.container(width=420):
                st.page_link("model.py", label=f"**{wording.plain(model.name)}**", icon="", query_params={"model": model.name})
            with st.container(width="stretch"):
                st.caption(" · ".join(facts_of(model)))
    if len(found) == limit < LONGEST_LIST:
        st.button("Show more", icon=":material/expand_more:", on_click=list_more)


def list_more() -> None:
    """Lengthens the list."""
    st.session_state["listed"] = min(st.session_state["listed"] + PAGE_LENGTH, LONGEST_LIST)


def facts_of(model: Found) -> list[str]:
    """A line about a model, as far as the Hub tells."""
    facts = [wording.plain(hub.TASKS.get(model.task, model.task)) if model.task else ""]
    facts += [f"{model_card.amount(model.parameters)} parameters" if model.parameters else ""]
    facts += [wording.plain(model.licence) if model.licence else "no licence named"]
    facts += [f"{model_card.amount(model.downloads)} downloads" if model.downloads is not None else ""]
    facts += [f"{model.updated:%b %Y}" if model.updated else "", "gated" if model.gated else ""]
    return [fact for fact in facts if fact]


if "model" in st.query_params:  # a link that names a model
    st.switch_page("model.py", query_params=st.query_params.to_dict())
catalogue()
st.session_state["catalogue"] = st.query_params.to_dict()  # for the way back
