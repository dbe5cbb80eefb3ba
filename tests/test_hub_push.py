"""A push to the Hub: what is sent, with whose token, and what is said where it is refused."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from core.hub.failures import HubError
from core.hub.push import has_own_token, push

TOKEN = "hf_secretsecretsecret"
FILES = {"model.safetensors": b"weights" * 9, "config.json": b"{}", "README.md": b"---\ntags: [pruned]\n---\nmeasured"}


class Hub(ThreadingHTTPServer):
    """What huggingface_hub asks for when it makes a repository and sends it files, small ones in the commit itself."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse = {}  # a status by the end of a path
        self.seen, self.files = [], {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        hub, body = self.server, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.seen.append((self.path, self.headers.get("Authorization")))
        refused = next((status for end, status in hub.refuse.items() if self.path.endswith(end)), None)
        if refused:
            return self.answer(refused, {"error": "refused"})
        if self.path.endswith("/preupload/main"):
            asked = [file["path"] for file in json.loads(body)["files"]]
            return self.answer(200, {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in asked]})
        if self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer(200, {"commitUrl": f"{hub.url}/owner/pruned/commit/1", "commitOid": "1", "success": True})
        if self.path.endswith("/api/repos/create"):
            hub.made = json.loads(body)
            return self.answer(200, {"url": f"{hub.url}/owner/pruned"})
        return self.answer(200, {"errors": [], "warnings": []})

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        self.answer(200, {"sha": "1", "id": "owner/pruned", "siblings": []})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    for name in ("HF_TOKEN", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_the_files_arrive_with_the_token_that_was_typed(hub, folder):
    assert push(folder, "owner/pruned", f" {TOKEN}\n") == f"{hub.url}/owner/pruned"
    assert hub.files == FILES
    assert hub.made["name"] == "pruned" and hub.made["organization"] == "owner"
    assert hub.made.get("private") is True or hub.made.get("visibility") == "private"
    assert {token for _, token in hub.seen} - {None} == {f"Bearer {TOKEN}"}  # the card is checked without one


@pytest.mark.parametrize(
    ("end", "status", "sentence"),
    [
        ("create", 401, "does not accept the token"),
        ("create", 403, "may not write for owner"),
        ("create", 409, "owner/pruned exists already, and nothing of it was changed"),
        ("commit/main", 403, "may not write for owner.*The repository owner/pruned is there, but not its files"),
    ],
)
def test_a_refusal_says_what_to_do_and_never_the_token(hub, folder, caplog, capfd, end, status, sentence):
    hub.refuse[end] = status
    with pytest.raises(HubError, match=sentence) as raised:
        push(folder, "owner/pruned", TOKEN)
    assert TOKEN not in f"{raised.value} {raised.value.__cause__!r} {caplog.text} {capfd.readouterr()}"


def test_without_a_token_nothing_is_asked(hub, folder):
    with pytest.raises(HubError, match="needs a token"):
        push(folder, "owner/pruned")
    assert not hub.seen


def test_the_machine_s_own_token_is_not_for_the_visitors_of_a_space(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert has_own_token()
    push(folder, "owner/pruned")
    assert {token for _, token in hub.seen} - {None} == {f"Bearer {TOKEN}"}  # the card is checked without one
    monkeypatch.setenv("SPACE_ID", "owner/space")
    with pytest.raises(HubError, match="needs a token"):
        push(folder, "owner/pruned")


@pytest.mark.parametrize(
    ("name", "token", "sentence"), [("pruned", TOKEN, "looks like owner/name"), ("a/b", "two words", "no token")]
)
def test_what_was_mistyped_is_said(hub, folder, name, token, sentence):
    with pytest.raises(HubError, match=sentence):
        push(folder, name, token)
    assert not hub.seen


def test_a_hub_that_is_away_is_said(hub, folder, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="cannot be reached: nothing was sent") as raised:
        push(folder, "owner/pruned", TOKEN)
    assert raised.value.offline
