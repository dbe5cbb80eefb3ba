"""Without a mouse and without eyes: every control and picture has a name, and a paper can be run by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.serving import settled

NAMED = {
    "button", "link", "textbox", "searchbox", "checkbox", "switch", "radio", "combobox", "listbox", "option", "slider",
    "spinbutton", "tab", "menuitem", "img", "image", "graphics-document", "dialog", "progressbar",
}  # fmt: skip
PAGES = (
    "/", "/method?paper=lottery-ticket", "/models", "/model?model=starter/mnist-resnet", "/embeddings", "/runs", "/pruning",
    "/calibration", "/dynamics", "/query", "/stories",
)  # fmt: skip
MOST_TABS = 60


def test_every_control_and_picture_has_a_name(visitor):
    page = visitor("/")
    browser = page.context.new_cdp_session(page)
    for path in PAGES:
        page.goto(path)
        page.get_by_role("heading", level=1).wait_for()
        settled(page)
        found = named(browser)
        while len(found) < 9:  # the browser tells of a page a moment after it has drawn it
            page.wait_for_timeout(200)
            found = named(browser)
        assert not [role for role, name in found if not name], path


def named(browser: CDPSession) -> list[tuple[str, str]]:
    """Role and name of every control and picture, as the browser tells them to a screen reader."""
    nodes = [node for node in browser.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    found = [(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in nodes]
    return [(role, name) for role, name in found if role in NAMED]


def focus(page: Page, name: str) -> None:
    """Presses Tab until the control of that name has the focus."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText.split('\\n').pop().trim()") == name:
            return
    pytest.fail(f"Tab does not reach {name}.")


def test_a_paper_is_run_and_cancelled_by_keyboard(visitor):
    page = visitor("/method?paper=lottery-ticket&preset=quick")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    focus(page, "Run")
    seen = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"{seen}.boxShadow + {seen}.outlineStyle") != "nonenone", "the focus is seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text("of 12 cells done")).to_be_visible()
    page.locator("body").focus()
    focus(page, "Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_text("cancelled")).to_be_visible()
