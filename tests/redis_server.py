"""A real Redis for tests: on loopback, with a password, keeping nothing on disk."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import tools

from mainspring.adapters.redis.client import Client, OnlineUnreachable, Patience, Place

PASSWORD = "p@ss/word:of tests"
_SOON_S = 30.0
CALM = Patience(connect_s=10.0, call_s=10.0)


class RedisServer:
    """One server process; it can be killed, stopped for a while, and started again on the same port."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.place = Place(host="127.0.0.1", port=free_port(), password=PASSWORD)
        self._folder, self._words = folder, words
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.place.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        argv = [
            tools.command("redis-server"), "--port", str(self.place.port), "--bind", "127.0.0.1", "--save", "",
            "--requirepass", PASSWORD, "--dir", str(self._folder), *self._words,
        ]  # fmt: skip
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        client, end = Client(self.place, Patience(failures=10**9)), time.monotonic() + _SOON_S
        while True:
            try:
                client.do("PING")
                break
            except OnlineUnreachable:
                assert time.monotonic() < end
                if self.process.poll() is not None:  # somebody has the port for a moment
                    self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
                time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it keep its connections and say nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def client(self, patience: Patience = CALM) -> Client:
        return Client(self.place, patience)


@contextmanager
def running(folder: Path, *words: str) -> Iterator[RedisServer]:
    """Run a server for a while."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, *words)
    try:
        yield server
    finally:
        if os.name == "posix":
            server.thaw()
        server.kill()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port
