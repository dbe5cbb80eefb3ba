"""Who may import whom, where SQL and Streamlit may appear, and that the web pages never wait for torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    "core.charts",
    "core.data.items",
    "core.data.uploads",
    "core.engine",
    "core.store",
    "core.methods.registry",
    "core.methods.base",
    "core.hub",
    "core.limits",
    "core.snapshots",
    "core.dataset_card",
    "core.exported",
    "core.imported",
    "core.report",
    "core.stories",
)
ALLOWED = {  # the longest name that begins a module's name counts; its own room is always allowed
    "app": ("pages.visitor", *PAGES),
    "pages": ("app", *PAGES),
    "core.charts": (),
    "core.data": ("core.hub",),  # one way to say what goes wrong with the Hub
    "core.dataset_card": ("core.methods.registry", "core.store"),
    "core.exported": (),
    "core.engine": ("core.limits", "core.methods", "core.recorder", "core.snapshots", "core.store"),
    "core.hub": ("core.limits",),
    "core.limits": (),
    "core.imported": ("core.data.uploads", "core.engine.spec", "core.methods.base", "core.methods.registry", "core.store"),
    "core.lab": (
        "core.methods.base",
        "core.measures",
        "core.training",
        "core.data",
        "core.hub",
        "core.exported",
        "core.recorder",
        "models",
    ),
    "core.measures": (),
    "core.methods": ("core.measures", "core.training", "core.data", "core.recorder", "models"),
    "core.recorder": (),
    "core.report": ("core.charts", "core.store", "core.methods.base", "core.methods.registry", "core.tool_report"),
    "core.snapshots": ("core.store",),
    "core.store": (),
    "core.stories": ("core.charts", "core.report", "core.store", "core.methods.base", "core.methods.registry"),
    "core.starters": ("core.data", "core.hub", "core.training", "models"),
    "core.tool_report": ("core.charts", "core.snapshots", "core.store"),
    "core.training": ("core.measures", "core.data", "core.recorder", "models"),
    "core.__main__": ("core",),
    "models": (),
    "models.hub": ("models", "core.hub"),  # where a model is on this machine
}
HEAVY = ("torch", "torchmetrics", "transformers", "sklearn", "mlxtend")
STATEMENT = re.compile(
    r"\s*(select|insert\s+into|delete\s+from|update\s+\w+\s+set|(create|drop|alter)\s+table|with\s+\w+\s+as)\b", re.I
)


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def modules() -> dict[str, ast.Module]:
    """Every module of ours that is not a test, parsed, by its dotted name."""
    paths = [ROOT / "app.py", *(path for room in ("core", "models", "pages") for path in sorted((ROOT / room).rglob("*.py")))]
    names = (path.relative_to(ROOT).with_suffix("") for path in paths if path.exists())
    return {
        ".".join(name.parts).removesuffix(".__init__"): ast.parse((ROOT / name).with_suffix(".py").read_text(encoding="utf-8"))
        for name in names
    }


MODULES = modules()


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of what is imported anywhere in a module; `from core import report` counts as core.report."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports say the whole name"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {str(node.module)}
    return found


def is_ours(module: str) -> bool:
    return any(is_in(module, root) for root in ("app", "core", "models", "pages", "tests"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module):
    room = max((room for room in ALLOWED if is_in(module, room)), key=len, default=module)
    allowed = (room, *ALLOWED.get(room, ()))
    strangers = {name for name in imported(MODULES[module]) if is_ours(name) and not any(is_in(name, one) for one in allowed)}
    assert not strangers, f"{module} may import {', '.join(allowed)}, not {', '.join(sorted(strangers))}"


@pytest.mark.parametrize("module", [module for module in MODULES if not is_in(module, "pages") and module != "app"])
def test_only_the_pages_know_streamlit(module):
    assert not [name for name in imported(MODULES[module]) if is_in(name, "streamlit")]


@pytest.mark.parametrize("module", [module for module in MODULES if not is_in(module, "core.store")])
def test_only_the_store_has_sql(module):
    assert "duckdb" not in imported(MODULES[module])
    texts = [node.value for node in ast.walk(MODULES[module]) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in texts if STATEMENT.match(text) and re.search(r"\b(from|into|set|table)\s", text, re.I)]


def python(code: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_web_process_never_imports_torch():
    needed = {name for module in MODULES if is_in(module, "pages") or module == "app" for name in imported(MODULES[module])}
    needed = sorted(name for name in needed if is_in(name, "core"))
    assert "core.methods.registry" in needed
    loaded = python(
        f"import sys, {', '.join(needed)}\n"
        "core.methods.registry.catalogue()\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    assert loaded == ""


def test_core_runs_without_streamlit():
    names = sorted(module for module in MODULES if is_in(module, "core") or is_in(module, "models"))
    python(f"import sys; sys.modules['streamlit'] = None\nimport {', '.join(name for name in names if name != 'core.__main__')}")


def test_a_file_is_named_for_its_idea():
    paths = [path for room in ("core", "models", "pages", "tests") for path in (ROOT / room).rglob("*")]
    nameless = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in paths if path.stem.lower() in nameless and "node_modules" not in path.parts]
