"""Run the tiny server as a process: `python serving_process.py LOG_FOLDER`; prints its two addresses on one line."""

import sys
from pathlib import Path

from tests.unit.serve.serving_kit import Parts, RealClock, fleet_of

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.entry.inference.access import KeyRing, NoTokens
from mainspring.entry.inference.binding import Addresses, Listening
from mainspring.entry.inference.server import run
from mainspring.serve.log import PredictionLog


def announce(at: Addresses) -> None:
    sys.stdout.write(f"{at.public} {at.admin}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    log = PredictionLog(SegmentWriter(Path(sys.argv[1])))
    parts = Parts(log=log)
    parts.releases.set(1, 2, weight=25)
    ring = KeyRing(NoTokens(), RealClock())
    run(fleet_of(parts, log), ring, listening=Listening(drain_s=0.3), ready=announce)
