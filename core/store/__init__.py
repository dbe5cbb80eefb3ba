"""The store: one DuckDB file that keeps every run. The only place with SQL.

    store = Store.open(default_path())
    store.latest("lottery-ticket")             reading, from any thread
    with store.writing() as writer: ...        writing, from the engine's thread alone

One process owns the file: that is DuckDB's rule. What is written is committed in transactions, so that whatever a reader was
shown is there after a crash.
"""

from core.store.database import StoreError, default_path
from core.store.store import Store
from core.store.writer import RunIsHere, Writer

__all__ = ["RunIsHere", "Store", "StoreError", "Writer", "default_path"]
