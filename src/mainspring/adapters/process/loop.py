"""The inside of a step process: read what to run, run it, answer."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import IO

import psutil

from mainspring.develop.steps import Outcome
from mainspring.kernel.errors import MainspringError

Perform = Callable[[str, str, str], Outcome]


def serve(perform: Perform, asked: IO[str], answers: IO[str]) -> int:
    """Run steps until the input ends; return how many. Every line gets exactly one answer."""
    count = 0
    memory = psutil.Process()
    for line in asked:
        answer = _answer(perform, line)
        sys.stdout.flush()
        answers.write(json.dumps({**answer, "rss": memory.memory_info().rss}) + "\n")
        answers.flush()
        count += 1
    return count


def private_stdout() -> IO[str]:
    """Return a stream to the real stdout and point file descriptor 1 at stderr, so that user code cannot spoil it."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _answer(perform: Perform, line: str) -> dict[str, object]:
    try:
        asked = json.loads(line)
        return {"outcome": perform(asked["step"], asked["run"], asked.get("state", "")).to_json()}
    except MainspringError as error:
        if error.__cause__ is not None:
            traceback.print_exc(file=sys.stderr)
        return {"error": {"code": error.code, "what": error.what, "fix": error.fix}}
    except Exception as error:  # noqa: BLE001 - the edge of a process: whatever broke is told to the one who asked
        traceback.print_exc(file=sys.stderr)
        what = f"{type(error).__name__}: {error}"
        return {"error": {"code": "step.failed", "what": what, "fix": "look at the trace in the step's log"}}
