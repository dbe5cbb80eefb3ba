"""Claims meet results."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.methods.base import Claim, Method, Results, Verdict

if TYPE_CHECKING:
    import pandas as pd


def judge(method: Method, metrics: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> tuple[list[dict[str, Any]], str]:
    """The verdict of every claim as a row, and the tracebacks of those that could not be computed."""
    results = Results(metrics, tables)
    rows, problems = [], []
    for claim in method.claims:
        try:
            verdict = _decide(claim, results)
        except Exception as error:  # a claim's own code met results it cannot read; the others still count
            verdict = Verdict("undecided", detail=f"Could not be computed: {type(error).__name__}: {error}")
            problems.append(f"{claim.id}: {traceback.format_exc()}")
        rows.append(
            {
                "claim": claim.id,
                "text": claim.text,
                "verdict": verdict.outcome,
                "effect": float(verdict.effect),
                "low": float(verdict.low),
                "high": float(verdict.high),
                "n": int(verdict.n),
                "smallest": float(verdict.smallest),
                "unit": verdict.unit,
                "detail": verdict.detail,
            }
        )
    return rows, "\n".join(problems)


def _decide(claim: Claim, results: Results) -> Verdict:
    obstacle = claim.precondition(results) if claim.precondition else ""
    if obstacle:
        return Verdict("not testable here", math.nan, math.nan, math.nan, 0, detail=obstacle)
    return claim.decide(results)
