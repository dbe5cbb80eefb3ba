"""What all pages share: the frame, the way between them, and what to say when the store cannot be opened."""

from base64 import b64encode

import streamlit as st

from app import engine
from core.store import StoreError
from pages import address, visitor, wording

# An interval and its estimate, in a blue that both themes carry.
MARK = """<path d="M2 14H30M2 8V20M30 8V20" stroke="#3F7FCC" stroke-width="2.6" stroke-linecap="round"/>
<circle cx="18" cy="14" r="4.6" fill="#3F7FCC"/>"""
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -2 32 32">{MARK}</svg>'
LOGO = f"""<svg xmlns="http://www.w3.org/2000/svg" width="196" height="28" viewBox="0 0 196 28">{MARK}
<text x="42" y="20.5" font-family="Georgia, 'Times New Roman', serif" font-size="20" fill="#3F7FCC">Proving Ground</text></svg>"""
# Titles of papers are links, and longer than the one line that Streamlit gives a link. A result that is drawn anew every second
# must not fade while the next one is being computed, nor let what is below it jump. Equations are set smaller on a phone.
STYLE = """<style>
[class*="st-key-card-"] a, [class*="st-key-row-"] a, [class*="st-key-on-"] a { padding-inline: 0; }
[class*="st-key-card-"] a *, [class*="st-key-row-"] a *, [class*="st-key-on-"] a * { white-space: normal; line-height: 1.35; }
[class*="st-key-card-"] a * { font-size: 1.05rem; }
.st-key-live [data-stale="true"] { opacity: 1; }
.st-key-picture, .st-key-blank { min-height: 400px; }
@media (max-width: 640px) { .katex-display { font-size: 0.7em; } }
</style>"""

st.set_page_config(
    page_title="Proving Ground", page_icon=f"data:image/svg+xml;base64,{b64encode(ICON.encode()).decode()}", layout="wide"
)
st.logo(LOGO, size="large")
st.html(STYLE)
page = st.navigation(
    [
        st.Page(
            "gallery.py", title="Gallery", icon=":material/grid_view:", default=True, help="All papers, with their latest verdicts."
        ),
        st.Page("models.py", title="Models", icon=":material/hub:", help="Starters and the Hub's: look into them, make snapshots."),
        st.Page("embeddings.py", title="Embeddings", icon=":material/bubble_chart:", help="What a model finds alike."),
        st.Page("runs.py", title="Runs", icon=":material/history:", help="Everything that ran: open, compare, export, delete."),
        st.Page("stories.py", title="Stories", icon=":material/slideshow:", help="Results, told to people who read no code."),
        st.Page("pruning.py", title="Pruning", icon=":material/grid_on:", help="Which of a model's weights can go, and the cost."),
        st.Page("calibration.py", title="Calibration", icon=":material/straighten:", help="Is a model right as often as it says?"),
        st.Page("dynamics.py", title="Dynamics", icon=":material/timeline:", help="Curves of any runs, spectra, phase portraits."),
        st.Page("query.py", title="SQL", icon=":material/database:", help="Ask the store in SQL; it can change nothing."),
        st.Page("method.py", title="Method", visibility="hidden"),
        st.Page("model.py", title="Model", visibility="hidden"),
        st.Page("operator.py", title="Operator", visibility="hidden"),
        st.Page("story.py", title="Story", visibility="hidden"),
    ],
    position="top",
)

try:
    engine()
except StoreError as error:
    st.title("The store cannot be opened", anchor=False)
    st.error(wording.plain(str(error)))
    st.button("Try again", type="primary")
    st.stop()

address.settle()
page.run()
visitor.say_limits(engine().limits)
