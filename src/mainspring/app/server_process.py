"""A `mainspring serve` of our own in another process, and what a replay asks of it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.kernel.errors import RunFailed
from mainspring.stats.columns import Columns

_START_S = 30.0
_STOP_S = 30.0
_TRIES = 3


class ServerProcess:
    """Starts the server of a workspace's folder; ends it on close. `state` is the server's own account of itself."""

    def __init__(self, root: Path, model: str, *, port: int = 0, replay_clock: bool = False) -> None:
        from mainspring.adapters.http.client import InferenceClient

        argv = [sys.executable, "-m", "mainspring", "-C", str(root), "serve", "--port", str(port), "--drain", "0"]
        argv += ["--json", "--with-parent"]  # nobody else asks it, so there is nobody to wait for at its end
        if replay_clock:
            argv += ["--clock", "replay"]
        self._errors = (root / ".mainspring" / "server.log").open("ab")
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )  # fmt: skip
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RunFailed(f"the server ended with {self._process.wait()} before it served", fix="see server.log")
        self.addresses: dict[str, str] = json.loads(line)
        self._client = InferenceClient(self.addresses["public"], self.addresses["admin"], model)
        self._inputs: frozenset[str] = frozenset()
        self._settled = ""

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def infer(self, columns: Columns, keys: Sequence[str], asked_at: Sequence[int]) -> list[str]:
        """Send one binary request with the inputs that the loaded versions read; return the prediction ids."""
        wanted = {name: values for name, values in columns.items() if name in self._inputs}
        return self._client.infer_binary(wanted, keys, np.array(asked_at, np.int64)).ids

    def set_clock(self, now: int) -> None:
        """Move the server's virtual clock."""
        self._client.set_clock(now)

    def flush(self) -> None:
        """Wait until everything answered is in the log."""
        self._client.flush()

    def settle(self, commit: str) -> None:
        """Have the server follow the release file; raise `RunFailed` if it does not come to serve `commit`."""
        if commit == self._settled:
            return
        for _ in range(_TRIES):
            if self._client.reconcile() == commit:
                self._settled = commit
                self._inputs = frozenset(self._client.state()["inputs"])
                return
        failures = self._client.state()["failures"]
        raise RunFailed(f"the server does not serve commit {commit[:12]}: {failures}", fix="see server.log")

    def state(self) -> dict[str, Any]:
        """Return the server's counters."""
        return self._client.state()

    def close(self) -> None:
        """Ask the server to end, and wait for it."""
        self._client.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._errors.close()
