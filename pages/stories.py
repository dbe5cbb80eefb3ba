"""All stories: those that ship with the program, and one's own."""

import streamlit as st

from app import engine
from core import stories
from core.stories import Story, StoryError, shipped
from pages import visitor, wording

store = engine().store


def card(story: Story) -> None:
    """A story's title, which leads to it, and what it is."""
    with st.container(border=True, height="stretch", key=f"card-{story.story}"):
        if story.shipped:
            st.caption(f"For {story.audience}")
        st.page_link("story.py", label=f"**{wording.plain(story.title)}**", query_params={"story": story.story}, icon="")
        changed = f" · changed {story.changed:%-d %b %Y, %H:%M} UTC" if story.changed else ""
        st.caption(f"{wording.count(len(story.slides), 'slide')}{changed}")


@st.dialog("A new story")
def ask_for_a_title() -> None:
    """Makes an empty story and opens it."""
    with st.form("new", border=False):
        title = st.text_input("Title", max_chars=160)
        pressed = st.form_submit_button("Begin", type="primary")
    if pressed:
        story = stories.new(title, visitor.name())
        try:
            stories.save(store, story)
        except StoryError as error:
            st.error(str(error), icon=":material/block:")
            return
        st.switch_page("story.py", query_params={"story": story.story})


st.title("Stories", anchor=False)
st.markdown(
    "Pictures, verdicts and your words in order, for people who read no code. Pin a picture or a verdict on a paper's page, "
    "write what it means, and present it; or take it away as one file."
)
mine = stories.of_visitor(store, visitor.name())
with st.container(horizontal=True, vertical_alignment="center"):
    st.subheader("Yours", anchor=False, width="content")
    if st.button("New story", icon=":material/add:"):
        ask_for_a_title()
if mine:
    with st.grid("auto", min_column_width=300, key="mine"):
        for story in mine:
            card(story)
else:
    st.markdown("None yet. Begin one here, or press Pin below a picture of a paper.")
st.subheader("To begin with", anchor=False)
st.markdown("Made from the reference results. A copy of one is a good start for your own.")
with st.grid("auto", min_column_width=300, key="shipped"):
    for story in shipped.every(store):
        card(story)
