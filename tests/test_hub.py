"""The Hub as the app uses it, against a real HTTP server, in processes of their own: settings are read at import."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
from safetensors.numpy import save

from core import hub
from core.hub import File, HubError, ModelInfo, Tensor, bundled, download, tree
from tests.hub_server import Fault, HubServer, sha256

ROOT = Path(__file__).parents[1]
ASK = """
import json, sys
from core import hub
from core.hub import download
download.PAUSES = (0.02,) * len(download.PAUSES)
plain = lambda value: (
    [plain(item) for item in value] if isinstance(value, (list, tuple))
    else {**{name: plain(item) for name, item in vars(value).items()}, **({
        "parameters": value.parameters, "memory_bytes": value.memory_bytes, "labels": value.labels, "reference": value.reference,
        "wanted": [file.name for file in value.wanted]} if isinstance(value, hub.ModelInfo) else {})}
    if hasattr(value, "__dataclass_fields__") else dict(value) if isinstance(value, dict)
    else value if isinstance(value, (int, float, bool, str, type(None))) else str(value)
)
answers = []
for name, arguments in json.loads(sys.argv[1]):
    seen = []
    if name == "fetch":
        arguments["progress"] = lambda done, total: seen.append((done, total))
    try:
        answer = {"value": plain(getattr(hub, name)(**arguments))}
    except hub.HubError as error:
        answer = {"error": str(error), "offline": error.offline}
    answers.append({**answer, "progress": seen})
print(json.dumps(answers))
"""


def environment(home: Path, **settings: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**plain, "HF_HOME": str(home), **settings}


def ask(home: Path, *calls: tuple[str, dict], **settings: str) -> list[dict]:
    """What core.hub answers in a process with this cache and these settings."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(calls)],
        cwd=ROOT,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def weights(**shapes: tuple[int, ...]) -> bytes:
    generator = np.random.default_rng(0)
    return save({name.replace("__", "."): generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


CARD = b"---\nlicense: mit\npipeline_tag: image-classification\n---\n# Tiny ViT\nA <b>small</b> model.\n"
CONFIG = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "id2label": {"1": "dog", "0": "cat"}}
LARGE = weights(layer__weight=(1000, 700), layer__bias=(700,))  # 2.8 MB
VIT = {
    "README.md": CARD,
    "config.json": json.dumps(CONFIG).encode(),
    "preprocessor_config.json": b"{}",
    "model.safetensors": LARGE,
    "pytorch_model.bin": b"a pickle",
    "modeling_vit.py": b"print('code of a stranger')",
    "training_args.bin": b"another pickle",
}
SHARDS = {
    "model-00001-of-00002.safetensors": weights(block__0__weight=(4, 4), block__1__weight=(4, 4)),
    "model-00002-of-00002.safetensors": weights(head__weight=(3, 4)),
}
INDEX = {"weight_map": {"block.0.weight": "model-00001-of-00002.safetensors", "head.weight": "model-00002-of-00002.safetensors"}}
SHARDED = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "tokenizer.json": b"{}",
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
    **SHARDS,
}
TINY = {"config.json": b"{}", "model.safetensors": weights(weight=(2, 2))}
PLAIN = {"kind": "models", "pipeline_tag": "image-classification", "library_name": "transformers"}


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        server.add("tiny/vit", VIT, **PLAIN, tags=["license:mit"], downloads=70, likes=1, lastModified="2026-01-02T03:04:05.000Z")
        server.add("tiny/vit", {**VIT, "README.md": b"the next"}, kind="models", revision="v2")
        server.add("tiny/vit-popular", TINY, **PLAIN, tags=["license:apache-2.0"], downloads=900, likes=0)
        server.add("tiny/writer", SHARDED, kind="models", pipeline_tag="text-generation", downloads=5)
        server.add("tiny/pickled", {"config.json": b'{"a": 1}', "pytorch_model.bin": b"x"}, **PLAIN)
        server.add("tiny/empty", {"README.md": b"nothing"}, **PLAIN)
        server.add("tiny/coded", {**TINY, "config.json": b'{"auto_map": {"AutoModel": "x.Model"}}'}, **PLAIN)
        server.add("tiny/quantised", {**TINY, "config.json": b'{"quantization_config": {}}'}, **PLAIN)
        server.add("tiny/speech", {**TINY, "config.json": b'{"a": 1}'}, kind="models", pipeline_tag="automatic-speech-recognition")
        server.add("tiny/unsaid", {**TINY, "config.json": b'{"architectures": ["ViTModel"], "image_size": 8}'}, kind="models")
        server.add("tiny/filled", {**TINY, "config.json": b'{"a": 1}'}, kind="models", pipeline_tag="fill-mask")
        server.add("tiny/gated", VIT, **PLAIN, gated=True)
        server.add("tiny/private", VIT, **PLAIN, private=True)
        server.add("tiny/broken", {**TINY, "config.json": b'{"a": 1}', "model.safetensors": b"\xff" * 100}, **PLAIN)
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def found(server, home) -> dict[str, list[str]]:
    queries = {
        "everything": {},
        "words": {"words": "VIT "},
        "task": {"task": "text-generation"},
        "licence": {"licence": "mit"},
        "library": {"library": "transformers", "words": "vit"},
        "small": {"words": "vit", "max_parameters": 1000},
        "by likes": {"words": "vit", "sort": "likes"},
        "one": {"words": "vit", "limit": 1},
        "nothing": {"words": "no such model"},
    }
    answers = ask(home, *(("search", query) for query in queries.values()), HF_ENDPOINT=server.url)
    return {name: answer["value"] for name, answer in zip(queries, answers, strict=True)}


class TestSearch:
    def names(self, found, query):
        return [model["name"] for model in found[query]]

    def test_the_most_downloaded_first_and_only_with_safetensors(self, found):
        names = self.names(found, "everything")
        assert names[:3] == ["tiny/vit-popular", "tiny/vit", "tiny/writer"]
        assert not {"tiny/pickled", "tiny/empty", "tiny/private"} & set(names)

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("words", ["tiny/vit-popular", "tiny/vit"]),
            ("task", ["tiny/writer"]),
            ("licence", ["tiny/vit"]),
            ("library", ["tiny/vit-popular", "tiny/vit"]),
            ("small", ["tiny/vit-popular"]),
            ("by likes", ["tiny/vit", "tiny/vit-popular"]),
            ("one", ["tiny/vit-popular"]),
            ("nothing", []),
        ],
    )
    def test_filters(self, found, query, names):
        assert self.names(found, query) == names

    def test_what_is_said_of_a_model(self, found):
        (model,) = found["licence"]
        assert model["parameters"] == 1000 * 700 + 700
        assert model["downloads"] == 70
        assert (model["task"], model["library"], model["licence"]) == ("image-classification", "transformers", "mit")
        assert model["updated"].startswith("2026-01-02 03:04:05")
        assert model["gated"] is False


@pytest.fixture(scope="module")
def inspected(server, home) -> dict[str, dict]:
    names = ["vit", "writer", "pickled", "empty", "coded", "quantised", "speech", "unsaid", "filled"]
    names += ["gated", "private", "broken", "nothing"]
    calls = [("inspect", {"name": f"tiny/{name}"}) for name in names]
    odd = {
        "malformed": {"name": "no//id"},
        "no revision": {"name": "tiny/vit", "revision": "v9"},
        "other revision": {"name": "tiny/vit", "revision": "v2"},
        "path": {"name": "tiny/vit", "revision": "../../etc"},
    }
    downloads = len(server.downloads)
    answers = ask(home, *calls, *(("inspect", query) for query in odd.values()), HF_ENDPOINT=server.url)
    assert not [name for name in server.downloads[downloads:] if name.endswith((".safetensors", ".bin"))]
    return dict(zip([*names, *odd], answers, strict=True))


class TestInspect:
    def test_facts_of_a_model_without_its_weights(self, inspected, server):
        info = inspected["vit"]["value"]
        commit = server.repositories["models", "tiny/vit"].commit("main")
        assert info["commit"] == commit
        assert info["reference"] == f"tiny/vit@{commit}"
        assert info["parameters"] == 700_700
        assert info["memory_bytes"] == int(1.2 * 4 * 700_700) + 700_000_000
        assert info["labels"] == ["cat", "dog"]
        assert info["card"] == "# Tiny ViT\nA <b>small</b> model.\n"
        assert {file["name"]: file["size"] for file in info["files"]} == {name: len(body) for name, body in VIT.items()}
        assert {tensor["name"]: tensor["shape"] for tensor in info["tensors"]} == {"layer.weight": [1000, 700], "layer.bias": [700]}
        assert (info["task"], info["licence"], info["library"]) == ("image-classification", "mit", "transformers")
        assert (info["gated"], info["downloads"], info["local"], info["obstacle"]) == (False, 70, None, "")

    def test_only_safetensors_and_plain_files_are_wanted(self, inspected):
        assert inspected["vit"]["value"]["wanted"] == [
            "README.md",
            "config.json",
            "preprocessor_config.json",
            "model.safetensors",
        ]

    def test_shards_are_read_together(self, inspected):
        info = inspected["writer"]["value"]
        assert info["parameters"] == 16 + 16 + 12
        assert info["task"] == "text-generation"
        assert set(SHARDS) < set(info["wanted"])

    def test_another_revision(self, inspected):
        assert inspected["other revision"]["value"]["card"] == "the next"

    @pytest.mark.parametrize(
        ("name", "task"), [("unsaid", "image-feature-extraction"), ("filled", "feature-extraction"), ("writer", "text-generation")]
    )
    def test_the_task_is_told_by_the_hub_or_by_the_configuration(self, inspected, name, task):
        assert inspected[name]["value"]["task"] == task
        assert inspected[name]["value"]["obstacle"] == ""

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("pickled", "tiny/pickled has its weights only as pytorch_model.bin, which can run code when it is opened. Choose a"),
            ("empty", "tiny/empty has no model.safetensors. Choose a model with safetensors"),
            ("coded", "tiny/coded needs Python code of its own, which is never run here. Choose a model that transformers knows."),
            ("quantised", "tiny/quantised is quantised, which cannot be loaded here. Choose the model that it was made from."),
            ("speech", "tiny/speech is made for automatic-speech-recognition; here are: image-classification, "),
        ],
    )
    def test_what_cannot_be_used_here_is_shown_with_the_reason(self, inspected, name, said):
        assert inspected[name]["value"]["obstacle"].startswith(said)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("malformed", "'no//id' is no id of a Hub model; it looks like owner/name."),
            ("path", "'../../etc' is no revision: give a branch, a tag or a commit of tiny/vit, or leave it empty."),
            ("nothing", "There is no model tiny/nothing at http://127.0.0.1:"),
            ("private", "There is no model tiny/private at http://127.0.0.1:"),
            ("gated", "tiny/gated is gated: accept its terms at http://127.0.0.1:"),
            ("no revision", "tiny/vit has no revision 'v9'. Leave it empty for the newest, or give a branch, a tag or a commit."),
            ("broken", "A safetensors file of tiny/broken cannot be read: its header is damaged."),
        ],
    )
    def test_errors_say_what_to_do(self, inspected, name, said):
        assert inspected[name]["error"].startswith(said)
        assert inspected[name]["offline"] is False

    def test_a_token_opens_what_is_gated_or_private_and_stays_with_the_hub(self, server, tmp_path):
        calls = [("inspect", {"name": f"tiny/{name}"}) for name in ("gated", "private")]
        gated, private = ask(tmp_path, *calls, HF_ENDPOINT=server.url, HF_TOKEN="hf_anything")
        assert gated["value"]["gated"] is True
        assert private["value"]["parameters"] == 700_700
        assert server.leaks == []

    def test_a_wrong_token_is_said(self, server, tmp_path):
        search, look = ask(tmp_path, ("search", {}), ("inspect", {"name": "tiny/vit"}), HF_ENDPOINT=server.url, HF_TOKEN="hf_wrong")
        for answer in (search, look):
            assert answer["error"].startswith(f"{server.url} does not accept the token in HF_TOKEN.")


class TestTheHubInTrouble:
    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (Fault(429, {"ratelimit": '"api";r=0;t=55'}), "was asked too often and wants a rest: try again in 55 seconds; with"),
            (Fault(429), "was asked too often and wants a rest: try again in a few minutes; with HF_TOKEN set, more is allowed."),
            (Fault(503), "has a problem of its own (error 503): try again in a few minutes, or choose a starter model."),
            (Fault(403), "the token in HF_TOKEN has no permission to read it. Use a token that has."),
            (Fault(418), "(error 418). Check the id and HF_ENDPOINT."),
        ],
    )
    def test_its_answers_are_explained_at_once(self, server, tmp_path, fault, said):
        server.faults["api/models"] = [fault]
        server.faults["api/models/tiny/vit/revision/main"] = [fault]
        before = len(server.requests)
        answers = ask(tmp_path, ("search", {}), ("inspect", {"name": "tiny/vit"}), HF_ENDPOINT=server.url)
        asked = [request for request in server.requests[before:] if request.startswith("GET api/models")]
        assert len(asked) == 2, "a person waits: nothing is tried again"
        for answer in answers:
            assert said in answer["error"]
            assert not answer["offline"]

    def test_something_else_answers_in_its_place(self, server, tmp_path):
        (answer,) = ask(tmp_path, ("search", {}), HF_ENDPOINT=f"{server.url}/tiny/vit/resolve/main/README.md?")
        assert answer["error"].endswith("does not answer as a Hub does. Check HF_ENDPOINT and the network's proxy.")

    @pytest.mark.parametrize(
        ("error", "said", "offline"),
        [
            (
                httpx2.ReadTimeout("slow"),
                "does not answer. Check the network and HF_ENDPOINT, try again, or choose a starter",
                True,
            ),
            (
                OSError(errno.ENOSPC, "No space left"),
                "is full. Free some space, or set HF_HOME to another disk, and try again.",
                False,
            ),
            (PermissionError(13, "Permission denied"), "cannot be used (Permission denied). Check its permissions, or set", False),
        ],
    )
    def test_a_slow_network_and_a_full_disk(self, error, said, offline):
        with pytest.raises(HubError, match=re.escape(said)) as caught, hub.explaining("tiny/vit"):
            raise error
        assert caught.value.offline is offline

    def test_a_programming_error_is_not_dressed_up(self):
        with pytest.raises(ZeroDivisionError), hub.explaining("tiny/vit"):
            1 / 0  # noqa: B018


class TestFetch:
    def test_only_wanted_files_come_once_with_progress(self, server, tmp_path):
        downloads = len(server.downloads)
        first, second, where = ask(
            tmp_path,
            ("fetch", {"name": "tiny/vit"}),
            ("fetch", {"name": "tiny/vit", "revision": "main"}),
            ("folder", {"name": "tiny/vit"}),
            HF_ENDPOINT=server.url,
        )
        path = Path(first["value"])
        wanted = ("README.md", "config.json", "preprocessor_config.json", "model.safetensors")
        assert {file.name for file in path.iterdir()} == set(wanted)
        assert all((path / name).read_bytes() == VIT[name] for name in wanted)
        assert second["value"] == where["value"] == first["value"]
        assert server.downloads[downloads:].count("model.safetensors") == 1
        assert not [name for name in server.downloads[downloads:] if name.endswith((".bin", ".py"))]
        done = [done for done, _ in first["progress"]]
        assert done == sorted(done)
        assert len(done) > 10
        assert {total for _, total in first["progress"]} == {sum(len(VIT[name]) for name in wanted)}
        assert done[-1] == first["progress"][-1][1]
        assert second["progress"][-1] == first["progress"][-1]

    def test_the_hub_is_asked_for_the_model_and_nothing_else(self, server, tmp_path):
        before = len(server.requests)
        ask(tmp_path, ("inspect", {"name": "tiny/vit"}), ("fetch", {"name": "tiny/vit"}), HF_ENDPOINT=server.url)
        strange = [request for request in server.requests[before:] if "tiny/vit" not in request and "GET store/" not in request]
        assert not strange

    def test_huggingface_hub_finds_it_in_its_cache(self, server, tmp_path):
        ask(tmp_path, ("fetch", {"name": "tiny/writer"}), HF_ENDPOINT=server.url)
        look = (
            "from huggingface_hub import hf_hub_download, scan_cache_dir\n"
            "print(hf_hub_download('tiny/writer', 'model-00002-of-00002.safetensors'))\n"
            "(repo,) = scan_cache_dir().repos; print(repo.repo_id, repo.size_on_disk)"
        )
        done = subprocess.run(
            [sys.executable, "-c", look], env=environment(tmp_path, HF_HUB_OFFLINE="1"), capture_output=True, text=True, timeout=60
        )
        path, repository = done.stdout.strip().splitlines()
        assert Path(path).read_bytes() == SHARDS["model-00002-of-00002.safetensors"]
        assert repository == f"tiny/writer {sum(map(len, SHARDED.values()))}"

    def test_it_goes_on_after_the_connection_was_cut(self, server, tmp_path):
        server.faults["model.safetensors"] = [Fault(cut_after=1_000_000), Fault(cut_after=500_000), Fault(status=503)]
        ranges = len(server.ranges)
        (answer,) = ask(tmp_path, ("fetch", {"name": "tiny/vit"}), HF_ENDPOINT=server.url)
        assert (Path(answer["value"]) / "model.safetensors").read_bytes() == LARGE
        asked = [asked for _, asked in server.ranges[ranges:] if not asked.startswith("bytes=0-")]
        starts = [int(asked[6:-1] or 0) if asked else 0 for asked in asked]
        assert starts[0] == 0
        assert 0 < starts[1] <= 1_000_000
        assert starts[1] < starts[2] <= 1_500_000
        done = [done for done, _ in answer["progress"]]
        assert done == sorted(done)

    def test_a_connection_that_is_always_cut_is_said_and_what_came_is_kept(self, server, tmp_path):
        server.faults["model.safetensors"] = [Fault(cut_after=1_000_000), *[Fault(cut_after=0)] * 4]
        cut, held, info = ask(
            tmp_path,
            ("fetch", {"name": "tiny/vit"}),
            ("folder", {"name": "tiny/vit"}),
            ("inspect", {"name": "tiny/vit"}),
            HF_ENDPOINT=server.url,
        )
        assert cut["error"] == (
            f"The connection to {server.url} was cut while tiny/vit was downloaded. "
            "Check the network and try again: it goes on from what is already here."
        )
        assert held["value"] is None, "half a model is no model"
        assert info["value"]["local"] is None
        ranges = len(server.ranges)
        (again,) = ask(tmp_path, ("fetch", {"name": "tiny/vit"}), HF_ENDPOINT=server.url)
        assert (Path(again["value"]) / "model.safetensors").read_bytes() == LARGE
        (asked,) = [asked for _, asked in server.ranges[ranges:] if not asked.startswith("bytes=0-")]
        assert int(asked[6:-1]) > 500_000

    def test_it_goes_on_after_the_process_was_killed(self, server, tmp_path):
        server.faults["model.safetensors"] = [Fault(pause=0.1)]
        call = json.dumps([("fetch", {"name": "tiny/vit"})])
        settings = environment(tmp_path, HF_ENDPOINT=server.url)
        process = subprocess.Popen([sys.executable, "-c", ASK, call], cwd=ROOT, env=settings, stderr=subprocess.DEVNULL)
        partial = tmp_path / "hub" / "models--tiny--vit" / "blobs" / f"{sha256(LARGE)}.incomplete"
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size > 300_000):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
        there, ranges = partial.stat().st_size, len(server.ranges)
        assert there < len(LARGE)
        (answer,) = ask(tmp_path, ("fetch", {"name": "tiny/vit"}), HF_ENDPOINT=server.url)
        assert (Path(answer["value"]) / "model.safetensors").read_bytes() == LARGE
        assert ("model.safetensors", f"bytes={there}-") in server.ranges[ranges:]
        assert not partial.exists()

    def test_what_arrives_damaged_is_thrown_away(self, server, tmp_path):
        blobs = tmp_path / "hub" / "models--tiny--vit" / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{sha256(LARGE)}.incomplete").write_bytes(b"not the beginning of that file")
        fetch = ("fetch", {"name": "tiny/vit"})
        damaged, again = ask(tmp_path, fetch, fetch, HF_ENDPOINT=server.url)
        assert damaged["error"] == "model.safetensors of tiny/vit arrived damaged and was thrown away. Try again."
        assert (Path(again["value"]) / "model.safetensors").read_bytes() == LARGE

    def test_a_token_does_not_follow_to_the_store(self, server, tmp_path):
        (answer,) = ask(tmp_path, ("fetch", {"name": "tiny/gated"}), HF_ENDPOINT=server.url, HF_TOKEN="hf_anything")
        assert (Path(answer["value"]) / "model.safetensors").read_bytes() == LARGE
        assert server.leaks == []

    def test_refusals(self, server, tmp_path):
        downloads = len(server.downloads)
        pickled, memory, gated = ask(
            tmp_path,
            ("fetch", {"name": "tiny/pickled"}),
            ("fetch", {"name": "tiny/vit", "memory_bytes": 500_000_000}),
            ("fetch", {"name": "tiny/gated"}),
            HF_ENDPOINT=server.url,
        )
        assert pickled["error"].startswith("tiny/pickled has its weights only as pytorch_model.bin")
        assert memory["error"] == "tiny/vit needs about 0.7 GB of memory, and may have 0.5 GB. Choose a smaller model."
        assert gated["error"].startswith("tiny/gated is gated: accept its terms at")
        assert "model.safetensors" not in server.downloads[downloads:]

    def test_a_disk_that_is_too_small_is_said_before(self, monkeypatch, tmp_path):
        info = ModelInfo(
            "a/b", "main", "0" * 40, "", "", "", False, 0, (File("model.safetensors", 3_000_000_000, "e"),), (), {}, ""
        )
        monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_250_000_000}))
        here = download.Place(tmp_path / "models--a--b", tmp_path / ".locks")
        with pytest.raises(
            HubError, match=re.escape(f"a/b needs 2.50 GB more on the disk with {tmp_path}, where 1.25 GB are free.")
        ):
            download._expect_room(info, 500_000_000, here)


@pytest.fixture(scope="module")
def full(server, tmp_path_factory):
    """A cache with two models, and what the Hub said of one."""
    home = tmp_path_factory.mktemp("full")
    fetches = [("fetch", {"name": f"tiny/{name}"}) for name in ("vit", "writer")]
    *_, info = ask(home, *fetches, ("inspect", {"name": "tiny/vit"}), HF_ENDPOINT=server.url)
    return home, info["value"]


class TestWithoutTheHub:
    CALLS = (
        ("inspect", {"name": "tiny/vit"}),
        ("fetch", {"name": "tiny/writer"}),
        ("inspect", {"name": "tiny/new"}),
        ("search", {"words": "vit"}),
    )

    @pytest.mark.parametrize("setting", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
    def test_what_was_downloaded_works_and_the_rest_is_said(self, full, server, setting):
        home, before = full
        asked = len(server.requests)
        settings = {"HF_ENDPOINT": server.url, **setting}
        info, fetched, new, search = ask(home, *self.CALLS, **settings)
        for fact in ("commit", "task", "licence", "parameters", "labels", "card", "tensors", "obstacle", "memory_bytes"):
            assert info["value"][fact] == before[fact]
        assert info["value"]["local"] is not None
        assert Path(fetched["value"]).is_dir()
        if "HF_HUB_OFFLINE" in setting:
            assert new["error"] == (
                f"tiny/new is not, or not in full, in the cache {home}/hub, and HF_HUB_OFFLINE forbids downloading it. "
                "Unset HF_HUB_OFFLINE, copy the cache from a machine that has it, or choose a starter model."
            )
            assert search["error"].startswith("HF_HUB_OFFLINE forbids asking the Hub. Unset HF_HUB_OFFLINE or choose a starter")
        else:
            assert new["error"].startswith(
                "http://127.0.0.1:9 cannot be reached, and tiny/new is not, or not in full, in the cache"
            )
            assert search["error"].startswith("http://127.0.0.1:9 cannot be reached. Check the network and HF_ENDPOINT, or choose")
        assert new["offline"] and search["offline"]
        assert len(server.requests) == asked, "nothing was asked of the Hub"


class TestStarters:
    @pytest.fixture
    def own(self, monkeypatch, tmp_path):
        folder = tmp_path / "tiny-digits"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights(layer__weight=(10, 64)))
        (folder / "config.json").write_text('{"architectures": ["ViTForImageClassification"], "id2label": {"0": "0", "1": "1"}}')
        said = {"title": "Tiny digits", "task": "image-classification", "accuracy": 0.97, "data": "digits-8", "licence": "mit"}
        said |= {"measured": "accuracy", "split": "500 others"}
        (folder / "provenance.json").write_text(json.dumps(said))
        (tmp_path / "no-model").mkdir()
        monkeypatch.setattr(bundled, "FOLDER", tmp_path)
        hub.starters.cache_clear()
        yield
        hub.starters.cache_clear()

    def test_are_listed_and_inspected_with_no_network(self, own, monkeypatch):
        monkeypatch.setattr("huggingface_hub.HfApi.model_info", None)
        (one,) = hub.starters()
        assert (one.name, one.title, one.data) == ("starter/tiny-digits", "Tiny digits", "digits-8")
        assert (one.accuracy, one.measured, one.split) == (0.97, "accuracy", "500 others")
        info = hub.inspect("starter/tiny-digits")
        assert (info.parameters, info.task, info.licence, info.labels) == (640, "image-classification", "mit", ("0", "1"))
        assert (info.obstacle, info.reference, info.local) == ("", "starter/tiny-digits", one.path)
        assert hub.folder("starter/tiny-digits") == hub.fetch("starter/tiny-digits") == one.path

    def test_a_starter_that_is_not_there(self, own):
        with pytest.raises(HubError, match=re.escape("no starter model 'starter/x'; there are: starter/tiny-digits.")):
            hub.inspect("starter/x")

    @pytest.mark.parametrize("name", [one.name for one in hub.starters()])
    def test_those_that_ship_can_be_used(self, name):
        info = hub.inspect(name)
        assert info.parameters > 1000
        assert info.obstacle == ""
        assert info.licence


class TestLayers:
    def test_a_tree_counts_and_merges_what_is_alike(self):
        tensors = [Tensor("embedding.weight", (10, 4), "F32")]
        for number in (10, 2, 0, 1):
            tensors += [Tensor(f"block.{number}.linear.weight", (4, 4), "F32"), Tensor(f"block.{number}.linear.bias", (4,), "F32")]
        tensors += [Tensor("block.11.linear.weight", (4, 8), "F32"), Tensor("scale", (), "F32")]
        rows = [(depth, layer.name, layer.parameters, layer.count) for depth, layer in tree(tensors).walk()]
        assert rows == [
            (0, "model", 40 + 4 * 20 + 32 + 1, 1),
            (1, "embedding", 40, 1),
            (2, "weight", 40, 1),
            (1, "block", 4 * 20 + 32, 1),
            (2, "0 … 10", 80, 4),
            (3, "linear", 20, 1),
            (4, "weight", 16, 1),
            (4, "bias", 4, 1),
            (2, "11", 32, 1),
            (3, "linear", 32, 1),
            (4, "weight", 32, 1),
            (1, "scale", 1, 1),
        ]

    def test_a_name_as_deep_as_a_stranger_likes_is_no_trouble(self):
        assert sum(1 for _ in tree([Tensor("a." * 5000 + "b", (1,), "F32")]).walk()) < 50

    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            ("model.safetensors", True),
            ("model-00001-of-00002.safetensors", True),
            ("2_Dense/model.safetensors", True),
            ("1_Pooling/config.json", True),
            ("spiece.model", True),
            ("../config.json", False),
            ("onnx/config.json", False),
            ("pytorch_model.bin", False),
            ("modeling_x.py", False),
            ("model.safetensors\n", False),
            ("adapter_model.safetensors", False),
        ],
    )
    def test_what_is_fetched(self, name, wanted):
        assert File(name, 1).wanted is wanted
