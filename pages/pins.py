"""Pinning: a picture or a verdict of a run becomes a slide of a story."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import engine
from core import stories
from core.stories import PictureSlide, Slide, StoryError, VerdictSlide
from core.stories.notes import HELP
from pages import visitor

NEW = ""


def button(slide: PictureSlide | VerdictSlide) -> None:
    """What opens the dialog."""
    what = slide.view if isinstance(slide, PictureSlide) else slide.claim
    help = "Pin to a story, to present it."
    if st.button("Pin", icon=":material/push_pin:", type="tertiary", key=f"pin/{slide.run}/{what}", help=help):
        choose_story(slide)


@st.dialog("Pin to a story")
def choose_story(slide: Slide) -> None:
    """One of the visitor's stories or a new one, and what is to be said."""
    store, place = engine().store, st.empty()
    titles = {story.story: story.title for story in stories.of_visitor(store, visitor.name())}
    with place.container():
        name = st.selectbox("Story", [*titles, NEW], format_func=lambda name: titles.get(name, "A new story"))
        with st.form("pin", border=False):
            title = st.text_input("Title of the new story", max_chars=160) if name == NEW else ""
            headline = st.text_input("Headline", max_chars=160, placeholder="Without one: the picture's title, or the claim")
            note = st.text_area("Note", max_chars=5000, help=HELP)
            pressed = st.form_submit_button("Pin", type="primary", icon=":material/push_pin:")
        if not pressed:
            return
        kept = stories.read(store, name) or stories.new(title, visitor.name())
        try:
            stories.save(store, replace(kept, slides=(*kept.slides, replace(slide, title=headline, note=note))))
        except StoryError as error:
            st.error(str(error), icon=":material/block:")
            return
    place.empty()
    st.success(f"Slide {len(kept.slides) + 1} of your story.", icon=":material/check:")
    st.page_link("story.py", label="Open the story", query_params={"story": kept.story}, icon=":material/slideshow:")
