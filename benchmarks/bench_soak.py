"""A million requests to one server: `python benchmarks/bench_soak.py [REQUESTS]`. Prints what grew between quarters."""

import json
import sys
import tempfile
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.faults.test_serve_overload import account, server  # noqa: E402 - the test's own server and client


def main(count: int) -> None:
    folder = Path(tempfile.mkdtemp())
    with server(folder) as found:
        process, seen = psutil.Process(found.process.pid), []
        found.load(folder, 16, 0, 600, count // 20)
        for _ in range(4):
            seen.append(account(found, process))
            found.load(folder, 16, 0, 600, count // 4)
        seen.append(account(found, process))
    grown = (seen[-1]["rss"] - seen[0]["rss"]) / (count / 100_000) / 2**20
    print(json.dumps({"requests": count, "rss_mb_per_100k": round(grown, 3), "first": seen[0], "last": seen[-1]}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
