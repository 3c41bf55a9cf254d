"""What developing a model needs from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mainspring.develop.runs import Run
from mainspring.develop.steps import Outcome
from mainspring.kernel.contract import Input, Runtime
from mainspring.stats.columns import Columns, Floats

Scorer = Callable[[Columns], Floats]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What a trainer is given.

    function: `package.module:name`. columns: training rows by feature, sorted by time. target: 0.0 or 1.0 a row.
    holdout: rows kept for judging, from which the probe is made. params: passed to the function. runtime: what
    the model runs as; trust: types that a model which runs as Python may contain.
    """

    function: str
    columns: Columns
    target: Floats
    holdout: Columns
    params: Mapping[str, str | int | float | bool]
    runtime: Runtime = "onnx"
    trust: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a trainer gives back; the estimator itself never leaves it.

    model: ONNX bytes with one output, or a skops file. inputs: the columns that it uses. output: the output's name.
    probe: values of every input and, under `score`, the original estimator's P(positive).
    fit_seconds: time inside the user's function.
    """

    model: bytes
    inputs: tuple[Input, ...]
    output: str
    probe: Columns
    probe_scores: Floats
    fit_seconds: float


class Trainer(Protocol):
    """Runs a user's training function and turns what it returns into ONNX."""

    def train(self, job: TrainingJob) -> Trained:
        """Fit and convert. Raises `FunctionNotFound`, `FunctionFailed` or `NotConvertible`."""


class Frames(Protocol):
    """Tables between steps: Parquet files to columns and back."""

    def read(self, path: Path) -> Columns:
        """Return every column of a file, rows in file order. Treat the arrays as read-only: they may be shared."""

    def write(self, path: Path, columns: Columns) -> None:
        """Write columns to a new file; equal columns make equal bytes."""

    def examples(self, features: Path, targets: Path, span: tuple[int, int]) -> Columns:
        """Return {row, asked_at, value, known_at} of every ask in [start, end) whose outcome was known by `end`.

        row: index into the features file, rising. Of several versions of an outcome the one with the highest
        known_at <= end counts. span: (start, end), UTC microseconds.
        """


class StepCache(Protocol):
    """Keeps outcomes by step key. Every adapter passes tests/unit/develop/test_run_records.py."""

    def get(self, key: str) -> Outcome | None:
        """Return the outcome kept under a key, or None."""

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome under its key; the first one stays."""


class Runs(Protocol):
    """The records of runs that steps read and write. Every adapter passes tests/unit/develop/test_run_records.py."""

    def save(self, run: Run) -> None:
        """Keep a run's record. Saving the same again changes nothing; another with its id is a `Conflict`."""

    def load(self, run_id: str) -> Run:
        """Return a run's record; `NotFound` if there is none."""

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Write a step's outcome into the run."""

    def outcome(self, run_id: str, step: str) -> Outcome | None:
        """Return a step's outcome in the run, or None if it has not finished there."""


class StepRunner(Protocol):
    """Runs one step of a saved run where user code may run: never beside keys or the ledger."""

    def run(self, step: str, run_id: str) -> Outcome:
        """Run the step (or reuse its outcome) and return what it did. Raises what the step raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """One finished run, or one adopted model, as a tracking server shows it.

    run: its id. model: the model's name. digest, version: the registered model, 0 before it has a version.
    params, metrics: flat. files: evidence by name. onnx: the model's graph, or b"" where it is not shown.
    """

    run: str
    model: str
    digest: str
    version: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, bytes] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    onnx: bytes = b""


class RunMirror(Protocol):
    """Shows runs in a tracking server. Never read by a decision; made again from the ledger at any time."""

    def record(self, mirrored: Mirrored) -> None:
        """Show a run. Recording it again changes nothing. Raises `MirrorFailed` when the server cannot be written."""

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias, such as `champion`, at a version."""
