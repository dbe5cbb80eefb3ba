"""A run as a data set of the Hub: its exported files, and a card that says what was run, what came out, and how to read it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.methods import registry

if TYPE_CHECKING:
    from core.store import Store

MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#$~"} | {"\n": " "})


def write(store: Store, run: str, name: str, folder: Path) -> None:
    """Writes a run's files and its card for the repository `name` into a folder. Raises: KeyError: no such run."""
    files = store.export(run, folder)
    tables = [file.stem for file in files if file.suffix == ".parquet"]
    (folder / "README.md").write_text(card(store, run, name, tables), encoding="utf-8")


def card(store: Store, run: str, name: str, tables: list[str]) -> str:
    """The README.md of the data set `name` (owner/name). `tables`: names of its Parquet files, without their ending."""
    row = store.run(run)
    assert row is not None
    title, source = _title(row)
    spec = row["spec"]
    configs = [{"config_name": table.replace(" ", "-"), "data_files": f"{table}.parquet"} for table in tables]
    head = {"pretty_name": title, "tags": ["proving-ground", row["slug"]], "configs": configs}
    facts = {
        "Run": f"`{run}`",
        "Preset": _plain(row["preset"]),
        "Arms": ", ".join(map(_plain, spec.get("arms", []))),
        "Seeds": ", ".join(map(_plain, spec.get("seeds", []))),
        "Device": _plain(row["device"]),
        "Status": _plain(row["status"]),
        "Started": f"{row['created']:%Y-%m-%d %H:%M} UTC",
        **{_plain(f"Parameter {key}"): _plain(value) for key, value in spec["params"].items()},
        **{_plain(f"Input {key}"): _plain(value) for key, value in (spec.get("inputs") or {}).items()},
        **{_plain(f"Machine: {key}"): _plain(value) for key, value in (row["machine"] or {}).items()},
        **({"Source digest": _plain(spec["source"])} if "source" in spec else {}),
    }
    first = "results" if "results" in tables else tables[0]
    return f"""---
{_yaml(head)}---

# {_plain(title)}

{source}
Everything that this run of Proving Ground recorded, where papers' claims are checked by running them.

## Verdicts, at this scale

{_verdicts(store, run)}

## How it was made

| | |
| --- | --- |
{"".join(f"| {key} | {value} |{chr(10)}" for key, value in facts.items())}
## How to read it

Each Parquet file is a table; a row has the arm and the seed that it is of.

```python
from datasets import load_dataset

{first} = load_dataset("{name}", "{first}", split="train")
```

## How to bring it into Proving Ground

```
hf download {name} --repo-type dataset --local-dir run
python -m core import run
```
"""


def _title(row: dict[str, Any]) -> tuple[str, str]:
    """What a run is called, and a sentence on what it is of."""
    if row["slug"] == "own":
        return row["spec"]["title"], "A training script of somebody's own.\n"
    try:
        paper = registry.declared(row["slug"]).paper
    except registry.UnknownMethod:
        return row["slug"], ""
    if not paper.arxiv:
        return paper.title, f"{_plain(paper.idea)}\n"
    return paper.title, f"{_plain(paper.authors)}, {_plain(paper.venue)}: [arXiv {paper.arxiv}]({paper.url})\n"


def _verdicts(store: Store, run: str) -> str:
    rows = store.verdicts(run)
    if rows.empty:
        return "None: this run tests no claim, or has not ended."
    lines = ["| Claim | Verdict | Effect | 95% interval | n |", "| --- | --- | --- | --- | --- |"]
    for row in rows.itertuples():
        ends = f"{row.low:.3g} to {row.high:.3g}" if math.isfinite(row.low) and math.isfinite(row.high) else "–"
        effect = f"{row.effect:.3g} {_plain(row.unit)}" if math.isfinite(row.effect) else "–"
        lines.append(f"| {_plain(row.text)} | {_plain(row.verdict)} | {effect} | {ends} | {row.n} |")
    return "\n".join(lines)


def _yaml(head: dict[str, Any]) -> str:
    """JSON's values are YAML's."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in head.items())


def _plain(value: Any) -> str:
    """Anything as Markdown that shows just that, in a table's cell too."""
    return str(value).translate(MARKS)
