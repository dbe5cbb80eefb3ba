"""Opening the file: where it is, which version it has, and one clear sentence where it cannot be had."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

FOLDER = Path(__file__).parent
VERSION = 3
MEMORY = "25%"  # of the machine's; the rest is the workers'
SPILLED = "4GB"  # on the disk beside the file, of what does not fit into that


class StoreError(RuntimeError):
    """The store cannot be opened or written. The message says why and what to do."""


def default_path() -> Path:
    """PROVING_GROUND_STORE, or store.duckdb in the user's data folder."""
    named = os.environ.get("PROVING_GROUND_STORE")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "proving-ground" / "store.duckdb"


def connect(path: Path, memory: str = MEMORY) -> duckdb.DuckDBPyConnection:
    """The open database at `path`, created or migrated to VERSION, which takes at most so much memory.

    Raises:
        StoreError: held by another process, damaged, of a newer version, or not writable.
    """
    fresh = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(str(path), config={"checkpoint_threshold": "1TB"})  # Store checkpoints, see there
    except OSError as error:
        raise StoreError(
            f"The folder of the store {path} cannot be made: {error.strerror}. Choose another with --store."
        ) from error
    except duckdb.Error as error:
        if fresh:
            path.unlink(missing_ok=True)  # half a file of a full disk
        raise StoreError(_why(path, error)) from error
    try:
        connection.execute("SET TimeZone = 'UTC'")
        _migrate(connection, path)
        _lock(connection, memory)
    except (duckdb.Error, StoreError) as error:
        connection.close()
        raise error if isinstance(error, StoreError) else StoreError(_why(path, error)) from error
    return connection


def refused(path: Path, error: duckdb.Error) -> StoreError:
    """Why something could not be written, and what to do."""
    text = str(error)
    if "No space left" in text or "quota exceeded" in text or "File too large" in text:
        return StoreError(f"The disk with the store {path} is full. Free some space on it, then try again.")
    return StoreError(f"The store {path} could not be written: {text.splitlines()[0]}")


def _why(path: Path, error: duckdb.Error) -> str:
    text = str(error)
    if "No space left" in text:
        return str(refused(path, error))
    if "lock" in text.lower():
        return f"The store {path} is in use by another process (is the app running?). Close it, or choose another with --store."
    if isinstance(error, duckdb.IOException) and "permission" in text.lower():
        return f"The store {path} cannot be opened: permission denied. Choose another with --store."
    first = text.splitlines()[0]
    return f"The store {path} is damaged or no DuckDB file ({first}). Move it away or choose another with --store."


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:
        connection.execute("BEGIN")
        connection.execute((FOLDER / "schema.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO about (version) VALUES (1)")
        connection.execute("COMMIT")
    elif "about" not in tables:
        raise StoreError(f"{path} is a DuckDB file of something else. Choose another with --store.")
    ((version,),) = connection.execute("SELECT version FROM about").fetchall()
    if version > VERSION:
        raise StoreError(
            f"The store {path} has version {version}; this program knows up to {VERSION}. Update it, or choose another store."
        )
    for later in range(version + 1, VERSION + 1):
        connection.execute("BEGIN")
        connection.execute((FOLDER / "migrations" / f"{later}.sql").read_text(encoding="utf-8"))
        connection.execute("UPDATE about SET version = ?", [later])
        connection.execute("COMMIT")


def _lock(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    """From here on nothing in the database reaches files other than its own, or the network, and no setting changes any more."""
    connection.execute(f"SET memory_limit = '{memory}'")
    connection.execute(f"SET max_temp_directory_size = '{SPILLED}'")
    for setting in ("enable_external_access", "python_enable_replacements", "allow_community_extensions"):
        connection.execute(f"SET {setting} = false")
    connection.execute("SET lock_configuration = true")
