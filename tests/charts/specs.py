"""Reading a chart's specification in tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any


def views(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every part of a specification that has a mark."""
    if "mark" in spec:
        yield spec
    for name in ("layer", "concat", "hconcat", "vconcat"):
        for part in spec.get(name, []):
            yield from views(part)


def marks(spec: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The parts with one kind of mark."""
    return [view for view in views(spec) if view["mark"]["type"] == kind]


def rows(spec: dict[str, Any], view: dict[str, Any], parent: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The data of a part: its own, or that of the layers around it."""
    data = view.get("data") or _around(spec, view)
    return spec["datasets"][data["name"]]


def _around(spec: dict[str, Any], view: dict[str, Any]) -> dict[str, Any]:
    for name in ("layer", "concat", "hconcat", "vconcat"):
        for part in spec.get(name, []):
            if any(inner is view for inner in views(part)):
                return part.get("data") or (spec.get("data") if part is view else None) or _around(part, view) or spec["data"]
    return spec.get("data", {})


def scales(spec: dict[str, Any], channel: str) -> list[dict[str, Any]]:
    """The scales that a channel is given anywhere."""
    return [view["encoding"][channel]["scale"] for view in views(spec) if view.get("encoding", {}).get(channel, {}).get("scale")]


def note(spec: dict[str, Any]) -> str:
    """The footnote, as a wide page shows it."""
    (lines,) = re.findall(r"\? (\[.*?\]) : \[", spec["title"]["text"]["expr"])
    return " ".join(json.loads(lines))
