"""Run the tiny server as a process: `python serving_process.py LOG_FOLDER`; prints its addresses on one line.

With `--workers N` it is the parent of N such processes; with `--worker K --listener FD` it is one of them. The carrier
`KILL` ends a worker at once, as a crash of its engine would.
"""

import argparse
import json
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from tests.unit.serve.serving_kit import Parts, RealClock, TinyEngine, fleet_of

from mainspring.adapters.files.label_inbox import LabelInbox
from mainspring.adapters.files.logs import SegmentWriter
from mainspring.entry.inference.access import KeyRing, NoTokens
from mainspring.entry.inference.binding import Address, Addresses, Listening
from mainspring.entry.inference.protocol import Deadlines
from mainspring.entry.inference.server import Stop, run
from mainspring.entry.inference.supervisor import supervise
from mainspring.serve.explaining import Explaining
from mainspring.serve.log import PredictionLog
from mainspring.serve.questions import Explanation
from mainspring.stats.columns import Columns, Floats

DRAIN_S = 0.3


class Deadly(TinyEngine):
    """Ends its process when it is told to; takes `slow_s` a call."""

    def __init__(self, slow_s: float = 0.0) -> None:
        super().__init__()
        self._slow_s = slow_s

    def __call__(self, columns: Columns, /) -> Floats:
        if self._slow_s:
            time.sleep(self._slow_s)
        if "KILL" in columns["schedule.carrier"].tolist():
            os._exit(139)
        return super().__call__(columns)


class Equal:
    """Explains every row alike."""

    def explain(self, digest: str, columns: Columns, /) -> Explanation:
        rows = len(columns["weather.wind"])
        return Explanation(
            method="equal", unit="probability", inputs=tuple(columns), base=np.full(rows, 0.5),
            values=np.zeros((rows, len(columns))),
        )  # fmt: skip

    def close(self) -> None:
        pass


def announce(at: Addresses) -> None:
    sys.stdout.write(f"{at.public} {at.admin}\n")
    sys.stdout.flush()


def announce_all(at: Addresses) -> None:
    sys.stdout.write(
        json.dumps({"public": at.public, "admin": at.admin, "metrics": at.metrics, "grpc": at.grpc}) + "\n"
    )
    sys.stdout.flush()


def end_with_parent(stop: Stop) -> None:
    while os.read(0, 4_096):
        pass
    stop.asked.set()


def serve(given: argparse.Namespace) -> None:
    worker, limit_s = given.worker, given.deadline_s
    deadlines = Deadlines(head_s=limit_s, body_s=limit_s, write_s=limit_s)
    log = PredictionLog(SegmentWriter(given.folder, str(worker) if worker else ""))
    parts, stop = Parts(log=log), Stop.new()
    parts.models.add(1, Deadly(given.slow_ms / 1_000))
    if given.slow_ms:
        parts.releases.set(1)
    else:
        parts.releases.set(1, 2, weight=25)
    if worker:
        threading.Thread(target=end_with_parent, args=(stop,), daemon=True).start()
    labels = LabelInbox(given.folder / "labels") if given.all else None
    explaining = Explaining(parts.plane, Equal()) if given.all else None
    run(
        fleet_of(parts, log, labels, explaining), KeyRing(NoTokens(), RealClock()), stop=stop,
        listening=Listening(drain_s=DRAIN_S, listener=given.listener, deadlines=deadlines, grpc=grpc_of(given)),
        ready=announce_all if worker or given.json else announce,
    )  # fmt: skip


def grpc_of(given: argparse.Namespace) -> Address | None:
    return None if given.grpc < 0 else Address(port=given.grpc)


def command(folder: Path, number: int, listener: int, grpc: int) -> list[str]:
    words = [sys.executable, __file__, str(folder), "--worker", str(number), "--listener", str(listener)]
    return [*words, "--grpc", str(grpc)] if grpc else words


if __name__ == "__main__":
    reader = argparse.ArgumentParser()
    reader.add_argument("folder", type=Path)
    reader.add_argument("--workers", type=int, default=0)
    reader.add_argument("--worker", type=int, default=0)
    reader.add_argument("--listener", type=int, default=-1)
    reader.add_argument("--grpc", type=int, default=-1)
    reader.add_argument("--slow-ms", type=float, default=0)
    reader.add_argument("--deadline-s", type=float, default=10)
    reader.add_argument("--all", action="store_true", help="take labels and explain, too")
    reader.add_argument("--json", action="store_true")
    given = reader.parse_args()
    if given.workers:
        supervise(
            given.workers, partial(command, given.folder), KeyRing(NoTokens(), RealClock()),
            listening=Listening(drain_s=DRAIN_S, grpc=grpc_of(given)), ready=announce_all,
        )  # fmt: skip
    else:
        serve(given)
