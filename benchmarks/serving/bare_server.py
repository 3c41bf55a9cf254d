"""Our server with nothing beside the answers: no prediction log, no API keys, metrics that nobody reads: PROJECT PORT.

What `mainspring serve` does, but for the log's near end. It shows what the rest costs; it is no way to serve.
"""

import sys
from pathlib import Path

from mainspring.app.serving import ServerRoom, server_parts
from mainspring.entry.inference.access import KeyRing
from mainspring.entry.inference.binding import Address, Listening
from mainspring.entry.inference.server import run
from mainspring.kernel.records import LoggedRequest
from mainspring.serve.log_rows import Row


class Nowhere:
    """A log that keeps nothing."""

    def put(self, record: LoggedRequest, /) -> bool:
        """Forget the record."""
        return True

    def put_row(self, row: Row, /) -> bool:
        """Forget the row."""
        return True


parts = server_parts(ServerRoom(root=Path(sys.argv[1]), environment="local"), replay_clock=False)
for member in parts.fleet.members:
    member.plane.log = Nowhere()
at = Address(host="127.0.0.1", port=int(sys.argv[2]))
run(parts.fleet, KeyRing(parts.tokens, parts.clock), listening=Listening(public=at))
