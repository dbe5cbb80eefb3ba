"""The loader of Hub data sets against a real HTTP server, each time in a process of its own: settings are read at import."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.hub_server import HubServer

ROOT = Path(__file__).parents[2]
ASK = """
import json, sys
from core.data import hub
answers = []
for call in json.loads(sys.argv[1]):
    dataset, split, options = call
    try:
        images = hub.images(dataset, split, **options)
        answers.append({
            "shape": list(images.pixels.shape), "sum": images.pixels.double().sum().item(), "labels": images.labels.tolist(),
            "classes": images.classes, "dtype": str(images.pixels.dtype), "first": images.pixels[0].flatten()[:6].tolist(),
        })
    except hub.HubDataError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def parquet(arrays: list[np.ndarray], labels: list[int], *, names=("cat", "dog"), image="image", label="label") -> bytes:
    """A file as the Hub's data sets have them: images as {bytes, path}, class labels, the features as metadata."""
    features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": list(names)} if names else {"dtype": "int64"}}
    table = pa.table({image: [{"bytes": png(array), "path": f"{i}.png"} for i, array in enumerate(arrays)], label: labels})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def pictures(n: int, *shape: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.RandomState(seed).randint(0, 256, (n, *shape), dtype=np.uint8))


GREY = pictures(5, 4, 4)
COLOUR = pictures(3, 4, 4, 3)


@pytest.fixture(scope="module")
def server():
    with HubServer() as hub:
        hub.add(
            "tiny/grey",
            {
                "README.md": b"# tiny",
                "mnist/train-00000-of-00002.parquet": parquet(GREY[:3], [0, 1, 1]),
                "mnist/train-00001-of-00002.parquet": parquet(GREY[3:], [0, 0]),
                "mnist/test-00000-of-00001.parquet": parquet(GREY[:1], [1]),
                "mnist/pretrain-00000-of-00001.parquet": b"not wanted",
            },
        )
        hub.add("tiny/colour", {"data/train.parquet": parquet([*COLOUR, GREY[0]], [1, 0, 1, 0], image="img", label="fine_label")})
        hub.add("tiny/configs", {f"{name}/train-00000-of-00001.parquet": parquet(GREY[:1], [i]) for i, name in enumerate("ab")})
        hub.add("tiny/sizes", {"train.parquet": parquet([*pictures(1, 4, 4), *pictures(1, 8, 6)], [0, 1])})
        hub.add("tiny/unnamed", {"train.parquet": parquet(GREY[:3], [7, 3, 7], names=None)})
        hub.add("tiny/csv", {"train.csv": b"a,b"})
        hub.add("tiny/csv", {"default/train/0000.parquet": parquet(GREY[:2], [1, 0])}, revision="refs/convert/parquet")
        hub.add("tiny/text", {"train.jsonl": b"{}"})
        hub.add("tiny/gated", {"train.parquet": parquet(GREY[:1], [0])}, gated=True)
        hub.add("tiny/words", {"train.parquet": words()})
        yield hub


def words() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "label": [0]}), buffer)
    return buffer.getvalue()


def ask(home: Path, calls: list, **environment: str) -> list[dict]:
    """What hub.images answers in a process with this cache and these settings."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(calls)],
        cwd=ROOT,
        env={**plain, "HF_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ONLINE = {
    "grey": ("tiny/grey", "train", {}),
    "limited": ("tiny/grey", "train", {"limit": 4}),
    "colour": ("tiny/colour", "train", {}),
    "one config": ("tiny/configs", "train", {"config": "b"}),
    "configs": ("tiny/configs", "train", {}),
    "sizes": ("tiny/sizes", "train", {}),
    "resized": ("tiny/sizes", "train", {"size": 4}),
    "unnamed": ("tiny/unnamed", "train", {}),
    "no such column": ("tiny/unnamed", "train", {"label": "colour"}),
    "converted": ("tiny/csv", "train", {}),
    "no parquet": ("tiny/text", "train", {}),
    "no split": ("tiny/grey", "validation", {}),
    "missing": ("tiny/nothing", "train", {}),
    "gated": ("tiny/gated", "train", {}),
    "words": ("tiny/words", "train", {}),
    "malformed": ("no//id", "train", {}),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def online(server, home) -> dict[str, dict]:
    return dict(zip(ONLINE, ask(home, list(ONLINE.values()), HF_ENDPOINT=server.url), strict=True))


class TestOnline:
    def test_grey_images_of_all_files_in_order(self, online):
        answer = online["grey"]
        assert answer["shape"] == [5, 1, 4, 4]
        assert answer["dtype"] == "torch.float32"
        assert answer["labels"] == [0, 1, 1, 0, 0]
        assert answer["classes"] == ["cat", "dog"]
        np.testing.assert_allclose(answer["first"], GREY[0].ravel()[:6] / 255, rtol=1e-6)
        np.testing.assert_allclose(answer["sum"], np.sum(GREY) / 255, rtol=1e-6)

    def test_only_the_first_rows(self, online):
        assert online["limited"]["labels"] == [0, 1, 1, 0]

    def test_colours_come_before_rows_and_a_grey_image_among_them_is_kept_grey(self, online):
        answer = online["colour"]
        assert answer["shape"] == [4, 3, 4, 4]
        np.testing.assert_allclose(answer["first"], COLOUR[0][:, :, 0].ravel()[:6] / 255, rtol=1e-6)
        np.testing.assert_allclose(answer["sum"], (np.sum(COLOUR) + 3.0 * GREY[0].sum()) / 255, rtol=1e-6)
        assert answer["labels"] == [1, 0, 1, 0]

    def test_a_config(self, online):
        assert online["one config"]["labels"] == [1]
        assert online["configs"]["error"] == "tiny/configs has several configs with the split 'train': a, b. Choose one by config."

    def test_sizes(self, online):
        assert online["sizes"]["error"].startswith("The images of tiny/sizes differ in size, e.g. 4 x 4 and 8 x 6 pixels.")
        assert online["resized"]["shape"] == [2, 1, 4, 4]

    def test_labels_without_names_are_their_own_names(self, online):
        assert online["unnamed"]["labels"] == [1, 0, 1]
        assert online["unnamed"]["classes"] == ["3", "7"]

    def test_the_hub_s_own_parquet_copy_where_there_is_no_other(self, online):
        assert online["converted"]["labels"] == [1, 0]

    def test_only_files_of_the_split_are_fetched(self, online, server):
        assert "mnist/pretrain-00000-of-00001.parquet" not in server.downloads
        assert "mnist/test-00000-of-00001.parquet" not in server.downloads
        assert "README.md" not in server.downloads
        assert not {"a/train-00000-of-00001.parquet"} & set(server.downloads), "several configs are refused before any is fetched"
        assert server.downloads.count("mnist/train-00000-of-00002.parquet") == 1

    @pytest.mark.parametrize(
        ("case", "said"),
        [
            ("no such column", "tiny/unnamed has no column 'colour'; it has: image, label."),
            ("no parquet", "tiny/text has no Parquet files for the split 'train': it has no Parquet files at all."),
            ("no split", "tiny/grey has no Parquet files for the split 'validation': its Parquet files are mnist/"),
            ("missing", "There is no data set tiny/nothing at http://127.0.0.1:"),
            ("gated", "tiny/gated is gated: accept its terms at http://127.0.0.1:"),
            ("words", "tiny/words has no column of images; it has: text, label."),
            ("malformed", "'no//id' is no id of a Hub data set; it looks like owner/name."),
        ],
    )
    def test_errors_say_what_to_do(self, online, case, said):
        assert online[case]["error"].startswith(said)

    def test_a_token_opens_what_is_gated(self, server, tmp_path):
        (answer,) = ask(tmp_path, [ONLINE["gated"]], HF_ENDPOINT=server.url, HF_TOKEN="hf_anything")
        assert answer["labels"] == [0]


class TestWithoutTheHub:
    def test_offline_reads_the_cache_and_says_what_is_not_there(self, online, home, server):
        asked = len(server.requests)
        calls = [ONLINE["grey"], ONLINE["converted"], ("tiny/grey", "test", {}), ("tiny/new", "train", {})]
        cached, converted, other_split, new = ask(home, calls, HF_ENDPOINT=server.url, HF_HUB_OFFLINE="1")
        assert cached == online["grey"]
        assert converted == online["converted"]
        for answer, name in ((other_split, "tiny/grey"), (new, "tiny/new")):
            assert answer["error"].startswith(f"{name} is not, or not in full, in the cache {home}")
            assert "HF_HUB_OFFLINE forbids downloading it. Unset HF_HUB_OFFLINE" in answer["error"]
        assert len(server.requests) == asked, "nothing was asked of the Hub"

    def test_a_hub_that_does_not_answer(self, online, home):
        nowhere = "http://127.0.0.1:9"  # the discard port: nobody listens
        cached, new = ask(home, [ONLINE["grey"], ("tiny/new", "train", {})], HF_ENDPOINT=nowhere)
        assert cached == online["grey"]
        assert new["error"].startswith(f"{nowhere} cannot be reached, and tiny/new is not, or not in full, in the cache")
