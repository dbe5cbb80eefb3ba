"""README and docs/ name what there is: every setting, command, page, record and view, and only files that exist."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path

import pytest

from core.__main__ import build_parser
from core.limits import VARIABLE, Limits
from core.methods import base
from core.recorder import Recorder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
SETTING = re.compile(r"\bPROVING_GROUND_[A-Z_]+")


def rows_of(text):
    """The first cell of every row of its tables."""
    return re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)


def test_every_setting_is_documented():
    sources = [ROOT / "app.py", *(path for room in ("core", "pages", "models") for path in (ROOT / room).rglob("*.py"))]
    settings = {name for path in sources for name in SETTING.findall(path.read_text(encoding="utf-8"))}
    settings |= {VARIABLE + field.name.upper() for field in dataclasses.fields(Limits)}
    assert settings == {name for row in rows_of(DOCS["operations.md"]) for name in SETTING.findall(row)}


def commands():
    (found,) = [action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return set(found)


def test_every_command_is_documented():
    (line,) = re.findall(r"^    python -m core (\w+(?: \| \w+)+)$", DOCS["guide.md"], re.MULTILINE)
    assert set(line.split(" | ")) == commands()
    assert set(re.findall(r"^    python -m core (\w+)", README, re.MULTILINE)) == commands()


@pytest.mark.parametrize("line", re.findall(r"^    python -m core (.*)", README, re.MULTILINE))
def test_every_example_is_one_that_the_command_line_takes(line):
    words = line.split("#")[0].split()
    if "--help" in words:
        words.remove("--help")
    build_parser().parse_args(words)


def test_every_page_is_documented():
    navigation = (ROOT / "pages" / "navigation.py").read_text(encoding="utf-8")
    shown = re.findall(r'st\.Page\(\s*"\w+\.py", title="(\w+)", icon', navigation)
    hidden = set(re.findall(r'title="(\w+)", visibility="hidden"', navigation))
    assert len(shown) > 5
    assert set(shown) <= set(re.findall(r"\*\*(\w+)\*\*", DOCS["guide.md"]))
    assert hidden <= {"Method", "Model", "Story", "Operator"}, "a page without a link to it: say in docs/ how it is reached"
    assert "/operator" in DOCS["operations.md"]
    files = set(re.findall(r'st\.Page\(\s*"(\w+)\.py"', navigation))
    assert files == set(re.findall(r"\(images/(\w+)\.png\)", DOCS["guide.md"] + DOCS["operations.md"])), "a picture of each"


def test_every_record_and_view_is_documented():
    records = {
        name for name, method in vars(Recorder).items() if callable(method) and not name.startswith("_") and name not in HOUSE
    }
    assert records == set(re.findall(r"`record\.(\w+)\(", DOCS["methods.md"]))
    views = {name for name, kind in vars(base).items() if isinstance(kind, type) and issubclass(kind, base.View)} - {"View"}
    assert views == set(re.findall(r"`([A-Z]\w+)`", "".join(re.findall(r"^\| `record.*$", DOCS["methods.md"], re.MULTILINE))))


HOUSE = {"seed", "flush", "close"}  # of the recorder, for those that call a method


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}" for name in DOCS)])
def test_links_and_folders_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^):]+)\)", text)
    folders = [name for row in rows_of(text) for name in re.findall(r"`([^`]+)`", row) if page == "README.md"]
    folders = [name for name in folders if "/" in name or name.endswith(".py")]
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    missing += [name for name in folders if not (ROOT / name).exists()]
    assert links or page in ("docs/guide.md", "docs/security.md", "docs/design.md")
    assert not missing


def test_every_test_that_the_threat_model_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?", DOCS["security.md"])
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {test}"
