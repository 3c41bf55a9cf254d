"""Runs and step outcomes as small JSON documents, each replaced whole, in a folder or an object store.

`<id>/run.json`, `<id>/<step>/outcome.json` of runs, `<hex of key>.json` of the step cache.
"""

import json
import re
from typing import Any, Protocol

from mainspring.develop.runs import Run, read_run
from mainspring.develop.steps import Outcome, read_outcome, step_named
from mainspring.kernel.digests import canonical_json, hex_of
from mainspring.kernel.errors import Conflict, Damaged, InvalidValue, NotFound

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_BYTES = 64 << 20


class Place(Protocol):
    """Where documents are kept: `adapters.runs.files.Folder`, or an object store's bucket."""

    def get(self, name: str, limit: int, /) -> bytes | None:
        """Return a document, or None."""

    def put(self, name: str, data: bytes, /) -> None:
        """Write a document, replacing what had that name."""


class Runs:
    """Keeps run records. prefix: what names begin with, such as `runs/`."""

    def __init__(self, place: Place, prefix: str = "") -> None:
        self._place, self._prefix = place, prefix

    def save(self, run: Run) -> None:
        """Keep a run's record; `Conflict` if another run has its id."""
        name = f"{self._run(run.id)}/run.json"
        if self._place.get(name, _MAX_BYTES) is not None:
            if canonical_json(self.load(run.id).to_json()) != canonical_json(run.to_json()):
                raise Conflict(f"another run is called {run.id}", fix="give the run another id")
            return
        _write(self._place, name, run.to_json())

    def load(self, run_id: str) -> Run:
        """Return a run's record; `NotFound` if there is none."""
        raw = _read(self._place, f"{self._run(run_id)}/run.json")
        if raw is None:
            raise NotFound(f"no run is called {run_id[:100]!r}", fix="mainspring status lists the runs")
        try:
            return read_run(raw)
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"run {run_id} cannot be read: {error}", fix="start the training again") from error

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Write a step's outcome into the run."""
        _write(self._place, self._outcome(run_id, outcome.step), outcome.to_json())

    def outcome(self, run_id: str, step: str) -> Outcome | None:
        """Return a step's outcome in the run, or None."""
        raw = _read(self._place, self._outcome(run_id, step))
        return None if raw is None else read_outcome(raw)

    def _outcome(self, run_id: str, step: str) -> str:
        return f"{self._run(run_id)}/{step_named(step).name}/outcome.json"

    def _run(self, run_id: str) -> str:
        if not _ID.fullmatch(run_id):
            raise InvalidValue(f"{run_id[:60]!r} is not a run id", fix="use letters, digits, dots, dashes")
        return f"{self._prefix}{run_id}"


class StepCache:
    """Keeps outcomes by key; replays of a project may share it."""

    def __init__(self, place: Place, prefix: str = "") -> None:
        self._place, self._prefix = place, prefix

    def get(self, key: str) -> Outcome | None:
        """Return the outcome kept under a key, or None; an unreadable one counts as absent and is replaced."""
        try:
            raw = _read(self._place, self._name(key))
            found = None if raw is None else read_outcome(raw)
        except Damaged:
            return None
        return found if found is not None and found.key == key else None

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome; the first one stays."""
        if self.get(outcome.key) is None:
            _write(self._place, self._name(outcome.key), outcome.to_json())

    def _name(self, key: str) -> str:
        return f"{self._prefix}{hex_of(key)}.json"


def _write(place: Place, name: str, document: dict[str, Any]) -> None:
    place.put(name, json.dumps(document, sort_keys=True, indent=1).encode("utf-8"))


def _read(place: Place, name: str) -> dict[str, Any] | None:
    data = place.get(name, _MAX_BYTES)
    if data is None:
        return None
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise Damaged(f"{name} is not JSON: {error}", fix="delete it; the step runs again") from error
    if not isinstance(raw, dict):
        raise Damaged(f"{name} is not an object", fix="delete it; the step runs again")
    return raw
