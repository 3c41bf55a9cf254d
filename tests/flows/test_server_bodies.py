"""What clients may have the server keep before a request is whole."""

import json
import socket
import time
from pathlib import Path

from tests.unit.serve.serving_kit import MODEL, RunningServer, body, running

from mainspring.entry.inference.desk import DeskRules

INFER = f"/v2/models/{MODEL}/infer"
GOOD = json.dumps(body()).encode()


def test_unfinished_bodies_of_all_clients_together_are_bounded(tmp_path: Path) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
    with running(tmp_path, rules=DeskRules(arriving_bytes=1_000_000)) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address, 10) as first, socket.create_connection(address, 10) as second:
            first.sendall(head.encode() + b" " * 700_000)
            while _arriving(server) < 600_000:
                time.sleep(0.01)
            second.sendall(head.encode() + b" " * 700_000)
            told = second.recv(65_536)
            assert told.startswith(b"HTTP/1.1 503")
            assert b"limit.bodies" in told
            assert server.infer(GOOD)[0] == 200
        while _arriving(server):
            time.sleep(0.01)


def _arriving(server: RunningServer) -> float:
    text = server.ask("GET", "/metrics")[2].decode()
    return float(text.split("\nmainspring_arriving_bytes ")[1].split()[0])
