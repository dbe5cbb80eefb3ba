"""The command line: `python -m core list | show | run | runs | export | import | reproduce | starters`.

Exit code 0 when the work is done, whatever the verdicts; 1 when it failed; 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from core.methods import registry
from core.methods.base import FAMILIES, Method, ParameterError

if TYPE_CHECKING:
    from core.engine import Engine, Spec
    from core.store import Store


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit code 2, as everywhere for wrong arguments."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    from core.store import StoreError

    options = build_parser().parse_args(arguments)
    try:
        return options.command(options)
    except (ParameterError, registry.UnknownMethod) as error:
        print(f"python -m core {options.name}: {error}", file=sys.stderr)
        return 2
    except StoreError as error:
        print(f"python -m core {options.name}: {error}", file=sys.stderr)
        return 1


def build_parser() -> Parser:
    """All commands with their options."""
    parser = Parser(prog="python -m core", description="Papers' claims, checked: run a paper's method against its baselines.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="command")

    def add(name: str, function: Any, help: str, description: str = "") -> Parser:
        command = commands.add_parser(name, help=help, description=description or help)
        command.set_defaults(command=function)
        command.add_argument("--json", action="store_true", help="print JSON instead of text")
        command.add_argument("--store", metavar="PATH", type=Path, help="the DuckDB file (default: PROVING_GROUND_STORE)")
        return command

    add("list", list_papers, "all papers")
    show = add("show", show_paper, "one paper: its idea, parameters, presets, arms and claims")
    show.add_argument("slug", metavar="SLUG", help="as `list` names it")
    run = add(
        "run", run_paper, "run a paper and print the verdicts", "Runs a paper; a kept result of the same run is shown at once."
    )
    run.add_argument("slug", metavar="SLUG", help="as `list` names it")
    run.add_argument("--preset", default="quick", help="smoke, quick (default), standard or paper")
    run.add_argument("--seeds", metavar="N", type=seeds, help="how many seeds, or the seeds themselves with commas: 0,1,2")
    run.add_argument("--arms", metavar="ARM,ARM", help="only these arms, and those that they build on")
    run.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], type=setting, help="a parameter; may be repeated")
    run.add_argument(
        "--input", metavar="KIND=NAME", action="append", default=[], type=setting,
        help="what to work on instead of the paper's data: snapshot=RUN, weights=OWNER/NAME@REVISION",
    )  # fmt: skip
    run.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    run.add_argument("--workers", metavar="N", type=positive, help="cells side by side (default: one a core)")
    run.add_argument("--again", action="store_true", help="run again where a result of the same run is kept")
    runs = add("runs", list_runs, "everything that ran, newest first")
    runs.add_argument("--paper", metavar="SLUG", help="only runs of this paper")
    export = add("export", export_run, "write a run as Parquet, a file a table, and its results as CSV and JSON")
    export.add_argument("run", metavar="RUN", help="as `runs` names it")
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write to")
    bring = add("import", import_run, "bring in a run that was exported elsewhere", "Brings in what `export`, or a page, wrote.")
    bring.add_argument("path", metavar="FILE", type=Path, help="the zip file, or the folder")
    bring.add_argument("--replace", action="store_true", help="in place of a run of the same name that is here")
    reproduce = add(
        "reproduce", reproduce_papers, "run papers anew and write, or check, the reference results that ship with the program"
    )
    reproduce.add_argument("--preset", default="standard", help="standard (default) or another")
    reproduce.add_argument("--papers", metavar="SLUG,SLUG", help="only these (default: all)")
    reproduce.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    reproduce.add_argument("--workers", metavar="N", type=positive, help="cells side by side (default: one a core)")
    reproduce.add_argument("--check", action="store_true", help="write nothing; say what differs from what is there, exit code 1")
    starters = add("starters", train_starters, "train anew the small models that ship with the program")
    starters.add_argument("names", metavar="NAME", nargs="*", help="which (default: all)")
    starters.add_argument("--out", metavar="DIR", type=Path, help="the folder to write to (default: models/starters)")
    return parser


def seeds(text: str) -> int | list[int]:
    """A number of seeds, or the seeds themselves."""
    try:
        return [int(part) for part in text.split(",") if part] if "," in text else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seeds, nor seeds with commas such as 0,1,2") from None


def setting(text: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, value


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


# --- commands ---------------------------------------------------------------------------------------------------


def list_papers(options: argparse.Namespace) -> int:
    """`list`."""
    methods = registry.catalogue().values()
    if options.json:
        print_json([summary(method) for method in methods])
        return 0
    for family, title in FAMILIES.items():
        of_family = [method for method in methods if method.paper.family == family]
        if of_family:
            print(f"\n{title}")
        for method in of_family:
            print(f"  {method.slug:32}{method.paper.title} ({method.paper.year})")
    return 0


def show_paper(options: argparse.Namespace) -> int:
    """`show`."""
    method = registry.declared(options.slug)
    if options.json:
        print_json(summary(method) | details(method))
        return 0
    paper = method.paper
    print(f"{paper.title}\n{paper.authors}, {paper.venue} {paper.year}, {paper.url}\n\n{paper.idea}\n")
    print("Arms")
    for arm in method.arms:
        print(f"  {arm.name:20}{arm.title}. {arm.help}{' (only where asked for)' if arm.role == 'ablation' else ''}")
    print("\nPresets")
    for name, preset in method.presets.items():
        where = "on one H100" if preset.needs == "cuda" else "on 2 cores"
        print(f"  {name:20}{len(preset.seeds)} seeds, about {preset.seconds:g} s {where}")
    print("\nParameters")
    for spec in method.params.values():
        default = ",".join(map(str, spec.default)) if spec.many else spec.default
        print(f"  {spec.name} = {default}\n      {spec.help} Allowed: {spec.allowed}.")
    print("\nClaims")
    for claim in method.claims:
        print(f"  {claim.id}  {claim.text}")
    return 0


def run_paper(options: argparse.Namespace) -> int:
    """`run`."""
    from core.engine import Engine
    from core.engine.spec import make_spec
    from core.store import default_path

    arms = [arm for arm in (options.arms or "").split(",") if arm] or None
    chosen = (options.slug, options.preset, dict(options.set), arms, options.seeds)
    make_spec(*chosen, inputs=dict(options.input))  # wrong arguments end here, before workers start
    with Engine(options.store or default_path(), workers=options.workers) as engine:
        spec = engine.make_spec(*chosen, options.device, dict(options.input))
        try:
            watch(engine, engine.submit(spec, again=options.again))
        except KeyboardInterrupt:
            engine.cancel(spec.run)
            print(f"Cancelled; what was recorded is kept as run {spec.run}.", file=sys.stderr)
            return 130
        return report(engine.store, spec, options.json)


def watch(engine: Engine, run: str) -> None:
    """A progress bar on standard error until the run has ended."""
    from tqdm import tqdm

    with tqdm(
        total=100, unit="%", bar_format="{desc} {bar} {percentage:3.0f}% [{elapsed}]", leave=False, file=sys.stderr, disable=None
    ) as bar:
        while not engine.wait(run, timeout=0.25):
            progress = engine.progress(run)
            if progress:
                left = f", about {progress.eta_seconds:.0f} s left" if progress.eta_seconds is not None else ""
                ended = sum(cell.status not in ("queued", "running") for cell in progress.cells)
                bar.set_description_str(f"{ended} of {len(progress.cells)} cells{left}")
                bar.n = 100 * progress.fraction
                bar.refresh()


def report(store: Store, spec: Spec, as_json: bool) -> int:
    """Prints what came out; 0 when the run completed, else 1."""
    run = store.run(spec.run)
    assert run is not None
    verdicts = records(store.verdicts(spec.run))
    if as_json:
        print_json(
            {
                "run": spec.run,
                "slug": spec.slug,
                "preset": spec.preset,
                "status": run["status"],
                "message": run["message"],
                "seconds": run["seconds"],
                "device": run["device"],
                "params": spec.params,
                "results": [
                    {"arm": row.pop("arm"), "seed": row.pop("seed"), "metrics": {k: v for k, v in row.items() if v is not None}}
                    for row in records(store.results(spec.run))
                ],
                "verdicts": verdicts,
            }
        )
    else:
        print(
            f"{spec.slug}, preset {spec.preset}, run {spec.run}: {run['status']} in {run['seconds'] or 0:.1f} s on {run['device']}"
        )
        for verdict in verdicts:
            print(f"\n{verdict['claim']}  {verdict['text']}\n    {verdict['verdict']} at this scale{interval(verdict)}")
            print(f"    {verdict['detail']}")
    for cell in store.cells(spec.run).itertuples():
        if cell.status != "completed":
            print(f"{cell.arm}, seeds {list(cell.seeds)}: {cell.status}. {cell.message}", file=sys.stderr)
    if run["status"] != "completed":
        print(f"The run is {run['status']}. {run['message']}", file=sys.stderr)
        return 1
    return 0


def list_runs(options: argparse.Namespace) -> int:
    """`runs`."""
    from core.store import Store, default_path

    if options.paper:
        registry.declared(options.paper)
    store = Store.open(options.store or default_path())
    rows = store.runs(options.paper)
    store.close()
    if options.json:
        print_json(records(rows.drop(columns=["spec", "machine"])))
        return 0
    for row in rows.itertuples():
        seconds = "" if math.isnan(row.seconds) else f"{row.seconds:.1f} s"
        print(f"{row.run}  {row.created:%Y-%m-%d %H:%M}  {row.slug:28}{row.preset:10}{row.status:12}{seconds}")
    return 0


def export_run(options: argparse.Namespace) -> int:
    """`export`."""
    from core.store import Store, StoreError, default_path

    store = Store.open(options.store or default_path())
    try:
        written = store.export(options.run, options.out)
    except KeyError as error:
        raise ParameterError(f"{error.args[0]} `python -m core runs` lists them.") from error
    except OSError as error:
        raise StoreError(f"{options.out} could not be written: {error}") from error
    finally:
        store.close()
    if options.json:
        print_json([str(path) for path in written])
    else:
        print("\n".join(map(str, written)))
    return 0


def import_run(options: argparse.Namespace) -> int:
    """`import`."""
    from core import imported
    from core.data.uploads import UploadError
    from core.store import RunIsHere, Store, default_path

    path = options.path
    try:
        if not path.exists():
            raise UploadError(f"There is no file {path}.")
        export = imported.read_folder(path) if path.is_dir() else imported.read_zip(path.name, path.read_bytes())
    except UploadError as error:
        raise ParameterError(str(error)) from error
    store = Store.open(options.store or default_path())
    try:
        with store.writing() as writer:
            writer.bring_in(export.tables, options.replace)
    except RunIsHere as error:
        raise ParameterError(f"{error} --replace puts this one in its place, once it has ended.") from error
    finally:
        store.close()
    if options.json:
        print_json({"run": export.run, "slug": export.slug, "preset": export.preset})
    else:
        print(f"{export.slug}, preset {export.preset}, is here as run {export.run}.")
    return 0


def reproduce_papers(options: argparse.Namespace) -> int:
    """`reproduce`. Without --store everything runs anew and is kept nowhere else; in a store, what is complete there is taken."""
    import tempfile

    from core.engine import Engine
    from core.engine.spec import make_spec
    from core.methods.base import shown_by
    from core.store.reference import REFERENCE, differences, write

    slugs = [slug for slug in (options.papers or "").split(",") if slug] or list(registry.catalogue())
    for slug in slugs:
        make_spec(slug, options.preset)
    said, code = [], 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine(options.store or Path(folder) / "store.duckdb", workers=options.workers) as engine,
    ):
        for slug in slugs:
            spec = engine.make_spec(slug, options.preset, device=options.device)
            watch(engine, engine.submit(spec))
            outcome = report(engine.store, spec, as_json=False)
            code = max(code, outcome)
            if options.check:
                said += differences(engine.store, slug, spec.run, REFERENCE)
            elif outcome == 0:
                write(engine.store, {spec.run: shown_by(registry.declared(slug).views[0])}, REFERENCE)
    if options.json:
        print_json({"papers": slugs, "differences": said})
    elif options.check:
        print("\n".join(["", *(said or ["Nothing differs from the reference results."])]))
    return 1 if said else code


def train_starters(options: argparse.Namespace) -> int:
    """`starters`. Trains them one after the other, on one thread each, and writes them where the app looks for them."""
    from core.engine.machine import commit
    from core.hub.bundled import FOLDER
    from core.starters import RECIPES, write

    unknown = [name for name in options.names if name not in RECIPES]
    if unknown:
        raise ParameterError(f"There is no starter {unknown[0]!r}; there are: {', '.join(RECIPES)}.")
    made = {}
    for name in options.names or RECIPES:
        made[name] = said = write(RECIPES[name], options.out or FOLDER, f"python -m core starters {name}", commit())
        if not options.json:
            print(f"{name}: {said['measured']} {100 * said['accuracy']:.1f}% on {said['split']}, {said['parameters']:,} parameters")
    if options.json:
        print_json(made)
    return 0


# --- JSON -------------------------------------------------------------------------------------------------------


def summary(method: Method) -> dict[str, Any]:
    """A paper as `list` shows it."""
    paper = method.paper
    return {
        "slug": method.slug,
        "title": paper.title,
        "family": paper.family,
        "authors": paper.authors,
        "year": paper.year,
        "venue": paper.venue,
        "arxiv": paper.arxiv,
        "idea": paper.idea,
        "presets": list(method.presets),
        "arms": [arm.name for arm in method.arms],
        "claims": [{"id": claim.id, "text": claim.text} for claim in method.claims],
    }


def details(method: Method) -> dict[str, Any]:
    """What `show` adds."""
    return {
        "params": [
            {"name": spec.name, "default": spec.default, "help": spec.help, "allowed": spec.allowed}
            for spec in method.params.values()
        ],
        "preset_details": {
            name: {"seeds": preset.seeds, "params": dict(preset.params), "seconds": preset.seconds, "needs": preset.needs}
            for name, preset in method.presets.items()
        },
        "arm_details": [{"name": arm.name, "title": arm.title, "help": arm.help, "role": arm.role} for arm in method.arms],
        "inputs": list(method.inputs),
        "views": [view.title for view in method.views],
    }


def records(frame: Any) -> list[dict[str, Any]]:
    """Rows for JSON, which knows neither NaN nor infinity: both become null."""
    return json.loads(frame.to_json(orient="records", date_format="iso", double_precision=15))


def interval(verdict: dict[str, Any]) -> str:
    """Effect and interval in words, as far as there are any."""
    if verdict["effect"] is None:
        return "."
    unit = f" {verdict['unit']}" if verdict["unit"] else ""
    text = f": {verdict['effect']:.4g}{unit}"
    if verdict["low"] is not None:
        text += f", 95% interval {verdict['low']:.4g} to {verdict['high']:.4g}"
    return f"{text} (n = {verdict['n']})."


def print_json(value: Any) -> None:
    """To standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
