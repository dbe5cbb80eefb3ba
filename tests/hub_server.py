"""A small Hugging Face Hub on the loopback interface: it speaks the HTTP API as huggingface_hub uses it.

    with HubServer() as hub:
        hub.add("owner/name", {"config.json": b"{}", "model.safetensors": weights}, kind="models", pipeline_tag="text-generation")
        hub.faults["model.safetensors"] = [Fault(cut_after=1000)]     # the next answer for this file ends early
        ... HF_ENDPOINT=hub.url ...
        hub.downloads     # names of the files that were fetched, with hub.ranges as they were asked for

It answers searches (/api/models with its filters), what is in a repository (info, tree), and files: small ones itself, those of
LFS by redirecting to a signed address of its content store, which knows ranges. A repository has one commit; further revisions (a
branch such as refs/convert/parquet) are added by name with files of their own. It takes pushes, too: a new repository, and files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from core.engine import Engine

KINDS = ("models", "datasets")
LARGE = (".safetensors", ".bin")  # kept by LFS
UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}


@dataclass
class Fault:
    """What goes wrong with one answer.

    Attributes:
        status: answered instead, with `headers`.
        cut_after: bytes of the body after which the connection is closed.
        pause: seconds before each 64 kB of the body.
        silence: seconds before anything is answered.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    pause: float = 0.0
    silence: float = 0.0


@dataclass
class Repository:
    """Files by revision. `gated` refuses their contents, and `private` that there is such a repository, to who has no token."""

    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    about: dict[str, Any] = field(default_factory=dict)  # pipeline_tag, library_name, tags, downloads, likes, lastModified

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

    @property
    def tags(self) -> list[str]:
        """What the Hub makes tags of."""
        names = {name for files in self.revisions.values() for name in files}
        made = ["safetensors"] if any(name.endswith(".safetensors") for name in names) else []
        made += [self.about[key] for key in ("pipeline_tag", "library_name") if key in self.about]
        return [*made, *self.about.get("tags", [])]

    @property
    def parameters(self) -> int:
        """Counted in the headers of the safetensors files."""
        files = self.revisions.get("main", {})
        return sum(count(body) for name, body in files.items() if name.endswith(".safetensors"))


class HubServer:
    """Serves repositories from memory at `url`, in a thread, for as long as the `with` lasts.

    Attributes:
        refused: tokens that are not accepted.
        faults: by the name of a file, or by a path such as "api/models": what goes wrong with the next answers, in order.
        ranges: (file, Range header) of every request to the store; those that look at a safetensors header are no downloads.
        leaks: paths of the store that were asked for with a token.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[str] = []
        self.downloads: list[str] = []
        self.ranges: list[tuple[str, str]] = []
        self.searches: list[dict[str, list[str]]] = []
        self.leaks: list[str] = []
        self.refused = {"hf_wrong"}
        self.faults: dict[str, list[Fault]] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

            def do_POST(self) -> None:
                hub.take(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def store_url(self) -> str:
        """Where LFS redirects to: another host, as a browser or a client sees it."""
        return f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        name: str,
        files: dict[str, bytes],
        *,
        kind: str = "datasets",
        revision: str = "main",
        gated: bool = False,
        private: bool = False,
        **about: Any,
    ) -> Repository:
        repository = self.repositories.setdefault((kind, name), Repository(gated=gated, private=private, about=about))
        repository.revisions[revision] = files
        return repository

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.requests.append(f"{request.command} {path}")
        looks = request.headers.get("Range", "").startswith(("bytes=0-", "bytes=8-"))  # at a header, which is no download
        fault = self._fault(path) if request.command == "GET" and not looks else None
        if fault and fault.silence:
            time.sleep(fault.silence)
        if fault and fault.status:
            return send(request, fault.status, {"error": "Something is wrong"}, fault.headers)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        parts = path.split("/")
        if parts[0] == "store":
            return self._stored(request, parts[1], fault)
        if token in self.refused:
            said = "Invalid credentials in Authorization header"
            return send(request, 401, {"error": said}, {"X-Error-Message": said})
        if path == "api/models":
            self._search(request)
        elif parts[0] == "api" and parts[1] in KINDS:
            self._api(request, parts[1], "/".join(parts[2:4]), parts[4:], token)
        else:
            kind = parts.pop(0) if parts[0] == "datasets" else "models"
            self._file(request, kind, "/".join(parts[:2]), parts[3:], token, fault)

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """What huggingface_hub asks for when it makes a repository and sends it files, in the commit itself."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        parts = unquote(urlsplit(request.path).path).strip("/").split("/")
        self.requests.append(f"POST {'/'.join(parts)}")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if parts[-1] == "validate-yaml":
            return send(request, 200, {"errors": [], "warnings": []})
        if not token or token in self.refused:
            return send(request, 401, {"error": "Invalid credentials"}, {"X-Error-Message": "Invalid credentials"})
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            kind = f"{asked.get('type', 'model')}s"
            if (kind, name) in self.repositories:
                return send(request, 409, {"error": "You already created this repository"})
            self.add(name, {}, kind=kind, private=bool(asked.get("private")) or asked.get("visibility") == "private")
            return send(request, 200, {"url": f"{self.url}/{'datasets/' if kind == 'datasets' else ''}{name}"})
        files = self.repositories[parts[1], "/".join(parts[2:4])].revisions["main"]
        if parts[4] == "preupload":
            asked = [file["path"] for file in json.loads(body)["files"]]
            return send(request, 200, {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked]})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return send(request, 200, {"commitUrl": f"{self.url}/{'/'.join(parts[1:4])}/commit/1", "commitOid": "1", "success": True})

    def _fault(self, path: str) -> Fault | None:
        for name, waiting in self.faults.items():
            stored = path.startswith("store/") and self._named(path.split("/")[1]) == name
            resolved = path.endswith(f"/{name}") and not name.endswith(LARGE)
            if waiting and (stored or resolved or path == name):
                return waiting.pop(0)
        return None

    def _named(self, digest: str) -> str:
        """The name of a file by the hash of its content."""
        return next((name for name, body in self._files() if sha256(body) == digest), "")

    def _files(self) -> list[tuple[str, bytes]]:
        every = [files for repository in self.repositories.values() for files in repository.revisions.values()]
        return [item for files in every for item in files.items()]

    def _search(self, request: BaseHTTPRequestHandler) -> None:
        """/api/models?search=&filter=&pipeline_tag=&num_parameters=max:100M&sort=&limit=&expand="""
        query = parse_qs(urlsplit(request.path).query)
        self.searches.append(query)
        asked = {key: values[-1] for key, values in query.items()}
        found = []
        for (kind, name), repository in self.repositories.items():
            about = repository.about
            few = re.fullmatch(r"max:([\d.]+)([KMB])", asked.get("num_parameters", "max:1000B"))
            if (
                kind == "models"
                and not repository.private
                and asked.get("search", "").lower() in name.lower()
                and set(query.get("filter", [])) <= set(repository.tags)
                and asked.get("pipeline_tag") in (None, about.get("pipeline_tag"))
                and few
                and repository.parameters <= float(few[1]) * UNITS[few[2]]
            ):
                found.append({"id": name, "gated": repository.gated, **self._about(repository)})
        key = asked.get("sort", "trendingScore")
        found.sort(key=lambda item: item.get(key) or 0, reverse=True)
        send(request, 200, found[: int(asked.get("limit", 1000))])

    def _about(self, repository: Repository) -> dict[str, Any]:
        parameters = {"parameters": {"F32": repository.parameters}, "total": repository.parameters}
        return {**repository.about, "tags": repository.tags, "safetensors": parameters if repository.parameters else None}

    def _api(self, request: BaseHTTPRequestHandler, kind: str, name: str, rest: list[str], token: str) -> None:
        """/api/KIND/OWNER/NAME[/revision/REVISION][?blobs=true] and /api/KIND/OWNER/NAME/tree/REVISION."""
        repository = self._visible(kind, name, token)
        if repository is None:
            return send(request, 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        revision = "/".join(rest[1:]) or "main"
        commit = repository.commit(revision)
        if commit is None:
            return send(request, 404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        files = repository.files(revision)
        if rest[:1] == ["tree"]:
            entries = [{"type": "file", "path": path, "size": len(body), "oid": blob(body)} for path, body in files.items()]
            for entry, body in zip(entries, files.values(), strict=True):
                entry |= {"lfs": {"oid": sha256(body), "size": len(body), "pointerSize": 134}} if is_large(entry["path"]) else {}
            return send(request, 200, entries)
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in files]
        if "blobs" in parse_qs(urlsplit(request.path).query):
            for entry, (path, body) in zip(siblings, files.items(), strict=True):
                entry |= {"size": len(body), "blobId": blob(body)}
                entry |= {"lfs": {"sha256": sha256(body), "size": len(body), "pointerSize": 134}} if is_large(path) else {}
        facts = {"id": name, "sha": commit, "siblings": siblings, "private": repository.private, "gated": repository.gated}
        send(request, 200, facts | (self._about(repository) if kind == "models" else {}))

    def _visible(self, kind: str, name: str, token: str) -> Repository | None:
        """A repository, unless it is private and there is no token."""
        repository = self.repositories.get((kind, name))
        return None if repository and repository.private and not token else repository

    def _file(
        self, request: BaseHTTPRequestHandler, kind: str, name: str, rest: list[str], token: str, fault: Fault | None
    ) -> None:
        """[/datasets]/OWNER/NAME/resolve/REVISION/PATH, a revision with a slash in it asked for by its commit."""
        repository = self._visible(kind, name, token)
        if repository is None:
            return send(request, 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if repository.gated and not token:
            return send(request, 403, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        commit, path = repository.commit(rest[0]), "/".join(rest[1:])
        body = repository.files(rest[0]).get(path) if commit else None
        if commit is None or body is None:
            return send(request, 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        if is_large(path):
            linked = {"X-Linked-ETag": f'"{sha256(body)}"', "X-Linked-Size": str(len(body)), "X-Repo-Commit": commit}
            address = f"{self.store_url}/store/{sha256(body)}/{quote(path)}?signature=1"
            return send(request, 302, b"", {**linked, "Location": address})
        if request.command == "GET":
            self.downloads.append(path)
        content(request, body, {"ETag": f'"{blob(body)}"', "X-Repo-Commit": commit}, fault)

    def _stored(self, request: BaseHTTPRequestHandler, digest: str, fault: Fault | None) -> None:
        """/store/SHA256/PATH: a file of LFS, whole or from some byte on."""
        if request.headers.get("Authorization"):
            self.leaks.append(request.path)  # a token must not leave the Hub's own host
        name = self._named(digest)
        body = next((body for _, body in self._files() if sha256(body) == digest), None)
        if body is None:
            return send(request, 404, {"error": "Nothing here"})
        wanted = request.headers.get("Range", "")
        if request.command == "GET":
            self.ranges.append((name, wanted))
            self.downloads += [] if wanted.startswith(("bytes=0-", "bytes=8-")) else [name]
        content(request, body, {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}, fault)


def is_large(path: str) -> bool:
    return path.endswith(LARGE)


def blob(body: bytes) -> str:
    """What git names a file by."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def sha256(body: bytes) -> str:
    """What LFS names a file by."""
    return hashlib.sha256(body).hexdigest()


def count(body: bytes) -> int:
    """Parameters of a safetensors file; 0 of what is none."""
    try:
        header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    except ValueError:
        return 0
    total = 0
    for name, tensor in header.items():
        size = 1
        for length in tensor["shape"] if name != "__metadata__" else [0]:
            size *= length
        total += size
    return total


def content(request: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str], fault: Fault | None) -> None:
    """Sends a file or the range of it that is asked for, as far as the fault lets it."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if found:
        first, last = int(found[1]), min(int(found[2] or len(body) - 1), len(body) - 1)
        if first >= len(body):
            return send(request, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
        headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(body)}"}
        send(request, 206, body[first : last + 1], headers, fault)
    else:
        send(request, 200, body, headers, fault)


def send(
    request: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None, fault: Fault | None = None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json")
    request.send_header("Content-Length", str(len(content)))
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.end_headers()
    if request.command == "HEAD":
        return
    end = len(content) if fault is None or fault.cut_after is None else fault.cut_after
    try:
        for start in range(0, min(end, len(content)), 65536):
            if fault and fault.pause:
                time.sleep(fault.pause)
            request.wfile.write(content[start : min(start + 65536, end)])
        if end < len(content):
            request.close_connection = True
            request.wfile.flush()
            request.connection.shutdown(2)
    except OSError:  # whoever asked is gone
        request.close_connection = True


@contextmanager
def engine_on(hub: HubServer, home: Path, store: Path) -> Iterator[Engine]:
    """An engine of one worker, which takes this Hub for the Hub and `home` for its cache."""
    changed = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    before = {name: os.environ.get(name) for name in changed}
    os.environ |= changed  # the worker inherits them
    with Engine(store, workers=1) as engine:
        engine.wait_warm()
        yield engine
    for name, value in before.items():
        os.environ.pop(name, None)
        os.environ |= {name: value} if value else {}
