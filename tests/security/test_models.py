"""Models of strangers: pickles under any name, ids and revisions that are paths, and a deep file."""

from __future__ import annotations

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import hub
from core.data.uploads import UploadError, read_upload
from core.hub import HubError
from models.hub import from_folder

CONFIG = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "image_size": 8, "patch_size": 4, "num_channels": 1}


class Trap:
    """Opens a file for writing as soon as it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model-00001-of-00001.safetensors", "tf_model.h5"])
def test_a_pickle_is_not_opened_whatever_it_is_called(name, tmp_path):
    sprung, folder = tmp_path / "sprung", tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(HubError):
        from_folder(folder, "tiny/model")
    assert not sprung.exists()
    pickle.loads((folder / name).read_bytes()).close()
    assert sprung.exists(), "the trap works"


PATHS = (
    "../..",
    "/etc/passwd",
    "..\\..\\x",
    "C:\\x",
    "a/../b",
    "owner/..",
    "owner/na\0me",
    "owner/name/../..",
    "https://x.invalid/a",
    "%2e%2e/x",
)


@pytest.mark.parametrize("name", [*PATHS, "starter/../../etc", "starter/\0", "owner/name\n"])
def test_an_id_is_no_path(name):
    for ask in (hub.inspect, hub.folder):
        with pytest.raises(HubError):
            ask(name)


@pytest.mark.parametrize(
    "revision", ["..", "../../x", "/etc", "a/../../b", "a\\b", "a\0b", "refs/../../..", "a\nb", "a?b", "x" * 300]
)
def test_a_revision_is_no_path(revision):
    for ask in (hub.inspect, hub.folder):
        with pytest.raises(HubError, match="is no revision"):
            ask("owner/name", revision)


def test_a_deep_parquet_file_is_refused():
    kind, value = pa.int64(), 1
    for _ in range(150):
        kind, value = pa.list_(kind), [value]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"deep": pa.array([value] * 4, kind), "label": ["a", "b", "a", "b"]}), sink)
    with pytest.raises(UploadError):
        read_upload("deep.parquet", sink.getvalue().to_pybytes())
