"""What API keys have left of their budgets: `<state>/budgets.json`, so that a server's restart forgives nobody."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from mainspring.kernel.files import write_atomic
from mainspring.kernel.times import SECOND, Clock

_MOST = 10_000
_MAX_SIZE = 4 << 20
_log = logging.getLogger("mainspring.inference")


class BudgetFile:
    """One file a process: rows left and when, by key id. A reader sees the old or the new.

    What is damaged counts as nothing known, and is told. worker: 0 for a server's only or first process.
    """

    def __init__(self, state: Path, clock: Clock, worker: int = 0) -> None:
        self._path, self._clock = state / (f"budgets-{worker}.json" if worker else "budgets.json"), clock

    def write(self, left: Mapping[str, tuple[float, float]]) -> None:
        """Replace what is kept. left: rows, and the seconds since they were counted, by key."""
        now = self._clock.now()
        rows = {key: [level, now - int(age_s * SECOND)] for key, (level, age_s) in left.items()}
        write_atomic(self._path, json.dumps(rows).encode("ascii"), durable=False)

    def read(self) -> Mapping[str, tuple[float, float]]:
        """Return what was kept last, as `write` takes it."""
        try:
            with self._path.open("rb") as stream:
                rows = json.loads(stream.read(_MAX_SIZE))
            now = self._clock.now()
            found = {key: (float(level), (now - at) / SECOND) for key, (level, at) in rows.items()}
            if len(found) > _MOST or not all(math.isfinite(level) for level, _ in found.values()):
                raise ValueError("not what was written")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("%s cannot be read, so every key has its whole budget: %s", self._path.name, error)
            return {}
        return found
