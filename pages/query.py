"""SQL for the curious: one SELECT over everything that is kept, fenced by the store."""

import pandas as pd
import streamlit as st

from app import engine
from core.store.query import EXAMPLES, QueryError
from pages import exports, visitor, wording

ROWS = 1000
store = engine().store


@st.cache_data(show_spinner=False)
def schema() -> pd.DataFrame:
    """The tables' columns; they do not change while the app runs."""
    return store.schema()


def show(statement: str) -> None:
    """The answer to a statement, or why there is none."""
    try:
        with st.spinner("Asking the store …", show_time=True):
            answer = store.query(statement, rows=ROWS, visitor=visitor.name())
    except QueryError as error:
        st.error(wording.plain(str(error)), icon=":material/block:")
        return
    rows = answer.rows
    said = f"The first {ROWS:,} rows" if answer.cut else f"{len(rows):,} row{'s' * (len(rows) != 1)}"
    st.dataframe(rows, hide_index=True, width="stretch")
    exports.table_menu(rows, "answer", f"{said} in {answer.seconds:.2f} s.")


st.title("Ask the store", anchor=False)
st.markdown(
    "Everything that ran is kept in one DuckDB file. Ask it in SQL: one `SELECT`, which may take 10 seconds and gives at most "
    f"{ROWS:,} rows. It can change nothing."
)
left, right = st.columns([3, 1], gap="medium")
with right:
    st.caption("Tables and their columns")
    with st.container(height=420, border=True):
        for table, columns in schema().groupby("table", sort=False):
            with st.expander(str(table)):
                st.dataframe(columns[["column", "type"]], hide_index=True, width="stretch")
with left:
    example = st.selectbox("Example", list(EXAMPLES), key="example", bind="query-params")
    number = list(EXAMPLES).index(example) + 1  # a changed statement is in the link, and another example begins with its own
    statement = st.text_area("Statement", EXAMPLES[example], height=180, key=f"statement-{number}", bind="query-params")
    st.button("Ask", type="primary", icon=":material/play_arrow:")
    show(statement)
