"""The template is a paper: copied to a family's folder under a new name, it is found and its claim is decided."""

import shutil
from pathlib import Path

import pytest

from core.engine import Engine
from core.methods import registry


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A newcomer's folder with the template in it, as the first step of adding a paper says."""
    folder = tmp_path / "dynamics"
    folder.mkdir()
    text = (Path(registry.__file__).parent / "template.py").read_text(encoding="utf-8")
    (folder / "my_first_paper.py").write_text(text.replace('slug="template"', 'slug="my-first-paper"'), encoding="utf-8")
    monkeypatch.setenv("PROVING_GROUND_PAPERS", str(tmp_path))
    for function in (registry.paths, registry.catalogue, registry.load):
        function.cache_clear()
    yield "my-first-paper"
    shutil.rmtree(folder)
    monkeypatch.delenv("PROVING_GROUND_PAPERS")
    for function in (registry.paths, registry.catalogue, registry.load):
        function.cache_clear()


def test_a_copy_of_the_template_is_a_paper_that_runs(copied, tmp_path):
    assert registry.declared(copied).paper.family == "dynamics"
    with Engine(tmp_path / "store.duckdb", workers=1) as engine:
        spec = engine.make_spec(copied, "quick")
        engine.submit(spec)
        assert engine.wait(spec.run, timeout=300)
        assert engine.store.run(spec.run)["status"] == "completed"
        (verdict,) = engine.store.verdicts(spec.run).to_dict("records")
        assert verdict["verdict"] == "holds"
        assert verdict["n"] == 3
