"""Our inference server beside its peers: same model, same numbers, one core each way, answers compared first.

    python benchmarks/bench_serving.py [--peers mlserver,kserve] [--rounds 3] [--quick]

Routing, prediction log, metrics, limits and authentication are on in our server. Each round starts every server in
turn on core 0, compares 16 answers a work with scikit-learn's, and loads it from core 1 with wrk over 16 connections;
medians over rounds. Every record is appended to build/serving/records.jsonl; the table goes to
benchmarks/results/serving.json. With `--peers` or `--quick` the table is only shown, unless `--write` is given.
Linux with two cores; the first run installs the peers (.ci/tools).
"""

import argparse
import compileall
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from serving import beside, bodies, grpc_load, project, results, same_model
from serving.load import Pace
from serving.processes import LOAD_CORE
from serving.rounds import ROOT, Bench, Work, version_of
from serving.servers import PEERS, Server, ours

HOME = ROOT / "build" / "serving"
RESULT = Path(__file__).parent / "results" / "serving.json"
WITH_FOREST = ("mlserver", "mlserver-batch", "bentoml-batch", "litserve-batch")
QUICK = Pace(warm_s=1.0, again_s=1.0, timed_s=2.0, tries=2, calm_s=2)


_LINE = (
    "r{round} {server:20} {work:14} {rps:9.0f} requests/s p50 {p50_ms:8.3f} p99 {p99_ms:8.3f} ms "
    "cpu {cpu:4.2f} others {others:5.2f}  worst {worst:.0e}  start {start_s:6.2f} s  {pss_mb:6.0f} MB"
)


def main() -> int:
    """Measure, print, write."""
    asked = _arguments()
    servers = _servers(asked.peers)
    _installed(servers)
    compileall.compile_dir(ROOT / "src", quiet=1)  # as the peers' installer did for them: the start is measured
    same_model.write(HOME / "models")
    tokens = {model: project.token(project.made(HOME, model)) for model in same_model.NAMES}
    project.made(HOME, "gb", "-bare")
    os.sched_setaffinity(0, {LOAD_CORE})
    pace = QUICK if asked.quick else Pace()
    bench = Bench(home=HOME, wrk="wrk", pace=pace, tokens=tokens)
    records = []
    for round_ in range(1, asked.rounds + 1):
        for server in servers:
            for measured in _measures(bench, server, round_):
                try:
                    for record in measured:
                        _told(record)
                        records.append(record)
                except (RuntimeError, TimeoutError, subprocess.CalledProcessError, grpc.RpcError) as error:
                    print(f"{server.name}: NOT MEASURED: {error}", flush=True)
    known = {server.name: server for server in servers}
    rows = results.rows_of(records, known, {name: version_of(server) for name, server in known.items()})
    print(results.table(rows))
    if asked.write or not (asked.peers or asked.quick):
        RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="only these, with commas; `none` measures ours alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2 s a timing instead of 6, disturbed or not")
    parser.add_argument("--write", action="store_true", help="write the result although it is not the whole table")
    return parser.parse_args()


def _servers(names: str) -> list[Server]:
    known = {peer.name: peer for peer in PEERS}
    wanted = [name for name in names.split(",") if name != "none"] if names else list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no peer is called {', '.join(unknown)}; known: {', '.join(known)}")
    own = ours(results.OURS, "mainspring, everything on", "{home}/project-{model}")
    bare = replace(own, name=results.BARE, label="mainspring, logging, metrics and authentication off",
                   argv=("{bin}/python", "{here}/bare_server.py", "{home}/project-{model}-bare", "{port}"))  # fmt: skip
    return [own, bare, *(known[name] for name in wanted)]


def _measures(bench: Bench, server: Server, round_: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield what to measure of a server in one round, a start each."""
    for works in _works(server):
        yield bench.measure(server, works, round_)
    if server.name in (results.OURS, "mlserver"):
        yield grpc_load.measure(bench, server, round_)
    if server.name == results.OURS:
        yield beside.measure(bench, server, round_)


def _works(server: Server) -> list[list[Work]]:
    """Return the works of a server, a list a start."""
    first = [Work(model="gb", rows=1)]
    if server.name != results.BARE:
        first.append(Work(model="gb", rows=100))
    if server.name != results.OURS:
        return [first, *([[Work(model="rf", rows=1)]] if server.name in WITH_FOREST else [])]
    first.append(Work(model="gb", rows=100, shape=bodies.OURS_BINARY))
    return [first, [Work(model="rf", rows=1)]]


def _installed(servers: list[Server]) -> None:
    names = sorted({server.environment for server in servers} - {""})
    subprocess.run([str(ROOT / ".ci" / "tools"), "wrk", "h2load", *names], check=True)


def _told(record: dict[str, object]) -> None:
    print(_LINE.format(**record), flush=True)
    with (HOME / "records.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(main())
