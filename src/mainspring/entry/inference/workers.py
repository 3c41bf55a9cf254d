"""Several processes behind one public port: started, watched, started again when they die, and ended together.

The parent binds the public port and hands the listener to its workers; it answers nothing there. It answers on the
admin and metrics ports for all of them: what a worker says on ports of its own is added up (`sums`). A worker ends when
its parent does: its standard input closes. Not on Windows, where a listener cannot be handed on like this.
"""

import asyncio
import contextlib
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mainspring.entry.inference.worker_calls import WorkerGone, ask
from mainspring.kernel.errors import InvalidValue, MainspringError

_log = logging.getLogger("mainspring.inference")
_QUICK_S, _SHORTEST_S, _LONGEST_S = 10.0, 0.2, 30.0
_TICK_S, _HURRY_S = 0.05, 3.0


class WorkerFailed(MainspringError):
    """A worker ended before it served."""

    code = "server.worker"
    exit_code = 1


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process. number: from 1. addresses: of its own admin and metrics ports, once it serves. starts: so far."""

    number: int
    process: "subprocess.Popen[bytes]"
    started_at: float
    addresses: dict[str, str] = field(default_factory=dict)
    starts: int = 1
    again_at: float = 0.0
    pause_s: float = _SHORTEST_S

    @property
    def serving(self) -> bool:
        """Tell whether it runs and said where it answers."""
        return bool(self.addresses) and self.process.poll() is None


class Workers:
    """Keeps `count` workers running. command: starts one, given its number; fd: the listener that it is handed.

    gone: called with a worker that died, before it is started again.
    """

    def __init__(
        self, count: int, command: Callable[[int], Sequence[str]], fd: int, gone: Callable[[Worker], None]
    ) -> None:  # fmt: skip
        if sys.platform == "win32":
            raise InvalidValue("several workers need a listener that is handed on", fix="use one worker on Windows")
        self._command, self._fd, self._gone = command, fd, gone
        self.restarts = 0
        self.stopping = False
        self.all = [
            Worker(number=n, process=self._spawned(n), started_at=time.monotonic()) for n in range(1, count + 1)
        ]
        self._readers = [asyncio.create_task(self._address(worker)) for worker in self.all]

    async def started(self) -> None:
        """Return once every worker serves; raise `WorkerFailed` if one ends before."""
        while not all(worker.serving for worker in self.all):
            dead = next((worker for worker in self.all if worker.process.poll() is not None), None)
            if dead is not None:
                code = dead.process.returncode
                raise WorkerFailed(f"worker {dead.number} ended with {code}", fix="run with one worker to see why")
            await asyncio.sleep(_TICK_S)

    async def watch(self) -> None:
        """Start again what dies, until `stopping`; one that dies soon after its start waits longer each time."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for worker in self.all:
                if self.stopping:
                    return
                if worker.process.poll() is not None:
                    self._mourned(worker, now)

    async def each(self, method: str, path: str, body: bytes | None = None) -> list[tuple[int, bytes]]:
        """Ask every serving worker's admin port; return (status, body) of those that answered."""
        calls = [self.one(worker, method, path, body) for worker in self.all if worker.serving]
        return [found for found in await asyncio.gather(*calls) if found is not None]

    async def one(
        self, worker: Worker, method: str, path: str, body: bytes | None = None, port: str = "admin"
    ) -> tuple[int, bytes] | None:
        """Ask one worker; return (status, body), or None where it does not answer."""
        try:
            return await asyncio.to_thread(ask, worker.addresses[port], method, path, body)
        except (WorkerGone, KeyError):
            return None

    def signal(self, number: int) -> None:
        """Send a signal to every worker that runs."""
        for worker in self.all:
            if worker.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(number)

    async def ended(self, grace_s: float, hurry: Callable[[], bool]) -> bool:
        """Return whether every worker ended with 0 within `grace_s`, or at once in a `hurry`; the rest are killed."""
        started, hurried_at = time.monotonic(), 0.0
        while any(worker.process.poll() is None for worker in self.all):
            now = time.monotonic()
            hurried_at = hurried_at or (now if hurry() else 0.0)
            if now > started + grace_s or (hurried_at and now > hurried_at + _HURRY_S):
                self.signal(signal.SIGKILL)
                break
            await asyncio.sleep(_TICK_S)
        for reader in self._readers:
            reader.cancel()
        return not any([await asyncio.to_thread(worker.process.wait) for worker in self.all])

    def _mourned(self, worker: Worker, now: float) -> None:
        if not worker.again_at:
            _log.error("worker %d ended with %s", worker.number, worker.process.returncode)
            if worker.addresses:
                self._gone(worker)
            quick = now - worker.started_at < _QUICK_S
            worker.pause_s = min(worker.pause_s * 2, _LONGEST_S) if quick else _SHORTEST_S
            worker.addresses, worker.again_at = {}, now + worker.pause_s
        if now >= worker.again_at:
            self.restarts += 1
            worker.starts += 1
            worker.process, worker.started_at, worker.again_at = self._spawned(worker.number), now, 0.0
            self._readers.append(asyncio.create_task(self._address(worker)))
            self._readers = [reader for reader in self._readers if not reader.done()]

    def _spawned(self, number: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            list(self._command(number)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(self._fd,),
            start_new_session=True,  # Ctrl-C is for the parent, which tells its workers
        )  # fmt: skip

    async def _address(self, worker: Worker) -> None:
        process = worker.process
        if process.stdout is None:
            return
        line = await asyncio.to_thread(process.stdout.readline)
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if worker.process is process:
                worker.addresses = found
