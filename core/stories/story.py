"""A story as data: its slides, what is checked of them, and their form in the store.

story = stories.read(store, name)                     a shipped one, or one of the store
stories.save(store, replace(story, title="..."))      changes only what has the same author
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.store import Store

STORIES, SLIDES, TITLE, NOTE = 100, 60, 160, 5000  # of a visitor, in a story, characters in a title and in a note, at most
Frame = int | float | str | None


class StoryError(ValueError):
    """A story that cannot be kept. The message says why."""


@dataclass(frozen=True)
class TextSlide:
    """Words alone. `note` is Markdown (core.stories.notes)."""

    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class PictureSlide:
    """A picture of a run: the number of its method's view, and where its slider stands. Without a title it has the view's."""

    run: str
    view: int
    frame: Frame = None
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class VerdictSlide:
    """What a run says about a claim. Without a title it has the claim's text."""

    run: str
    claim: str
    title: str = ""
    note: str = ""


Slide = TextSlide | PictureSlide | VerdictSlide
KINDS: dict[str, type[Slide]] = {"text": TextSlide, "picture": PictureSlide, "verdict": VerdictSlide}
TYPES: dict[str, Any] = {"run": str, "view": int, "frame": Frame, "claim": str, "title": str, "note": str}


@dataclass(frozen=True)
class Story:
    """Slides in order. `story` is its random name, which its link carries; `visitor` its author, empty where there is one user."""

    story: str
    title: str
    slides: tuple[Slide, ...] = ()
    visitor: str = ""
    audience: str = ""  # whom a shipped story is for
    changed: datetime | None = None

    @property
    def shipped(self) -> bool:
        """Whether it came with the program, so that nobody changes it."""
        return bool(self.audience)


def new(title: str, visitor: str = "", slides: Sequence[Slide] = ()) -> Story:
    """A story with a name that nobody can guess."""
    return Story(secrets.token_hex(10), title.strip(), tuple(slides), visitor)


def to_json(slides: Sequence[Slide]) -> list[dict[str, Any]]:
    """Slides as the store keeps them."""
    names = {kind: name for name, kind in KINDS.items()}
    return [{"kind": names[type(slide)], **asdict(slide)} for slide in slides]


def from_json(slides: Sequence[Mapping[str, Any]]) -> tuple[Slide, ...]:
    """The inverse. Raises: StoryError."""
    found = []
    for number, given in enumerate(slides, start=1):
        kind = KINDS.get(given.get("kind", ""))
        known = {field.name for field in fields(kind)} if kind else set()
        if kind is None or not given.keys() <= known | {"kind"}:
            raise StoryError(f"Slide {number} is of no kind that is known here: {', '.join(KINDS)}.")
        try:
            found.append(kind(**{name: value for name, value in given.items() if name != "kind"}))
        except TypeError:
            raise StoryError(f"Slide {number} lacks what a {given['kind']} needs.") from None
    return tuple(found)


def check(story: Story) -> None:
    """Raises: StoryError, with what cannot be kept."""
    if not story.title.strip():
        raise StoryError("A story needs a title.")
    if len(story.title) > TITLE:
        raise StoryError(f"The title has {len(story.title)} characters; at most {TITLE} are kept.")
    if len(story.slides) > SLIDES:
        raise StoryError(f"A story has at most {SLIDES} slides.")
    for number, slide in enumerate(story.slides, start=1):
        for name, value in asdict(slide).items():
            if not isinstance(value, TYPES[name]):
                raise StoryError(f"{name.capitalize()} of slide {number} is {value!r}.")
        for name, most in (("title", TITLE), ("note", NOTE)):
            if len(getattr(slide, name)) > most:
                raise StoryError(
                    f"The {name} of slide {number} has {len(getattr(slide, name))} characters; at most {most} are kept."
                )


def save(store: Store, story: Story) -> None:
    """Keeps a story in place of an earlier one of its name and author. Raises: StoryError, StoreError."""
    check(story)
    others = [one for one in store.stories(story.visitor) if one["story"] != story.story]
    if len(others) >= STORIES:
        raise StoryError(f"You have {len(others)} stories, the most that are kept; delete one.")
    with store.writing() as writer:
        writer.set_story(story.story, story.title.strip(), story.visitor, to_json(story.slides))


def delete(store: Store, story: Story) -> None:
    """Removes a story."""
    with store.writing() as writer:
        writer.delete_story(story.story, story.visitor)


def of_visitor(store: Store, visitor: str) -> list[Story]:
    """A visitor's own stories, the last changed first."""
    return [_story(row) for row in store.stories(visitor)]


def kept(store: Store, name: str) -> Story | None:
    """A story of the store; None where there is none of that name."""
    row = store.story(name)
    return _story(row) if row else None


def moved(slides: Sequence[Slide], number: int, by: int) -> tuple[Slide, ...]:
    """Slides with one of them moved down by so many places (up where negative), as far as there are places."""
    rest = [slide for other, slide in enumerate(slides) if other != number]
    place = min(max(number + by, 0), len(rest))
    return (*rest[:place], slides[number], *rest[place:])


def changed(slides: Sequence[Slide], number: int, title: str, note: str) -> tuple[Slide, ...]:
    """Slides with another title and note of one of them."""
    return (*slides[:number], replace(slides[number], title=title, note=note), *slides[number + 1 :])


def _story(row: Mapping[str, Any]) -> Story:
    return Story(row["story"], row["title"], from_json(row["slides"]), row["visitor"], changed=row["changed"])
