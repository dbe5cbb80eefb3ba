"""Curves of several runs over each other: what the pages Runs and Dynamics share. The chosen runs are in the URL, as ?compare=."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.methods import registry
from core.store import Store
from pages import address

COMPARABLE = 6  # more curves over each other cannot be told apart
OWN = "own"  # the slug of what a person's own script recorded, see core.recorder.open_run


def title_of(run: Any) -> str:
    """What a run (a row of Store.runs) is called: the paper's title, the tool's, or what its script calls it."""
    if run.slug == OWN:
        return json.loads(run.spec)["title"]
    try:
        return registry.declared(run.slug).paper.title
    except Exception:  # its file has gone, or is broken, which is said on its own page
        return run.slug


def names_of(runs: pd.DataFrame) -> dict[str, str]:
    """A short name for each run, all different."""
    names = {
        run.run: f"{title_of(run)}, {run.created:%-d %b %H:%M}"
        if run.slug == OWN
        else f"{run.slug}, {run.preset}, {run.created:%-d %b %H:%M}"
        for run in runs.itertuples()
    }
    count = pd.Series(names).value_counts()
    return {run: name if count[name] == 1 else f"{name}, {run[:4]}" for run, name in names.items()}


def chosen() -> list[str]:
    """The runs in the URL."""
    return st.query_params.get_all("compare")


def choose(runs: Iterable[str]) -> None:
    """Puts runs into the URL; the oldest of too many leave it."""
    address.write({"compare": list(runs)[-COMPARABLE:]})


def take_in(run: str) -> None:
    """Adds a run to the comparison."""
    choose([*chosen(), run])


def leave_out(run: str) -> None:
    """Takes a run out of the comparison."""
    choose([other for other in chosen() if other != run])


def recorded(store: Store, runs: Iterable[str]) -> list[str]:
    """The curves that all of these runs have, else those that any has."""
    names = [set(store.scalar_names(run)) for run in runs]
    return sorted(set.intersection(*names)) or sorted(set.union(*names)) if names else []


def together(store: Store, named: dict[str, str], curve: str, x: str = "step", points: int = 400) -> pd.DataFrame:
    """One curve of several runs: run (its name), arm, seed, series, x under its name, value."""
    return pd.concat([store.curves(run, curve, points=points, x=x).assign(run=name) for run, name in named.items()])


def smoothed(frame: pd.DataFrame, weight: float) -> pd.DataFrame:
    """Values as an exponential moving average of the points so far, freed of the bias of its start; what is not finite stays a gap.

    Args:
        weight: of the past, from 0 (nothing changes) to below 1.
    """
    if not weight:
        return frame
    finite = frame["value"].where(np.isfinite(frame["value"]))
    curve = [frame[column] for column in ("run", "arm", "seed", "series")]
    means = finite.groupby(curve, sort=False).transform(lambda values: values.ewm(alpha=1 - weight).mean())
    return frame.assign(value=means.where(finite.notna(), frame["value"]))
