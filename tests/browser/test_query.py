"""The page for SQL: an example is answered at once, a question of one's own too, and what is no question is refused in words."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_question_is_answered_and_an_order_refused(visitor):
    page = visitor("/query")
    expect(page.get_by_role("heading", name="Ask the store")).to_be_visible()
    expect(page.get_by_text("rows in").or_(page.get_by_text("row in"))).to_be_visible()
    box = page.get_by_role("textbox", name="Statement")
    box.fill("SELECT count(*) AS runs FROM runs")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("1 row in")).to_be_visible()
    box.fill("DELETE FROM runs")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("write a SELECT")
