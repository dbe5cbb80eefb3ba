"""The README names what there is: every setting, every command, and only files that exist."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from core.__main__ import build_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_documented():
    sources = [path.read_text(encoding="utf-8") for room in ("core", "pages", "models") for path in (ROOT / room).rglob("*.py")]
    settings = set(re.findall(r"\bPROVING_GROUND_[A-Z_]+", "\n".join(sources)))
    assert settings == set(re.findall(r"\bPROVING_GROUND_[A-Z_]+", README))


def test_every_command_is_shown():
    (commands,) = [action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert set(commands) == set(re.findall(r"^    python -m core (\w+)", README, re.MULTILINE))


@pytest.mark.parametrize("line", re.findall(r"^    python -m core (.*)", README, re.MULTILINE))
def test_every_example_is_one_that_the_command_line_takes(line):
    words = line.split("#")[0].split()
    if "--help" in words:
        words.remove("--help")
    build_parser().parse_args(words)


def test_links_and_folders_exist():
    links = re.findall(r"\]\(([^):]+)\)", README)
    folders = [name for row in re.findall(r"^\| (`[^|]+) \|", README, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)]
    paths = links + [name for name in folders if "/" in name or name.endswith(".py")]
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]
