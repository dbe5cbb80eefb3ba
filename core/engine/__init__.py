"""The engine: a spec becomes cells (arm x seed), cells run in warm worker processes, what they record goes to the store.

    with Engine(default_path()) as engine:
        run = engine.submit(engine.make_spec("lottery-ticket", "quick"))
        engine.wait(run)
        engine.store.verdicts(run)

One thread of the engine is the store's only writer, hands out cells, and ends workers that are cancelled, too slow or too large.
"""

from core.engine.engine import CellProgress, Engine, LimitError, Progress
from core.engine.machine import Machine
from core.engine.spec import Spec
from core.limits import Limits

__all__ = ["CellProgress", "Engine", "LimitError", "Limits", "Machine", "Progress", "Spec"]
