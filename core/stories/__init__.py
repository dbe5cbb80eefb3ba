"""Stories: pictures, verdicts and words in order, for people who read no code; kept, shared by link, presented, taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.stories import shipped
from core.stories.showing import Shown, show
from core.stories.story import (
    PictureSlide,
    Slide,
    Story,
    StoryError,
    TextSlide,
    VerdictSlide,
    changed,
    delete,
    kept,
    moved,
    new,
    of_visitor,
    save,
)

if TYPE_CHECKING:
    from core.store import Store

__all__ = [
    "PictureSlide",
    "Shown",
    "Slide",
    "Story",
    "StoryError",
    "TextSlide",
    "VerdictSlide",
    "changed",
    "delete",
    "moved",
    "new",
    "of_visitor",
    "read",
    "save",
    "shipped",
    "show",
]


def read(store: Store, name: str) -> Story | None:
    """The story of that name: one that ships with the program, or one of the store."""
    return shipped.read(store, name) or kept(store, name)
