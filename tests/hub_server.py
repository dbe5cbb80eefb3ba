"""A small Hugging Face Hub on the loopback interface: it speaks the few endpoints that downloading needs.

    with HubServer() as hub:
        hub.add("owner/name", {"data/train-00000-of-00001.parquet": content})
        ... HF_ENDPOINT=hub.url ...
        hub.downloads     # names of the files that were fetched

A repository has one commit; further revisions (a branch such as refs/convert/parquet) are added by name with files of their own.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

KINDS = ("models", "datasets")


@dataclass
class Repository:
    """Files by revision; `gated` refuses their contents to who has no token."""

    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, or a commit itself, names."""
        for name, files in self.revisions.items():
            commit = hashlib.sha1(repr(sorted(files)).encode() + name.encode()).hexdigest()
            if revision in (name, commit):
                return commit
        return None

    def files(self, revision: str) -> dict[str, bytes]:
        commit = self.commit(revision)
        return next(files for name, files in self.revisions.items() if self.commit(name) == commit)


class HubServer:
    """Serves repositories from memory at `url`, in a thread, for as long as the `with` lasts."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[str] = []
        self.downloads: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self, name: str, files: dict[str, bytes], *, kind: str = "datasets", revision: str = "main", gated: bool = False
    ) -> None:
        repository = self.repositories.setdefault((kind, name), Repository(gated=gated))
        repository.revisions[revision] = files

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.requests.append(f"{request.command} {path}")
        parts = path.split("/")
        if parts[0] == "api" and parts[1] in KINDS:
            self._api(request, parts[1], "/".join(parts[2:4]), parts[4:])
        else:
            kind = parts.pop(0) if parts[0] == "datasets" else "models"
            self._file(request, kind, "/".join(parts[:2]), parts[3:])

    def _api(self, request: BaseHTTPRequestHandler, kind: str, name: str, rest: list[str]) -> None:
        """/api/KIND/OWNER/NAME[/revision/REVISION] and /api/KIND/OWNER/NAME/tree/REVISION."""
        repository = self.repositories.get((kind, name))
        if repository is None:
            return send(request, 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        revision = "/".join(rest[1:]) or "main"
        commit = repository.commit(revision)
        if commit is None:
            return send(request, 404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        files = repository.files(revision)
        if rest[:1] == ["tree"]:
            entries = [{"type": "file", "path": path, "size": len(body), "oid": blob(body)} for path, body in files.items()]
            return send(request, 200, entries)
        siblings = [{"rfilename": path} for path in files]
        send(request, 200, {"id": name, "sha": commit, "siblings": siblings, "private": False, "gated": repository.gated})

    def _file(self, request: BaseHTTPRequestHandler, kind: str, name: str, rest: list[str]) -> None:
        """[/datasets]/OWNER/NAME/resolve/REVISION/PATH, a revision with a slash in it asked for by its commit."""
        repository = self.repositories.get((kind, name))
        if repository is None:
            return send(request, 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if repository.gated and not request.headers.get("Authorization"):
            return send(request, 403, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        commit, path = repository.commit(rest[0]), "/".join(rest[1:])
        body = repository.files(rest[0]).get(path) if commit else None
        if commit is None or body is None:
            return send(request, 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        if request.command == "GET":
            self.downloads.append(path)
        send(request, 200, body, {"ETag": f'"{blob(body)}"', "X-Repo-Commit": commit})


def blob(body: bytes) -> str:
    """What git names a file by."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def send(request: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json")
    request.send_header("Content-Length", str(len(content)))
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)
