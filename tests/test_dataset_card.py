"""A run on the Hub: pushed as a data set with a card, and imported again from what the Hub then has."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import constants

from core import dataset_card
from core.hub.failures import HubError
from core.hub.push import push
from core.imported import read_folder
from core.store import Store
from tests.hub_server import HubServer
from tests.test_imported import RUN, SPEC, fill

TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    fill(store)
    yield store
    store.close()


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        for name in ("HF_TOKEN", "SPACE_ID"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_what_was_pushed_can_be_imported(store, hub, tmp_path, caplog, capfd):
    dataset_card.write(store, RUN, "owner/run", tmp_path / "sent")
    address = push(tmp_path / "sent", "owner/run", TOKEN, kind="dataset", message="A run")
    assert address == f"{hub.url}/datasets/owner/run"
    kept = hub.repositories["datasets", "owner/run"]
    assert kept.private
    for name, body in kept.revisions["main"].items():
        assert TOKEN.encode() not in body
        (tmp_path / "got").mkdir(exist_ok=True)
        (tmp_path / "got" / name).write_bytes(body)
    assert TOKEN not in f"{caplog.text} {capfd.readouterr()}"
    export = read_folder(tmp_path / "got")
    assert (export.run, export.slug, len(export.tables["scalars"])) == (RUN, "lottery-ticket", 202)
    with pytest.raises(HubError, match="exists already, and nothing of it was changed"):
        push(tmp_path / "sent", "owner/run", TOKEN, kind="dataset")
    with pytest.raises(HubError, match="does not accept the token") as raised:
        push(tmp_path / "sent", "owner/other", "hf_wrong", kind="dataset")
    assert "hf_wrong" not in str(raised.value)


def test_the_card_says_what_was_run_and_how_to_read_it(store, tmp_path):
    dataset_card.write(store, RUN, "owner/run", tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    head = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    files = [config["data_files"] for config in json.loads(head["configs"])]
    assert all((tmp_path / file).exists() for file in files) and "results.parquet" in files
    assert json.loads(head["tags"]) == ["proving-ground", "lottery-ticket"]
    for words in (
        "# The Lottery Ticket Hypothesis", "arXiv 1803.03635", f"`{RUN}`", "| Seeds | 0, 1 |", "| Machine: cores | 2 |",
        f"| Parameter prune | {SPEC.params['prune']} |", "| T \\< U | undecided | 1 % | – | 2 |", "python -m core import run",
        'load_dataset("owner/run", "results", split="train")',
    ):  # fmt: skip
        assert words in text
