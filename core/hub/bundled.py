"""Starter models: small ones with their weights that ship with the app, so that everything works without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.hub.failures import HubError

PREFIX = "starter/"
FOLDER = Path(__file__).parents[2] / "models" / "starters"


@dataclass(frozen=True)
class Starter:
    """A starter as its provenance.json tells.

    Attributes:
        name: starter/<folder>.
        data: the name of the bundled set that it was trained on.
        accuracy: in [0, 1], of what `measured` says, on `split`; None where it was not measured.
    """

    name: str
    title: str
    task: str
    data: str
    licence: str
    accuracy: float | None
    measured: str
    split: str
    path: Path


@cache
def starters() -> tuple[Starter, ...]:
    """All of them, by name."""
    return tuple(_read(file) for file in sorted(FOLDER.glob("*/provenance.json")))


def starter(name: str) -> Starter:
    """One of them. Raises: HubError with the names there are."""
    for one in starters():
        if one.name == name:
            return one
    raise HubError(f"There is no starter model {name!r}; there are: {', '.join(one.name for one in starters()) or 'none'}.")


def _read(file: Path) -> Starter:
    said = json.loads(file.read_text(encoding="utf-8"))
    return Starter(
        name=PREFIX + file.parent.name,
        title=said.get("title", file.parent.name),
        task=said.get("task", ""),
        data=said.get("data", ""),
        licence=said.get("licence", ""),
        accuracy=said.get("accuracy"),
        measured=said.get("measured", "accuracy"),
        split=said.get("split", "held-out data"),
        path=file.parent,
    )
