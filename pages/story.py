"""One story: read, arranged, written by its author; presented; taken away. `?story=` names it: who has the link may read it."""

import math
from dataclasses import replace

import streamlit as st

from app import engine
from core import stories
from core.stories import Shown, Slide, Story, StoryError, TextSlide, deck
from core.stories.notes import HELP
from pages import pictures, visitor, wording

NEW = -1  # the number of a slide that is not there yet
store = engine().store


def chosen_story() -> Story:
    """The story in the URL; where there is none, the page says so and ends."""
    story = stories.read(store, st.query_params.get("story", ""))
    if story is None:
        st.title("There is no such story here", anchor=False)
        st.markdown("It may have been deleted, or belong to another store.")
        st.page_link("stories.py", label="All stories", icon=":material/arrow_back:")
        st.stop()
    return story


def keep(story: Story) -> bool:
    """Saves the story; where it cannot be kept, says why."""
    try:
        stories.save(store, story)
    except StoryError as error:
        st.error(str(error), icon=":material/block:")
        return False
    return True


def rename(name: str) -> None:
    """Takes the title that was typed, if there is one."""
    story, title = stories.read(store, name), st.session_state[f"title/{name}"].strip()
    if story and title:
        keep(replace(story, title=title))


def move(name: str, number: int, by: int) -> None:
    """Moves a slide up or down."""
    story = stories.read(store, name)
    if story:
        keep(replace(story, slides=stories.moved(story.slides, number, by)))


# --- dialogs ----------------------------------------------------------------------------------------------------------


@st.dialog("A slide's words")
def write(story: Story, number: int) -> None:
    """Headline and note of a slide, or of a new one of text alone."""
    slide = TextSlide() if number == NEW else story.slides[number]
    with st.form("words", border=False):
        title = st.text_input("Headline", slide.title, max_chars=160)
        note = st.text_area("Note", slide.note, max_chars=5000, height=280, help=HELP)
        if isinstance(slide, stories.VerdictSlide):
            st.caption("{verdict}, {effect}, {low}, {high}, {smallest} and {n} in the note become this verdict's figures.")
        pressed = st.form_submit_button("Save", type="primary")
    if pressed:
        written = (*story.slides, TextSlide(title, note)) if number == NEW else stories.changed(story.slides, number, title, note)
        if keep(replace(story, slides=written)):
            st.rerun()


@st.dialog("Delete?")
def ask_before_deleting(story: Story, number: int | None = None) -> None:
    """Deletes a slide, or without a number the story, only when a person confirms it."""
    what = f"The story **{wording.plain(story.title)}**" if number is None else f"Slide {number + 1} with its note"
    st.markdown(f"{what} will be gone. This cannot be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete for good", type="primary", icon=":material/delete:"):
            if number is None:
                stories.delete(store, story)
                st.switch_page("stories.py")
            keep(replace(story, slides=(*story.slides[:number], *story.slides[number + 1 :])))
            st.rerun()


# --- slides -----------------------------------------------------------------------------------------------------------


def draw(story: Story, number: int, slide: Slide, mine: bool) -> None:
    """One slide as it will be shown, and for its author what can be done with it."""
    shown = stories.show(store, slide)
    with st.container(border=True, key=f"slide-{number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"### {wording.plain(shown.title) or ':gray[Without a headline]'}", anchors=False, width="stretch")
            if mine:
                controls(story, number)
        if isinstance(slide, TextSlide):
            note(shown)
        else:
            left, right = st.columns([3, 2], gap="medium")
            with left:
                picture(slide, shown)
            with right:
                note(shown)
        if shown.row and shown.method:
            with st.container(gap="xsmall", key=f"on-{number}"):
                st.caption(wording.plain(shown.source))
                if shown.method.claims:
                    place = {"paper": shown.method.slug, "run": shown.row["run"]}
                    st.page_link("method.py", label="The result itself", query_params=place, icon=":material/open_in_new:")


def controls(story: Story, number: int) -> None:
    """Order, words, and removal of a slide."""
    key, last = f"{story.story}/{number}", len(story.slides) - 1
    with st.container(horizontal=True, gap="small", width="content"):
        if st.button("Write", icon=":material/edit:", key=f"write/{key}"):
            write(story, number)
        st.button(
            "Up",
            icon=":material/arrow_upward:",
            key=f"up/{key}",
            disabled=not number,
            on_click=move,
            args=(story.story, number, -1),
        )
        st.button(
            "Down",
            icon=":material/arrow_downward:",
            key=f"down/{key}",
            disabled=number == last,
            on_click=move,
            args=(story.story, number, 1),
        )
        if st.button("Remove", icon=":material/delete:", key=f"remove/{key}"):
            ask_before_deleting(story, number)


def picture(slide: Slide, shown: Shown) -> None:
    """The picture or the verdict of a slide."""
    if shown.missing:
        st.info(shown.missing, icon=":material/link_off:")
    elif shown.verdict:
        verdict = shown.verdict
        st.markdown(f"{wording.badge(verdict['verdict'])} {verdict['text'] if shown.title != verdict['text'] else ''}")
        st.markdown(wording.effect(verdict))
        if math.isfinite(verdict["effect"]):
            pictures.draw(pictures.of_verdict(verdict))
        st.caption(verdict["detail"])
    elif isinstance(slide, stories.PictureSlide) and shown.row and shown.view:
        row = shown.row
        drawn = pictures.of_ended_view(row["run"], row["finished"], row["slug"], slide.view, frame=slide.frame)
        pictures.draw(drawn or pictures.of_words("This result keeps no data for this picture"))
        st.caption(shown.view.caption)


def note(shown: Shown) -> None:
    """The note, safe whoever wrote it."""
    if shown.note:
        st.html(f'<div class="note">{shown.note}</div>')


# --- the page ---------------------------------------------------------------------------------------------------------


def actions(story: Story, mine: bool) -> None:
    """To present, to take away, to copy, to delete."""
    theme = "dark" if pictures.is_dark() else "light"
    with st.container(horizontal=True):
        st.link_button(
            "Present", f"present/{story.story}?theme={theme}", type="primary", icon=":material/slideshow:",
            help="One slide at a time: arrow keys, space, Home and End; F for the full screen, Escape to come back.",
        )  # fmt: skip
        st.download_button(
            "Take away", lambda: deck.page(store, story), f"{story.story}.html", "text/html", on_click="ignore",
            icon=":material/html:", help="The slides with their charts in one file that opens in any browser, without a network.",
        )  # fmt: skip
        if st.button("Make a copy", icon=":material/content_copy:", help="A story of your own with the same slides."):
            copy = stories.new(story.title, visitor.name(), story.slides)
            if keep(copy):
                st.switch_page("story.py", query_params={"story": copy.story})
        if mine and st.button("Delete", icon=":material/delete:"):
            ask_before_deleting(story)


def share(story: Story, mine: bool) -> None:
    """The link."""
    with st.expander("Link to this story", icon=":material/link:"):
        st.code(f"{st.context.url.split('?')[0]}?story={story.story}", language=None, wrap_lines=True)
        if mine:
            st.caption("Whoever has the link can read the story. Only you can change it.")


story = chosen_story()
mine = not story.shipped and story.visitor == visitor.name()
st.set_page_config(page_title=story.title)
with st.container(key="on-top"):
    st.page_link("stories.py", label="All stories", icon=":material/arrow_back:")
st.title(wording.plain(story.title), anchor=False)
if story.shipped:
    st.caption(f"For {story.audience} · made from the reference results")
actions(story, mine)
share(story, mine)
if mine:
    st.text_input("Title", story.title, max_chars=160, key=f"title/{story.story}", on_change=rename, args=(story.story,))
if not story.slides:
    st.markdown("There are no slides yet. Press Pin below a picture or beside a verdict of a paper, or add words here.")
for number, slide in enumerate(story.slides):
    draw(story, number, slide, mine)
if mine and st.button("Add a slide of text", icon=":material/add:"):
    write(story, NEW)
