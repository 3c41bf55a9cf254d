"""What can be asked of a server that begins."""

import socket
from pathlib import Path

from tests.redis_server import free_port
from tests.unit.serve.serving_kit import MemoryReleases, Parts, body, running

from mainspring.entry.inference.binding import Address, Listening
from mainspring.serve.ports import Routing


class AskedMeanwhile(MemoryReleases):
    """Tries the public port whenever the release is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.port, self.found = 0, list[bool]()

    def current(self) -> Routing | None:
        with socket.socket() as client:
            self.found.append(client.connect_ex(("127.0.0.1", self.port)) == 0)
        return super().current()


def test_the_public_port_opens_once_the_release_was_looked_at(tmp_path: Path) -> None:
    """A worker that begins would take requests which its siblings can answer and it cannot."""
    releases = AskedMeanwhile()
    releases.port = free_port()
    at = Listening(public=Address(port=releases.port), drain_s=0.1)
    with running(tmp_path, Parts(releases=releases), at) as server:
        assert releases.found[0] is False
        assert server.infer(body())[0] == 200
