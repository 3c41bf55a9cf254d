"""gRPC with several workers: one port, connections dealt among all, and one that dies is done without."""

import sys
from pathlib import Path

import grpc
import psutil
import pytest
from tests.faults.test_serve_workers import several, wait_for
from tests.flows.test_grpc_server import Client, question

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux deals connections of one port")
CALLS = 24


def test_every_worker_answers_on_the_one_port(tmp_path: Path) -> None:
    with several(tmp_path, "--grpc", "0") as server:
        wait_for(server.whole)
        for _ in range(CALLS):
            _asked(server.at["grpc"])
        assert server.metric("mainspring_requests_total") == CALLS
        workers = psutil.Process(server.process.pid).children()
        assert {_listens(worker, int(server.at["grpc"].rpartition(":")[2])) for worker in workers} == {True}
        workers[0].kill()
        lost = sum(not _answered(server.at["grpc"]) for _ in range(CALLS))
        assert lost <= 2  # whose connection the dead worker had just been dealt
        wait_for(server.whole)
        for _ in range(CALLS):
            _asked(server.at["grpc"])


def _asked(address: str) -> None:
    client = Client(address)
    assert len(client.infer(question()).outputs[0].contents.fp64_contents) == 2
    client.close()


def _answered(address: str) -> bool:
    try:
        _asked(address)
    except grpc.RpcError:
        return False
    return True


def _listens(worker: psutil.Process, port: int) -> bool:
    return any(one.status == "LISTEN" and getattr(one.laddr, "port", 0) == port for one in worker.net_connections())
