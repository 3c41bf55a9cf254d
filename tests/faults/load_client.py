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

import numpy as np


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


async def one(port: int, request: bytes, pause_s: float, until: float, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = time.monotonic() + pause_s * np.random.default_rng().random()
    while tally.left > 0 and time.monotonic() < until:
        if pause_s:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause_s, time.monotonic())
        tally.left -= 1
        began = time.monotonic()
        writer.write(request)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            tally.lost += 1
            return
        tally.saw(head, time.monotonic() - began)
    writer.close()


async def load(port: int, request: bytes, connections: int, per_second: float, seconds: float, count: int) -> Tally:
    tally, until = Tally(count), time.monotonic() + seconds
    pause_s = connections / per_second if per_second else 0.0
    await asyncio.gather(*(one(port, request, pause_s, until, tally) for _ in range(connections)))
    return tally


def raw_request(path: str, body: bytes) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path.encode(), len(body)) + body


def main() -> None:
    port, path, body_file, connections, per_second, seconds, count = sys.argv[1:]
    began = time.monotonic()
    request = raw_request(path, Path(body_file).read_bytes())
    tally = asyncio.run(load(int(port), request, int(connections), float(per_second), float(seconds), int(count)))
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
