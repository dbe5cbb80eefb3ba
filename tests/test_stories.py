"""Stories: what is kept of them, what a stranger's note may do, and that those that ship say what the reference results say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from core import report, stories
from core.charts.theme import DARK, LIGHT
from core.store import Store
from core.stories import PictureSlide, StoryError, TextSlide, VerdictSlide, deck, notes, shipped
from core.stories.story import NOTE, SLIDES, from_json, to_json
from tests.charts.test_theme import contrast

REFERENCE = Path(shipped.__file__).parents[1] / "reference"
EVERY_KIND = (TextSlide("a", "b"), PictureSlide("r1", 2, 0.5, "c", "d"), VerdictSlide("r1", "c1", note="{effect}"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with the reference results that ship with the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.store.store.REFERENCE", REFERENCE)
        store = Store.open(tmp_path_factory.mktemp("stories") / "store.duckdb")
    yield store
    store.close()


# --- data -------------------------------------------------------------------------------------------------------------


def test_a_story_is_read_back_as_it_was_kept(store):
    story = stories.new(" For the board ", "ada", EVERY_KIND)
    stories.save(store, story)
    found = stories.read(store, story.story)
    assert found.slides == EVERY_KIND
    assert (found.title, found.visitor, found.shipped) == ("For the board", "ada", False)
    assert [one.story for one in stories.of_visitor(store, "ada")] == [story.story]
    stories.delete(store, replace(found, visitor="eve"))
    assert stories.read(store, story.story) is not None
    stories.delete(store, found)
    assert stories.read(store, story.story) is None


def test_names_of_stories_cannot_be_guessed():
    names = {stories.new("a").story for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch("[0-9a-f]{20}", name) for name in names)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": "film"}, "Slide 1 is of no kind"),
        ({"kind": "text", "script": "x"}, "Slide 1 is of no kind"),
        ({"kind": "verdict", "run": "r1"}, "Slide 1 lacks what a verdict needs"),
    ],
)
def test_what_is_no_slide_is_refused(given, sentence):
    with pytest.raises(StoryError, match=sentence):
        from_json([given])


@pytest.mark.parametrize(
    ("title", "slides", "sentence"),
    [
        ("  ", (), "needs a title"),
        ("t" * 161, (), "161 characters"),
        ("t", (TextSlide(),) * (SLIDES + 1), f"at most {SLIDES} slides"),
        ("t", (TextSlide(), TextSlide(note="n" * (NOTE + 1))), "The note of slide 2 has 5001 characters"),
        ("t", (PictureSlide("r1", "first"),), "View of slide 1 is 'first'"),
        ("t", (PictureSlide("r1", 0, frame=["x"]),), "Frame of slide 1"),
    ],
)
def test_what_cannot_be_kept_is_said(store, title, slides, sentence):
    with pytest.raises(StoryError, match=re.escape(sentence)):
        stories.save(store, stories.new(title, "ada", slides))
    assert stories.of_visitor(store, "ada") == []


def test_a_visitor_keeps_so_many_stories_and_can_still_change_each(store, monkeypatch):
    monkeypatch.setattr("core.stories.story.STORIES", 2)
    kept = [stories.new(title, "bob") for title in ("one", "two")]
    for story in kept:
        stories.save(store, story)
    with pytest.raises(StoryError, match="You have 2 stories"):
        stories.save(store, stories.new("three", "bob"))
    stories.save(store, replace(kept[0], title="changed"))
    assert [one.title for one in stories.of_visitor(store, "bob")] == ["changed", "two"]


@pytest.mark.parametrize(
    ("number", "by", "order"), [(0, 1, "bacd"), (2, -1, "acbd"), (0, -1, "abcd"), (3, 1, "abcd"), (3, -3, "dabc")]
)
def test_slides_move_as_far_as_there_are_places(number, by, order):
    slides = tuple(TextSlide(letter) for letter in "abcd")
    assert "".join(slide.title for slide in stories.moved(slides, number, by)) == order


def test_every_kind_of_slide_goes_through_json():
    assert from_json(to_json(EVERY_KIND)) == EVERY_KIND


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "html"),
    [
        ("two\nlines\n\nand *one* more", "<p>two lines</p><p>and <em>one</em> more</p>"),
        ("1. a\n2. **b**\n> c", "<ol><li>a</li><li><strong>b</strong></li></ol><blockquote>c</blockquote>"),
        ("`*x*` & 2 * 3 * 4", "<p><code>*x*</code> &amp; 2 * 3 * 4</p>"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ('[x](https://a.org/"onclick="y)', "<p>[x](https://a.org/&quot;onclick=&quot;y)</p>"),
    ],
)
def test_a_note_becomes_harmless_html(note, html):
    found = notes.html_of(note)
    if "onclick" in note:
        assert re.findall(r"<\w+", found) == re.findall(r"<\w+", found.replace('"', "")) and 'onclick="' not in found
    else:
        assert found == html


def test_links_lead_away_without_telling_and_an_image_is_no_more_than_a_link():
    link = '<a href="https://a.org/b" target="_blank" rel="noopener noreferrer nofollow">c</a>'
    assert notes.html_of("[c](https://a.org/b)") == notes.html_of("![c](https://a.org/b)") == f"<p>{link}</p>"


def test_figures_are_filled_in_where_there_are_any():
    verdicts = {"c1": {"verdict": "holds", "effect": 0.12345, "smallest": float("nan"), "n": 3}, "c2": {"effect": -1234.5}}
    note = "{verdict} at {effect}, n = {n}; {c2.effect}; {smallest} {c3.effect} {anything} {"
    assert notes.filled(note, verdicts, "c1") == "holds at 0.123, n = 3; −1.23e+03; {smallest} {c3.effect} {anything} {"


# --- those that ship --------------------------------------------------------------------------------------------------

SHIPPED = [(audience, number) for audience, slides in shipped.SLIDES.items() for number in range(len(slides))]


@pytest.mark.parametrize(("audience", "number"), SHIPPED)
def test_every_shipped_slide_shows_what_its_note_was_written_for(store, audience, number):
    written, slide = shipped.SLIDES[audience][number], stories.read(store, f"for-{audience}").slides[number]
    shown = stories.show(store, slide)
    assert not shown.missing
    assert shown.title and shown.note
    assert "{" not in shown.note
    typed = re.sub(r"\{\w+\}|95% interval|^\d\. ", "", f"{written.title}\n{written.note}", flags=re.MULTILINE)
    assert not re.search(r"\d", typed), "a figure in words comes from a verdict"
    if isinstance(slide, PictureSlide):
        assert report.figure(store, slide.run, shown.view, method=shown.method) is not None
    if isinstance(slide, VerdictSlide):
        assert shown.verdict["verdict"] == written.verdict, "the reference result is another one now: write the note anew"
        assert "reference result" in shown.source


def test_a_shipped_story_is_nobodys_to_change(store):
    story = stories.read(store, "for-students")
    assert story.shipped
    assert stories.read(store, "students") is None
    assert stories.read(store, "for-nobody") is None


def test_without_reference_results_they_say_what_is_missing(tmp_path):
    empty = Store.open(tmp_path / "store.duckdb")
    for story in shipped.every(empty):
        shown = [stories.show(empty, slide) for slide in story.slides]
        assert {what.missing for what in shown} == {"", "The result that was pinned here is not in this store."}
        assert "not in this store" in deck.page(empty, story)
    empty.close()


# --- the deck ---------------------------------------------------------------------------------------------------------


def test_the_deck_lists_all_claims_of_what_it_shows_and_their_provenance(store):
    (run,) = store.runs("lottery-ticket")["run"]
    story = stories.new("Only what pleases", slides=[VerdictSlide(run, "c1", "It works", "{effect}% do")])
    page = deck.page(store, story)
    verdicts = store.verdicts(run)
    assert f"{notes.number(verdicts['effect'][0])}% do" in page
    assert all(text.replace("'", "&#x27;") in page for text in verdicts["text"])
    assert page.count('class="chip ') == 1 + len(verdicts)
    assert run in page and "Machine: cores" in page
    assert 'id="back"' not in page


def test_a_strangers_words_stay_words_in_the_deck(store):
    evil = "</script><script>alert(1)</script><!--vega-->"
    page = deck.page(
        store, stories.new(evil, slides=[TextSlide(evil, evil), PictureSlide("no such run", 0, title=evil, note=evil)])
    )
    assert "<script>alert" not in page
    assert page.count("<script") == 3  # the charts, what draws them, and what turns the slides


def test_the_decks_colours_are_those_of_the_charts_and_can_be_read():
    style = deck.TEMPLATE.read_text(encoding="utf-8")
    for rule, palette in zip(re.findall(r":root[^{]*\{ color-scheme[^}]*\}", style), (LIGHT, DARK), strict=True):
        found = dict(re.findall(r"--(\w+): (#\w+)", rule))
        ground = found["ground"] if len(found["ground"]) == 7 else "#" + "".join(2 * digit for digit in found["ground"][1:])
        assert ground.lower() == palette.background.lower()
        for ours, theirs in (("text", palette.text), ("muted", palette.muted), ("holds", palette.holds), ("fails", palette.fails)):
            assert found[ours].lower() == theirs.lower()
        assert all(contrast(found[name], ground) >= 4.5 for name in ("text", "muted", "accent", "holds", "fails"))
