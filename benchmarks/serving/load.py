"""Time one work on a started server: wrk on the other core, and how much of the machine others used meanwhile."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving.bodies import BODIES
from serving.processes import LOAD_CORE, ServerTree, busy_s

CONNECTIONS = 16
_SCRIPT = Path(__file__).with_name("load.lua")
_CALM_CORES = 0.25
_OTHERS, _WHOLE_CORE = 0.10, 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds of load: before the first timing of a start, before a further one, and timed.

    tries: how often a timing that others disturbed is made. calm_s: how long to wait for others to be calm.
    """

    warm_s: float = 3.0
    again_s: float = 1.0
    timed_s: float = 6.0
    tries: int = 3
    calm_s: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the load goes and which bodies it sends."""

    port: int
    path: str
    bodies: Path
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One timed run. cpu: cores the server used; others: cores that neither it nor the load used."""

    rps: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bad: int
    cpu: float
    others: float

    def plain(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return asdict(self)


def timed(wrk: str, target: Target, server: ServerTree, pace: Pace, *, connections: int = CONNECTIONS) -> Timing:
    """Return a run of wrk that others did not disturb; the last try counts whatever happened."""
    return timed_by(lambda: _wrk(wrk, target, pace.timed_s, connections), server, pace)


def timed_by(load: Callable[[], dict[str, Any]], server: ServerTree, pace: Pace) -> Timing:
    """Return a run of any load that others did not disturb; the last try counts whatever happened."""
    for tries in range(pace.tries, 0, -1):
        _wait_for_calm(server, pace.calm_s)
        found = _run(load, server, pace.timed_s)
        if found.others <= _OTHERS or found.cpu >= _WHOLE_CORE or tries == 1:
            break
        print(f"    disturbed: others used {found.others:.2f} cores, {found.rps:.0f} requests/s; again", flush=True)
    if found.bad:
        raise RuntimeError(f"{found.bad} requests went wrong")
    return found


def warmed(wrk: str, target: Target, seconds: float, *, connections: int = CONNECTIONS) -> None:
    """Send load that does not count."""
    _wrk(wrk, target, seconds, connections)


def _run(load: Callable[[], dict[str, Any]], server: ServerTree, seconds: float) -> Timing:
    cpu, busy, own = server.cpu_s(), busy_s(), _own_s()
    found = load()
    used, own_used = server.cpu_s() - cpu, _own_s() - own
    others = (busy_s() - busy - used - own_used) / seconds
    return Timing(**found, cpu=round(used / seconds, 2), others=round(others, 3))


def _wrk(wrk: str, target: Target, seconds: float, connections: int) -> dict[str, Any]:
    out = target.bodies.with_name("wrk.json")
    out.unlink(missing_ok=True)
    lines = "\n".join(f"{name}: {value}" for name, value in target.headers.items())
    env = {
        "PATH": os.environ["PATH"], "BODIES": str(target.bodies), "COUNT": str(BODIES), "HEADERS": lines,
        "OUT": str(out),
    }  # fmt: skip
    argv = [
        "taskset", "-c", str(LOAD_CORE), wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency",
        "--timeout", "10s", "-s", str(_SCRIPT), f"http://127.0.0.1:{target.port}{target.path}",
    ]  # fmt: skip
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(out.read_text()))


def _wait_for_calm(server: ServerTree, seconds: int) -> None:
    for _ in range(seconds):
        cpu, busy = server.cpu_s(), busy_s()
        time.sleep(1)
        if busy_s() - busy - (server.cpu_s() - cpu) < _CALM_CORES:
            return


def _own_s() -> float:
    return sum(os.times()[:4])
