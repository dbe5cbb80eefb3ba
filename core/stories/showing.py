"""What a slide shows: its run, its picture or verdict, and its note with the figures filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.methods import registry
from core.methods.base import Method, View
from core.stories import notes
from core.stories.story import PictureSlide, Slide, TextSlide, VerdictSlide

if TYPE_CHECKING:
    from core.store import Store


@dataclass(frozen=True)
class Shown:
    """A slide with what the store has of it.

    Attributes:
        note: HTML.
        row: of the run, as Store.run gives it. source: the run in one line.
        missing: why there is nothing to show; empty where there is.
    """

    title: str
    note: str
    row: dict[str, Any] | None = None
    method: Method | None = None
    view: View | None = None
    verdict: dict[str, Any] | None = None
    source: str = ""
    missing: str = ""


def show(store: Store, slide: Slide) -> Shown:
    """Looks up what a slide shows. What has gone since it was pinned is said in `missing`."""
    if isinstance(slide, TextSlide):
        return Shown(slide.title, notes.html_of(slide.note))
    row = store.run(slide.run)
    try:
        method = registry.declared(row["slug"]) if row else None
    except registry.UnknownMethod:
        method = None
    if row is None or method is None:
        return Shown(slide.title, notes.html_of(slide.note), missing="The result that was pinned here is not in this store.")
    verdicts = {str(found["claim"]): found for found in store.verdicts(slide.run).to_dict("records")}
    claim = slide.claim if isinstance(slide, VerdictSlide) else ""
    note = notes.html_of(notes.filled(slide.note, verdicts, claim))
    shown = Shown(slide.title, note, row, method, source=source(row, method))
    match slide:
        case PictureSlide(view=number) if 0 <= number < len(method.views):
            view = method.views[number]
            return replace(shown, title=slide.title or view.title, view=view)
        case VerdictSlide() if claim in verdicts:
            return replace(shown, title=slide.title or verdicts[claim]["text"], verdict=verdicts[claim])
    return replace(shown, missing="The paper's file has changed: what was pinned here is not in it any more.")


def source(row: dict[str, Any], method: Method) -> str:
    """Where a result comes from, in one line."""
    paper, seeds = method.paper, len(row["spec"]["seeds"])
    if paper.authors:
        what = f"{paper.title}. {paper.authors}, {paper.year}"
    else:  # a tool, on a person's own model and data
        params = row["spec"]["params"]
        what = " on ".join(filter(None, [paper.title, params.get("model"), params.get("data")]))
    facts = [
        what,
        "reference result" if row["origin"] == "reference" else "",
        f"{row['preset']} preset, at this scale",
        f"{seeds} {'seed' if seeds == 1 else 'seeds'} on {row['device']}",
        f"{row['created']:%-d %b %Y}",
    ]
    return " · ".join(filter(None, facts))
