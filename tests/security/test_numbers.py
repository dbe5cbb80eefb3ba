"""Numbers that are none, or far too large: in parameters from anywhere."""

from __future__ import annotations

import pytest

from core.__main__ import main
from core.engine.spec import make_spec
from core.methods import registry
from core.methods.base import ParameterError

STRANGE = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "9" * 5000,
    "-" + "9" * 400,
    "0x10",
    "1_000_000_000_000_000_000",
    "1e308",
    "",
    " ",
    "None",
    "٣" * 400,
)
NUMBERS = [
    (slug, name)
    for slug in (*registry.catalogue(), *registry.tools())
    for name, spec in registry.declared(slug).params.items()
    if spec.kind in (int, float)
]


@pytest.mark.parametrize(("slug", "name"), NUMBERS)
def test_a_parameter_refuses_what_is_no_number_or_too_large(slug, name):
    spec = registry.declared(slug).params[name]
    assert spec.low is not None and spec.high is not None, "a stranger chooses it, so that it needs both ends"
    for value in (*STRANGE, float("nan"), float("inf"), 10**400):
        with pytest.raises(ParameterError):
            spec.parse(value)
        with pytest.raises(ParameterError):
            make_spec(slug, params={name: value})


@pytest.mark.parametrize("seeds", [0, -1, 1001, 10**30, [], [0, 0], [-1], [2**31], [10**400]])
def test_seeds_are_bounded(seeds):
    with pytest.raises(ParameterError):
        make_spec("lottery-ticket", seeds=seeds)


@pytest.mark.parametrize("value", STRANGE)
def test_the_command_line_says_so_in_a_line(value, capsys, tmp_path):
    code = main(["run", "lottery-ticket", "--set", f"prune={value}", "--store", str(tmp_path / "store.duckdb")])
    said = capsys.readouterr().err.strip()
    assert code == 2
    assert "prune" in said and "Traceback" not in said and len(said) < 400
