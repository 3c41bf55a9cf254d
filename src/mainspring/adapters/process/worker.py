"""A kept step process: importing the training stack costs seconds, so one process runs step after step.

It is started on first use by plain `Popen` (the same on Windows), gets an environment without secrets, and is
replaced after some steps, when it has grown too large, or when it passed a deadline.
"""

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mainspring.adapters.process.ending import ended
from mainspring.adapters.process.turns import Turns
from mainspring.develop.errors import StepFailed, StepTimeout, told
from mainspring.develop.steps import Outcome, read_outcome

KEPT_NAMES = frozenset({
    "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR",
    "COMSPEC", "PATHEXT", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "NUMBER_OF_PROCESSORS", "VIRTUAL_ENV",
    "PYTHONPATH", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH",
    "MAINSPRING_FAILPOINT", "TZDIR",
})  # fmt: skip
KEPT_PREFIXES = ("LC_", "OMP_", "OPENBLAS_", "MKL_")
STEP_SECONDS = 3600.0
STEPS_A_PROCESS = 400
MOST_BYTES = 3 << 30
_STOP_SECONDS = 5.0


def scrubbed(environment: Mapping[str, str], keep: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the variables that a step process may see: an allow-list, so no unknown secret passes.

    keep: what further names begin with.

    One OpenMP thread unless the caller says otherwise: sums over threads would make a model's digest depend on the
    number of cores, and on two cores the flights' trees grew faster on one (4.3 s against 6.6 s).
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name.upper() in KEPT_NAMES or name.upper().startswith(KEPT_PREFIXES + keep)
    }
    # glibc keeps a heap a thread and returns little of it: two serve the few threads of a step (elsewhere ignored)
    return {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", **kept}


class KeptWorker:
    """Runs steps in one kept process, one at a time, for any number of threads; close it, or use it in `with`."""

    def __init__(
        self, argv: Sequence[str], *, folder: Path, log: Path, seconds: float | Mapping[str, float] = STEP_SECONDS,
        steps: int = STEPS_A_PROCESS, most_bytes: int = MOST_BYTES,
    ) -> None:  # fmt: skip
        """argv: program and arguments that run `loop.serve`; folder: its working directory; log: its stderr.

        seconds: longest step, of all or by name. steps, most_bytes: after these the process is replaced.
        """
        self._argv, self._folder, self._log = list(argv), folder, log
        self._seconds, self._steps, self._most_bytes = seconds, steps, most_bytes
        self.keep: tuple[str, ...] = ()  # what further names of variables that it may see begin with
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._done, self._asked = 0, False
        self._turns = Turns()

    def __enter__(self) -> "KeptWorker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the process now, so that its imports pass while something else is done."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()

    def run(self, step: str, run_id: str, state: str = "", *, patient: bool = False) -> Outcome:
        """Run a step and return its outcome. state: state folder of the replay that the run is in, or "".

        patient: wait until nobody else wants a step run.
        Raises what the step raised, `StepTimeout` after the deadline, `StepFailed` if the process was lost.
        """
        with self._turns.turn(patient=patient):
            return self._run(step, run_id, state)

    def within(self, state: Path | None, *, patient: bool = False) -> "WorkerWithin":
        """Return a runner on this same process. state: of the replay that its runs are in. patient: see `run`."""
        return WorkerWithin(self, "" if state is None else str(state), patient=patient)

    def _run(self, step: str, run_id: str, state: str) -> Outcome:
        self.start()
        answer = self._ask(json.dumps({"step": step, "run": run_id, "state": state}), step)
        self._done += 1
        if self._done >= self._steps or int(answer.get("rss", 0)) > self._most_bytes:
            self.close()
        if "error" in answer:
            raise told(answer["error"])
        return read_outcome(answer["outcome"])

    def close(self) -> None:
        """End the process, gently if it listens. One that was never asked anything has nothing to finish."""
        process, self._process = self._process, None
        unused, self._asked = not self._asked, False
        self._done = 0
        if process is None:
            return
        if unused:
            process.terminate()
        ended(process, _STOP_SECONDS)

    def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, cwd=self._folder, env=scrubbed(os.environ, self.keep), text=True, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._answers = queue.Queue()
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True)
        reader.start()

    def _ask(self, line: str, step: str) -> dict[str, Any]:
        process, limit = self._process, self._limit(step)
        if process is None or process.stdin is None:
            raise self._lost(step)
        try:
            self._asked = True
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = self._answers.get(timeout=limit)
        except OSError as error:
            raise self._lost(step) from error
        except queue.Empty:
            process.kill()
            self.close()
            raise StepTimeout(
                f"{step} took longer than {limit:g} s and was ended",
                fix=f"give it less data, or more time: training.steps.{step}.timeout",
            ) from None
        if not answer:
            raise self._lost(step)
        return dict(json.loads(answer))

    def _limit(self, step: str) -> float:
        return self._seconds.get(step, STEP_SECONDS) if isinstance(self._seconds, Mapping) else self._seconds

    def _lost(self, step: str) -> StepFailed:
        code = self._process.wait() if self._process else None
        self.close()
        return StepFailed(
            f"the process of {step} ended with status {code} before it answered",
            fix=f"look at {self._log.name}; then train again: finished steps are kept",
        )


class WorkerWithin:
    """A kept worker as the runner of one replay's runs, or a patient one."""

    def __init__(self, worker: KeptWorker, state: str, *, patient: bool) -> None:
        self._worker, self._state, self._patient = worker, state, patient

    def run(self, step: str, run_id: str) -> Outcome:
        """Run a step and return its outcome; see `KeptWorker.run`."""
        return self._worker.run(step, run_id, self._state, patient=self._patient)


def _read(stream: IO[str] | None, answers: "queue.Queue[str]") -> None:
    """Move lines into the queue; an empty one says that the process has gone."""
    if stream is not None:
        with suppress(ValueError):  # closed while reading
            for line in stream:
                answers.put(line)
    answers.put("")
