"""Files to take away: what is in the zip, what is removed, and that no name leads out of the folder."""

from __future__ import annotations

import io
import os
import time
import zipfile

import pytest

from core import exported


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_EXPORTS", str(tmp_path / "exports"))
    return tmp_path / "exports"


def test_the_zip_is_made_in_pieces_and_holds_the_files():
    folder, weights = exported.new_folder(0), os.urandom(5 * 2**20 + 17)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    pieces = list(exported.zipped(folder))
    assert len(pieces) > 5 and max(map(len, pieces)) < 2 * 2**20
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["1_Pooling/config.json", "model.safetensors"]
        assert archive.read("model.safetensors") == weights


def test_zeros_take_no_room_in_the_zip():
    folder = exported.new_folder(0)
    (folder / "model.safetensors").write_bytes(bytes(5 * 2**20))
    assert sum(map(len, exported.zipped(folder))) < 2**17


def test_only_this_user_may_read_the_folder(root):
    exported.new_folder(0)
    assert root.stat().st_mode & 0o777 == 0o700


def test_old_folders_go_and_new_ones_stay(root):
    old, new = exported.new_folder(0), exported.new_folder(0)
    os.utime(old, (0, time.time() - exported.KEPT_SECONDS - 1))
    exported.new_folder(0)
    assert not old.exists() and exported.find(new.name) == new


@pytest.mark.parametrize("name", ["..", "../model-x", "/etc", "", "model-", "model-a/../..", "model-gone"])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    (tmp_path / "model-x").mkdir()
    assert exported.find(name) is None


def test_a_full_disk_is_said():
    with pytest.raises(exported.ExportError, match="The files take 1000000000"):
        exported.new_folder(10**18)
