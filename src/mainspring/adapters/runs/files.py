"""Runs and step outcomes as small JSON files, each replaced whole.

`<state>/runs/<id>/run.json`, `<state>/runs/<id>/<step>/outcome.json` and `<shared>/cache/<hex of key>.json`.
"""

import json
import re
from pathlib import Path
from typing import Any

from mainspring.develop.runs import Run, read_run
from mainspring.develop.steps import Outcome, read_outcome, step_named
from mainspring.kernel.digests import canonical_json, hex_of
from mainspring.kernel.errors import Conflict, Damaged, InvalidValue, NotFound
from mainspring.kernel.files import make_private, write_atomic

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class FileRuns:
    """Keeps run records under one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, run: Run) -> None:
        """Keep a run's record; `Conflict` if another run has its id."""
        path = self._run(run.id) / "run.json"
        if path.exists():
            if canonical_json(self.load(run.id).to_json()) != canonical_json(run.to_json()):
                raise Conflict(f"another run is called {run.id}", fix="give the run another id")
            return
        _write(path, run.to_json())

    def load(self, run_id: str) -> Run:
        """Return a run's record; `NotFound` if there is none."""
        raw = _read(self._run(run_id) / "run.json")
        if raw is None:
            raise NotFound(f"no run is called {run_id[:100]!r}", fix="mainspring status lists the runs")
        try:
            return read_run(raw)
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"run {run_id} cannot be read: {error}", fix="start the training again") from error

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Write a step's outcome into the run."""
        _write(self._outcome(run_id, outcome.step), outcome.to_json())

    def outcome(self, run_id: str, step: str) -> Outcome | None:
        """Return a step's outcome in the run, or None."""
        raw = _read(self._outcome(run_id, step))
        return None if raw is None else read_outcome(raw)

    def _outcome(self, run_id: str, step: str) -> Path:
        return self._run(run_id) / step_named(step).name / "outcome.json"

    def _run(self, run_id: str) -> Path:
        if not _ID.fullmatch(run_id):
            raise InvalidValue(f"{run_id[:60]!r} is not a run id", fix="use letters, digits, dots, dashes")
        return self._folder / run_id


class FileStepCache:
    """Keeps outcomes by key under one folder; replays of a project may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> Outcome | None:
        """Return the outcome kept under a key, or None; an unreadable one counts as absent and is replaced."""
        try:
            raw = _read(self._path(key))
            found = None if raw is None else read_outcome(raw)
        except Damaged:
            return None
        return found if found is not None and found.key == key else None

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome; the first one stays."""
        if self.get(outcome.key) is None:
            _write(self._path(outcome.key), outcome.to_json())

    def _path(self, key: str) -> Path:
        return self._folder / f"{hex_of(key)}.json"


def _write(path: Path, document: dict[str, Any]) -> None:
    make_private(path.parent)
    write_atomic(path, json.dumps(document, sort_keys=True, indent=1).encode("utf-8"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Damaged(f"{path.name} is not JSON: {error}", fix="delete it; the step runs again") from error
    if not isinstance(raw, dict):
        raise Damaged(f"{path.name} is not an object", fix="delete it; the step runs again")
    return raw
