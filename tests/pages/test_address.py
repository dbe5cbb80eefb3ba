"""What a callback has put into the address stays there, though a request that left before it says otherwise."""

from streamlit.testing.v1 import AppTest

from pages import address


def page():
    import streamlit as st

    from pages import address

    address.settle()
    st.button("Choose", on_click=address.write, args=({"around": "1,2", "point": None},))
    st.text(str(st.query_params.to_dict()))


def test_a_late_request_changes_nothing_back_and_a_later_one_does(monkeypatch):
    app = AppTest.from_function(page)
    app.query_params["point"] = "3"
    app.run().button[0].click().run()
    assert app.text[0].value == "{'around': '1,2'}"
    app.query_params.clear()
    app.query_params["point"] = "3"  # as it was before
    assert app.run().text[0].value == "{'around': '1,2'}"
    app.query_params["around"] = "5,6"  # another selection, or another link
    assert app.run().text[0].value == "{'around': '5,6'}"
    app.query_params.clear()
    app.query_params["point"] = "3"
    monkeypatch.setattr(address, "KEPT_SECONDS", 0.0)
    assert app.run().text[0].value == "{'point': '3'}"
