"""A load generator for tests: raw requests on kept connections, on a schedule or as fast as answers come. Seedless.

`python load_client.py PORT PATH BODY_FILE CONNECTIONS PER_SECOND SECONDS COUNT`; PER_SECOND 0 is a closed loop, COUNT 0
is no bound. Prints one JSON object: statuses, latencies in ms of what was answered 200 and of what was refused, lost.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import numpy as np

from mainspring.entry.inference.loops import loop_factory


class Tally:
    """What came back."""

    def __init__(self, count: int) -> None:
        self.left = count or 1 << 62
        self.statuses: Counter[int] = Counter()
        self.good: list[float] = []
        self.refused: list[float] = []
        self.without_wait = self.lost = 0

    def saw(self, head: bytes, took_s: float) -> None:
        status = int(head[9:12])
        self.statuses[status] += 1
        (self.good if status == 200 else self.refused).append(took_s * 1_000)
        if status in (429, 503) and b"\r\nretry-after: " not in head:
            self.without_wait += 1


class One(asyncio.Protocol):
    """One kept connection. Bare callbacks: where client and server share the cores, the client must cost little."""

    def __init__(self, request: bytes, pause_s: float, until: float, tally: Tally) -> None:
        self._request, self._pause_s, self._until, self._tally = request, pause_s, until, tally
        self._loop = asyncio.get_running_loop()
        self._due = time.monotonic() + pause_s * np.random.default_rng().random()
        self._began, self._got = 0.0, b""
        self.ended = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._later()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, rest = self._got.partition(b"\r\n\r\n")
        if not end or len(rest) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._tally.saw(head + end, time.monotonic() - self._began)
        self._began, self._got = 0.0, b""
        self._later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.lost += bool(self._began)
        self._end()

    def _later(self) -> None:
        if self._pause_s:
            self._loop.call_later(max(0.0, self._due - time.monotonic()), self._send)
            self._due = max(self._due + self._pause_s, time.monotonic())
        else:
            self._send()

    def _send(self) -> None:
        now = time.monotonic()
        if self._tally.left <= 0 or now >= self._until or self._transport.is_closing():
            self._transport.close()
            self._end()
            return
        self._tally.left -= 1
        self._began = now
        self._transport.write(self._request)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def load(port: int, request: bytes, connections: int, per_second: float, seconds: float, count: int) -> Tally:
    loop, tally, until = asyncio.get_running_loop(), Tally(count), time.monotonic() + seconds
    pause_s = connections / per_second if per_second else 0.0
    made = [
        await loop.create_connection(lambda: One(request, pause_s, until, tally), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.ended for _, protocol in made))
    return tally


def raw_request(path: str, body: bytes) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path.encode(), len(body)) + body


def main() -> None:
    port, path, body_file, connections, per_second, seconds, count = sys.argv[1:]
    began = time.monotonic()
    request = raw_request(path, Path(body_file).read_bytes())
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        tally = runner.run(load(int(port), request, int(connections), float(per_second), float(seconds), int(count)))
    percentiles = {
        name: [float(x) for x in np.percentile(values, [50, 99, 100])] if values else []
        for name, values in (("good_ms", tally.good), ("refused_ms", tally.refused))
    }
    found = {
        "seconds": time.monotonic() - began, "statuses": dict(tally.statuses), "lost": tally.lost,
        "without_wait": tally.without_wait, **percentiles,
    }  # fmt: skip
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
