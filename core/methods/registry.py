"""Finds the papers: every core/methods/<family>/<paper>.py is one, and so is every <family>/<paper>.py in the folder that
PROVING_GROUND_PAPERS names, for papers of one's own. The tools of core/lab keep the same contract, and are found here too.

`catalogue()` reads only the declarations, without importing torch or anything else that a paper computes with, so that a page
can list all papers at once. `load(slug)` imports the file itself and is what runs it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import logging
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from core.methods.base import FAMILIES, Method

FOLDER = Path(__file__).parent
LAB = FOLDER.parent / "lab"
log = logging.getLogger(__name__)

DECLARED = {"PAPER", "Params", "ARMS", "PRESETS", "CLAIMS", "VIEWS", "INPUTS", "BATCHED"}
LIGHT_MODULES = {"__future__", "dataclasses", "math", "typing", "core.methods.base"}


class UnknownMethod(KeyError):
    """No paper of that slug; the message lists near ones."""

    def __str__(self) -> str:
        return str(self.args[0])


@cache
def paths() -> dict[str, Path]:
    """Slug to file. The file's name is the slug with underscores."""
    own = os.environ.get("PROVING_GROUND_PAPERS")
    folders = [FOLDER, *([Path(own)] if own else [])]
    files = (path for folder in folders for family in FAMILIES for path in sorted((folder / family).glob("*.py")))
    return {path.stem.replace("_", "-"): path for path in files if path.stem != "__init__"}


@cache
def tools() -> dict[str, Path]:
    """Slug to file, of the lab's tools."""
    return {path.stem.replace("_", "-"): path for path in sorted(LAB.glob("*.py")) if path.stem != "__init__"}


@cache
def catalogue() -> dict[str, Method]:
    """Every paper's declaration by slug, by family and then year. `run` and the functions that claims name are placeholders.

    A file that cannot be read is left out with a warning, so that one broken paper does not close the gallery.
    """
    methods = []
    for slug, path in paths().items():
        try:
            methods.append(_assemble(_declarations(path), path))
        except Exception as error:  # whatever a paper's file does wrong
            log.warning("The paper %s is left out: %s: %s", slug, type(error).__name__, error)
    order = list(FAMILIES)
    methods.sort(key=lambda method: (order.index(method.paper.family), method.paper.year, method.slug))
    return {method.slug: method for method in methods}


@cache
def load(slug: str) -> Method:
    """The paper or tool itself, imported. Raises: UnknownMethod."""
    path = _path(slug)
    if path.is_relative_to(LAB):
        return _assemble(vars(importlib.import_module(f"core.lab.{path.stem}")), path)
    name = f"core.methods.{path.parent.name}.{path.stem}"
    if path.is_relative_to(FOLDER):
        return _assemble(vars(importlib.import_module(name)), path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return _assemble(vars(module), path)


def declared(slug: str) -> Method:
    """One entry of the catalogue, or a tool. Raises: UnknownMethod; or what is wrong with its file."""
    path = _path(slug)
    return catalogue().get(slug) or _declared(path)


@cache
def _declared(path: Path) -> Method:
    return _assemble(_declarations(path), path)


def _path(slug: str) -> Path:
    import difflib

    if slug in tools():
        return tools()[slug]
    if slug not in paths():
        near = difflib.get_close_matches(slug, paths(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `python -m core list` names them all."
        raise UnknownMethod(f"There is no paper {slug!r}{hint}")
    return paths()[slug]


def _assemble(names: dict[str, Any], path: Path) -> Method:
    missing = {"PAPER", "Params", "ARMS", "PRESETS", "CLAIMS", "VIEWS", "run"} - names.keys()
    if missing:
        raise TypeError(f"{path} declares no {', '.join(sorted(missing))}; core/methods/base.py says what a paper's file holds.")
    return Method(
        paper=names["PAPER"],
        text=inspect.cleandoc(names["__doc__"] or ""),
        params_class=names["Params"],
        arms=names["ARMS"],
        presets=names["PRESETS"],
        claims=names["CLAIMS"],
        views=names["VIEWS"],
        inputs=names.get("INPUTS", ("own",)),
        batched=names.get("BATCHED", False),
        run=names["run"],
        source=str(path),
    )


def _declarations(path: Path) -> dict[str, Any]:
    """Executes only the statements that make up a file's declaration: the names in DECLARED and the constants they use."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    wanted = set(DECLARED)
    kept: list[ast.stmt] = []
    for node in reversed(tree.body):
        match node:
            case ast.ImportFrom(module=origin) if origin in LIGHT_MODULES:
                kept.append(node)
            case ast.Import(names=[ast.alias(name=name)]) if name in LIGHT_MODULES:
                kept.append(node)
            case ast.FunctionDef(args=arguments):  # named by claims and run, never called here: only its name must exist
                arguments.defaults = [_constant(default) for default in arguments.defaults]
                arguments.kw_defaults = [default and _constant(default) for default in arguments.kw_defaults]
                node.decorator_list = []
                kept.append(node)
            case ast.ClassDef(name=name) if name in wanted:
                kept.append(node)
                wanted |= _loaded_names(node)
            case ast.Assign(targets=[ast.Name(id=name)]) if name in wanted:
                kept.append(node)
                wanted |= _loaded_names(node)
            case ast.AnnAssign(target=ast.Name(id=name)) if name in wanted:
                kept.append(node)
                wanted |= _loaded_names(node)
    module = ast.fix_missing_locations(ast.Module(kept[::-1], type_ignores=[]))
    names: dict[str, Any] = {"__doc__": ast.get_docstring(tree, clean=False), "__name__": __name__}
    exec(compile(module, str(path), "exec"), names)  # noqa: S102 - our own file, as an import would
    return names


def _constant(default: ast.expr) -> ast.expr:
    return default if isinstance(default, ast.Constant) else ast.Constant(None)


def _loaded_names(node: ast.AST) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
