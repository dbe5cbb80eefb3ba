"""Stories in the store: kept by name, listed by visitor, and changed by nobody but their author."""

from __future__ import annotations

import pytest

from core.store import Store

SLIDES = [{"kind": "text", "title": "What we saw", "note": "A “quotation”, a 'quotation' and {braces}."}]


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    yield store
    store.close()


def keep(store, story="s1", title="First", visitor="ada", slides=SLIDES):
    with store.writing() as writer:
        writer.set_story(story, title, visitor, slides)


def test_a_story_is_read_back_after_the_store_was_closed(store):
    keep(store)
    store.close()
    again = Store.open(store.path)
    found = again.story("s1")
    again.close()
    assert (found["title"], found["visitor"], found["slides"]) == ("First", "ada", SLIDES)
    assert found["created"] == found["changed"]


def test_one_that_was_changed_comes_first_and_keeps_its_day(store):
    keep(store, "s1")
    keep(store, "s2")
    created = store.story("s1")["created"]
    keep(store, "s1", title="Changed", slides=[])
    assert [(row["story"], row["title"]) for row in store.stories("ada")] == [("s1", "Changed"), ("s2", "First")]
    assert store.story("s1")["created"] == created < store.story("s1")["changed"]


def test_only_its_author_changes_or_deletes_it(store):
    keep(store)
    keep(store, title="Taken over", visitor="eve", slides=[])
    with store.writing() as writer:
        writer.delete_story("s1", "eve")
    found = store.story("s1")
    assert (found["title"], found["visitor"], found["slides"]) == ("First", "ada", SLIDES)
    assert store.stories("eve") == []
    with store.writing() as writer:
        writer.delete_story("s1", "ada")
    assert store.story("s1") is None
