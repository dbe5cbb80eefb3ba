"""The settings that a public server runs with."""

from __future__ import annotations

import tomllib
from pathlib import Path

from core.data.uploads import Limits

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def test_a_visitor_sees_no_traceback_of_the_program():
    assert CONFIG["client"]["showErrorDetails"] == "none"


def test_the_server_takes_no_larger_file_than_an_upload_may_have():
    """Streamlit counts in units of 2**20 bytes."""
    assert Limits().upload_bytes <= CONFIG["server"]["maxUploadSize"] * 2**20 < 1.05 * Limits().upload_bytes


def test_other_origins_are_refused_and_no_folder_is_served():
    server = CONFIG["server"]
    assert server["enableCORS"] and server["enableXsrfProtection"] and not server["enableStaticServing"]
