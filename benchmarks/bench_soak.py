"""A million requests to one server with everything on: what grows.

    python benchmarks/bench_soak.py [--requests 1000000] [--write]

One `mainspring serve` process on core 0 with API keys, prediction log, metrics, labels and gRPC; wrk on core 1 with 16
connections that sends every protocol and 7 % of bad bodies, unknown models, wrong keys and paths (serving/soak.py),
while a gRPC client asks and the release is swapped to and fro. Memory, descriptors, threads and metric series are read
between parts of 20,000 requests; growth is the least-squares slope after the warm-up. Linux with two cores.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from serving import bodies, grpc_load, project, same_model, soak
from serving.load import CONNECTIONS
from serving.processes import LOAD_CORE, ServerTree, free_ports
from serving.rounds import ROOT

HOME = ROOT / "build" / "soak"
RESULT = Path(__file__).parent / "results" / "soak.json"
SCRIPT = Path(__file__).parent / "serving" / "soak.lua"
PACKAGES = ("mainspring", "uvicorn", "uvloop", "msgspec", "numpy")
INFER = "/v2/models/gb/infer"
WARM, PART_S, SWAP_S, GRPC_S = 100_000, 2, 12.0, 0.01


def main() -> int:
    """Soak, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000, help="after the warm-up")
    parser.add_argument("--access-log", action="store_true", help="write the access log too: no short way then")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    folder = project.made(HOME, "gb", "-soak")
    project.second_version(folder)
    token = project.token(folder)
    os.sched_setaffinity(0, {LOAD_CORE})
    kinds = soak.write(HOME / "requests", token, [f"{project.PREFIX}.{name}" for name in same_model.FEATURES])
    more = ("--access-log", str(HOME / "access.jsonl")) if asked.access_log else ()
    found = _soaked(folder, token, asked.requests, more)
    found |= {"kinds": kinds, "access_log": asked.access_log}
    print(json.dumps(found, indent=1))
    rows = rows_of(found)
    if asked.write:
        RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    kept = all(row["must"] is None or row["ours"] <= row["must"] or row["higher_is_better"] for row in rows)
    return 0 if kept else 1


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the result; the first holds the whole account."""
    first, most = found["first"], found["most"]
    more = {name: most[name] - first[name] for name in ("descriptors", "threads", "series")}
    wrong = sum(found["wrong"].values()) + found["last"]["dropped_rows"]
    return [
        _row("requests after the warm-up", round(found["requests"] / 1_000, 1), "thousand", 1_000, True, found),
        _row("memory added a 100,000 requests", found["rss_mb_per_100k"], "MB", 1),
        _row("descriptors added at most", more["descriptors"], "descriptors", 1),
        _row("threads added at most", more["threads"], "threads", 1),
        _row("metric series added at most (one while a trial runs)", more["series"], "series", 2),
        _row("5xx, lost requests and lost log rows", wrong, "in all", 0),
    ]


def _row(
    work: str, ours: float, unit: str, must: float, higher: bool = False, account: dict[str, Any] | None = None
) -> dict[str, Any]:  # fmt: skip
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "work": work, "ours": ours, "peer": None, "peer_name": None, "unit": unit, "ratio": None, "must": must,
        "aim": None, "higher_is_better": higher, "versions": versions, "runs": account or [ours],
    }  # fmt: skip


def _soaked(folder: Path, token: str, count: int, more: tuple[str, ...]) -> dict[str, Any]:
    port = free_ports(3)
    argv = [
        str(Path(sys.executable).with_name("mainspring")), "-C", str(folder), "serve", "--port", str(port),
        "--grpc-port", str(port + 1), "--metrics-port", str(port + 2), *more,
    ]  # fmt: skip
    tree = ServerTree(argv, {"PATH": os.environ["PATH"]}, folder, HOME / "server.log")
    try:
        body, own = bodies.OURS.ask(bodies.rows_of(1)[0])
        tree.until_right(port, INFER, body, {**own, "Authorization": f"Bearer {token}"})
        pid = tree.tree()[0].pid
        with _again(SWAP_S, _swap(folder)) as swaps, _again(GRPC_S, _ask(port + 1, token)) as calls:
            seen, statuses = _parts(port, tree, count)
        if pid != tree.tree()[0].pid:
            raise RuntimeError("the server was started again")
    finally:
        tree.stop()
    return _judged(seen, statuses, swaps[0], calls[0])


def _parts(port: int, tree: ServerTree, count: int) -> tuple[list[dict[str, int]], Counter[str]]:
    """Return the accounts after the warm-up and after each part, and how often each status came."""
    seen, statuses, sent, lost = list[dict[str, int]](), Counter[str](), 0, 0
    while sent < WARM + count:
        part = _wrk(port, sent)
        sent, lost = sent + part["requests"], lost + part["lost"]
        statuses.update(part["statuses"])
        seen.append({"requests": sent, **_account(port + 2, tree)})
        print(seen[-1], part, flush=True)
    statuses["lost"] = lost
    return [one for one in seen if one["requests"] >= WARM], statuses


def _wrk(port: int, first: int) -> dict[str, Any]:
    out = HOME / "wrk.json"
    env = {"PATH": os.environ["PATH"], "REQUESTS": str(HOME / "requests"), "OUT": str(out), "FIRST": str(first)}
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{PART_S}s", "--latency", "-s", str(SCRIPT)]
    subprocess.run([*argv, f"http://127.0.0.1:{port}/"], env=env, check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(out.read_text()))


def _account(port: int, tree: ServerTree) -> dict[str, int]:
    """Return what the server holds while nobody but the gRPC client asks."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    process = tree.tree()[0]
    return {
        "rss": process.memory_info().rss, "descriptors": process.num_fds(), "threads": process.num_threads(),
        "series": len(re.findall(r"^[a-z]", text, re.MULTILINE)),
        "logged_rows": int(float(re.findall(r"^mainspring_log_rows_total\S* (\S+)", text, re.MULTILINE)[0])),
        "dropped_rows": int(float(re.findall(r"^mainspring_log_dropped_rows_total\S* (\S+)", text, re.MULTILINE)[0])),
    }  # fmt: skip


@contextmanager
def _again(pause_s: float, act: Callable[[int], object]) -> Iterator[list[int]]:
    """Do something again and again beside the load; yields how often it was done."""
    stop, done = threading.Event(), [0]

    def acting() -> None:
        while not stop.wait(pause_s):
            act(done[0])
            done[0] += 1

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(acting)
        try:
            yield done
        finally:
            stop.set()
        ended.result()  # what went wrong there


def _swap(folder: Path) -> Callable[[int], object]:
    """Return one swap: version 2 answers everything, or a twentieth, and back."""
    turns = (("promote", "2", "--now"), ("rollback",), ("promote", "2"), ("rollback",))
    return lambda turn: project.told(folder, *turns[turn % len(turns)])


def _ask(port: int, token: str) -> Callable[[int], object]:
    """Return one gRPC call: every tenth with a wrong key, every tenth for an unknown model."""
    call = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(grpc_load.METHOD)
    row = bodies.rows_of(1)[0]
    good, unknown = (grpc_load.request(row, "", model).SerializeToString() for model in ("gb", "nobody"))

    def asked(turn: int) -> None:
        bad = turn % 10 in (1, 2)
        try:
            key = "nonsense" if turn % 10 == 1 else token
            call(unknown if turn % 10 == 2 else good, metadata=[("authorization", f"Bearer {key}")], timeout=10)
        except grpc.RpcError:
            if not bad:
                raise
        else:
            if bad:
                raise RuntimeError("a wrong gRPC call was answered")

    return asked


def _judged(seen: list[dict[str, int]], statuses: Counter[str], swaps: int, calls: int) -> dict[str, Any]:
    first, last = seen[0], seen[-1]
    wrong = {status: count for status, count in statuses.items() if status.startswith("5") or status == "lost"}
    return {
        "requests": last["requests"] - first["requests"], "warm_up": first["requests"], "grpc_calls": calls,
        "swaps": swaps, "statuses": dict(sorted(statuses.items())), "wrong": wrong,
        "rss_mb_per_100k": round(soak.slope([(one["requests"], one["rss"]) for one in seen]) / 2**20, 3),
        "most": {name: max(one[name] for one in seen) for name in ("rss", "descriptors", "threads", "series")},
        "first": first, "last": last, "at": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
