"""What visitors of a shared app may ask of it. An app with one user has no such limits, unless the environment sets some."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields

UNLIMITED = math.inf
VARIABLE = "PROVING_GROUND_"


@dataclass(frozen=True)
class Limits:
    """Each is read from PROVING_GROUND_ and its name in capitals; UNLIMITED where an app with one user sets none.

    Attributes:
        visitor_runs: of one visitor that wait or run at the same time.
        visitor_cells: of one visitor that run at the same time.
        run_seconds: of a run: longer presets are not offered, and a run that takes longer is ended.
        model_gigabytes: of the memory that a Hub model needs.
        upload_megabytes: of an uploaded file.
        snapshot_items: of a snapshot.
        keep_days: after which a run, an upload or a story is removed. Reference results never are.
        store_gigabytes: of all that is kept: beyond it the oldest is removed.
    """

    public: bool = False
    visitor_runs: float = UNLIMITED
    visitor_cells: float = UNLIMITED
    run_seconds: float = UNLIMITED
    model_gigabytes: float = UNLIMITED
    upload_megabytes: float = UNLIMITED
    snapshot_items: float = UNLIMITED
    keep_days: float = UNLIMITED
    store_gigabytes: float = UNLIMITED


PUBLIC = Limits(
    public=True,
    visitor_runs=3,
    visitor_cells=2,
    run_seconds=900,
    model_gigabytes=2,
    upload_megabytes=100,
    snapshot_items=5000,
    keep_days=30,
    store_gigabytes=10,
)


def from_environment() -> Limits:
    """Those of PUBLIC where PROVING_GROUND_PUBLIC is 1 (in a Space of the Hub: unless it is 0), else none; each can be set.

    Raises:
        ValueError: a variable that is no positive number, named.
    """
    said = os.environ.get(f"{VARIABLE}PUBLIC") or ("1" if "SPACE_ID" in os.environ else "0")
    base = PUBLIC if said.lower() in ("1", "true", "yes", "on") else Limits()
    names = [field.name for field in fields(Limits) if field.name != "public"]
    return Limits(base.public, **{name: _number(name, getattr(base, name)) for name in names})


def _number(name: str, default: float) -> float:
    variable = VARIABLE + name.upper()
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not value > 0:
        raise ValueError(f"{variable} is {text!r}; allowed: a number above 0.")
    return value
