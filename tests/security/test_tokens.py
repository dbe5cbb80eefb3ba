"""No token of the Hub gets into what is kept, shown or exported."""

from __future__ import annotations

import json

import pytest

from core.engine.messages import Failed, RunCell
from core.engine.worker import run_cell, without_tokens

TOKEN = "hf_" + "AbCd1234" * 4


class Nowhere:
    """The engine's end of the pipe."""

    def send(self, _):
        pass


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_message_and_the_traceback_of_a_failed_cell_have_none(device, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a token of another form")
    slug = f"{TOKEN} a token of another form"  # in the message, and in the traceback
    failed = run_cell(RunCell(slug, "base", {}, (0,), device, {}, {}), Nowhere())
    assert isinstance(failed, Failed)
    assert "UnknownMethod" in failed.message and "Traceback" in failed.message
    assert TOKEN not in failed.message and "another form" not in failed.message


@pytest.mark.parametrize("text", [TOKEN, f"Illegal header value b'Bearer {TOKEN}'", json.dumps({"token": TOKEN})])
def test_a_token_is_found_wherever_it_stands(text):
    assert without_tokens(text) == text.replace(TOKEN, "hf_…")


def test_other_text_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")
    assert without_tokens("half_life of hf_hub") == "half_life of hf_hub"
