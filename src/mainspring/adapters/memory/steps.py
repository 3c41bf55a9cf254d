"""Run records and the step cache in dicts: the reference for tests. Not shared between processes."""

from mainspring.develop.runs import Run
from mainspring.develop.steps import Outcome, step_named
from mainspring.kernel.errors import Conflict, NotFound


class MemoryRuns:
    """Keeps run records."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._outcomes: dict[tuple[str, str], Outcome] = {}

    def save(self, run: Run) -> None:
        """Keep a run's record; `Conflict` if another run has its id."""
        if self._runs.setdefault(run.id, run) != run:
            raise Conflict(f"another run is called {run.id}", fix="give the run another id")

    def load(self, run_id: str) -> Run:
        """Return a run's record; `NotFound` if there is none."""
        if run_id not in self._runs:
            raise NotFound(f"no run is called {run_id[:100]!r}", fix="mainspring status lists the runs")
        return self._runs[run_id]

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Write a step's outcome into the run."""
        self._outcomes[run_id, outcome.step] = outcome

    def outcome(self, run_id: str, step: str) -> Outcome | None:
        """Return a step's outcome in the run, or None."""
        return self._outcomes.get((run_id, step_named(step).name))


class MemoryStepCache:
    """Keeps outcomes by key."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Outcome] = {}

    def get(self, key: str) -> Outcome | None:
        """Return the outcome kept under a key, or None."""
        return self._outcomes.get(key)

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome; the first one stays."""
        self._outcomes.setdefault(outcome.key, outcome)
