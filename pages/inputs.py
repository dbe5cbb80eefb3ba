"""What a run works on instead of its own data, in words."""

from __future__ import annotations

from collections.abc import Mapping

from core import snapshots
from core.store import Store
from pages import wording


def described(store: Store, inputs: Mapping[str, str] | None) -> str:
    """Markdown such as "on snapshot starter/digits-vit on digits-8"; empty for the paper's own data."""
    return ", ".join(f"on {_named(store, kind, name)}" for kind, name in (inputs or {}).items())


def _named(store: Store, kind: str, name: str) -> str:
    if kind == "snapshot":
        found = snapshots.read(store, name)
        return f"snapshot {wording.plain(found.title if found else f'{name}, which has been deleted')}"
    if kind == "upload":
        upload = store.upload(name)
        return f"upload {wording.plain(upload['name'] if upload else f'{name}, which has been deleted')}"
    return f"{kind} {wording.plain(name)}"
