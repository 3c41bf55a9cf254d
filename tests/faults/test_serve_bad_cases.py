"""C3, cases 39 to 66, over every protocol they apply to, on a server in a process of its own.

Every one is a 4xx (gRPC: a status that says the client is wrong), says why in the form of its protocol, shows nothing
of the inside, and leaves the process and its health as they were. The requests stand in tests/unit/serve/bad_cases.py.
"""

import http.client
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import grpc
import pytest
from tests.faults.test_serve_overload import Running, server
from tests.unit.serve.bad_cases import CASES, NOT_FOR, PATHS, PROTOCOLS, Bad, Call, Post, Raw, grpc_message
from tests.unit.serve.bad_requests import mutated
from tests.unit.serve.protocol_kit import CARRIERS, WINDS, dumped, with_rows
from tests.unit.serve.serving_kit import body

METHOD = "/inference.GRPCInferenceService/ModelInfer"
CLIENTS_FAULT = {"INVALID_ARGUMENT", "NOT_FOUND"}
LABELS = ("labels", "seldon labels")


class Asker:
    """Asks one server in every protocol."""

    def __init__(self, found: Running) -> None:
        self.found, self.pid = found, found.process.pid
        self._http = http.client.HTTPConnection("127.0.0.1", found.port, timeout=20)
        self._channel = grpc.insecure_channel(found.at["grpc"])
        self._call = self._channel.unary_unary(METHOD)

    def close(self) -> None:
        self._http.close()
        self._channel.close()

    def post(self, bad: Post) -> tuple[int, bytes]:
        self._http.request(bad.method, bad.path, bad.body, dict(bad.headers))
        answer = self._http.getresponse()
        return answer.status, answer.read()

    def call(self, message: bytes) -> tuple[str, str]:
        """Return (status, details)."""
        try:
            self._call(message, timeout=20)
        except grpc.RpcError as error:
            return error.code().name, str(error.details())
        return "OK", ""

    def open(self, bad: Raw) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.found.port), timeout=10)
        with suppress(ConnectionError):
            connection.sendall(bad.data)
        return connection

    def healthy(self) -> None:
        assert self.found.process.poll() is None
        assert self.found.get("public", "/readyz")[0] == 200
        assert self.post(Post(dumped(body(1)), PATHS["v2"]))[0] == 200
        assert self.call(grpc_message().SerializeToString())[0] == "OK"


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    options = ("--all", "--grpc", "0", "--deadline-s", "1.5")
    with server(tmp_path_factory.mktemp("log"), *options) as found, closing(Asker(found)) as made:
        yield made


def test_every_case_is_covered_or_says_why_not() -> None:
    wanted = {(case, protocol) for case in range(39, 67) for protocol in PROTOCOLS}
    assert wanted - CASES.keys() - NOT_FOR.keys() == set()
    assert CASES.keys() & NOT_FOR.keys() == set()
    assert CASES.keys() | NOT_FOR.keys() == wanted


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_bad_request_is_the_clients_fault_and_nothing_else(asker: Asker, protocol: str) -> None:
    wrong: list[tuple[int, str, object]] = []
    for case, name, bad in requests(protocol):
        if isinstance(bad, Call):
            status, details = asker.call(bad.message)
            if status not in CLIENTS_FAULT or len(details) > 500 or "Traceback" in details:
                wrong.append((case, name, (status, details[:200])))
        elif isinstance(bad, Post) and not refused(protocol, case, *asker.post(bad)):
            wrong.append((case, name, asker.post(bad)))
    assert wrong == []
    asker.healthy()


@pytest.mark.slow
def test_bad_http_is_refused_too_and_silence_ends_at_its_deadline(asker: Asker) -> None:
    """Those that wait for a deadline wait together."""
    wrong: list[tuple[str, int, str, bytes]] = []
    with ExitStack() as stack:
        sent = [
            (protocol, case, name, stack.enter_context(asker.open(bad)))
            for protocol in PROTOCOLS for case, name, bad in requests(protocol) if isinstance(bad, Raw)
        ]  # fmt: skip
        for protocol, case, name, connection in sent:
            got = all_of(connection)
            if not got.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 4") or b"HTTP/1.1 5" in got:
                wrong.append((protocol, case, name, got[:200]))
            elif not {"error", "code", "fix"} <= json.loads(got[got.rindex(b"\r\n\r\n") :]).keys():
                wrong.append((protocol, case, name, got[-200:]))
    assert wrong == []
    asker.healthy()


def requests(protocol: str) -> Iterator[tuple[int, str, Bad]]:
    """Yield (case, name, request) of one protocol."""
    for (case, its), named in sorted(CASES.items()):
        if its == protocol:
            for name, bad in named.items():
                yield case, name, bad


def refused(protocol: str, case: int, status: int, content: bytes) -> bool:
    """Tell whether an answer is a refusal in our form; a bad label among good ones is named, and the rest kept."""
    shown = content[:2_000]
    if any(text in shown for text in (b"Traceback", b"passwd", b"nobody", b"site-packages")):
        return False
    if status == 200 and protocol in LABELS and case in (39, 43, 44, 45, 46, 48):
        document: dict[str, Any] = json.loads(content)
        kept = document.get("accepted", document.get("meta", {}).get("tags", {}).get("accepted"))
        return bool(kept == 0)
    if case == 66 and status in (400, 405):
        return True
    return 400 <= status < 500 and str(json.loads(content)["code"]).startswith(("request.", "route.", "model.unknown"))


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    got = b""
    with suppress(ConnectionError, TimeoutError):
        while data := connection.recv(65_536):
            got += data
    return got


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fuzzed_bodies_of_every_protocol_are_4xx(asker: Asker, count: int) -> None:
    """F35: a good body of each protocol, broken at random with a seed; gRPC's bytes too."""
    source, seen = random.Random(35), dict.fromkeys(PROTOCOLS, 0)
    good = {
        **{protocol: with_rows(protocol, WINDS, CARRIERS) for protocol in ("v2", "v1", "seldon", "mlflow")},
        "explain": with_rows("v1", WINDS, CARRIERS), "csv": b"weather.wind,schedule.carrier\n0.5,AA\n",
        "labels": dumped({"prediction_id": "p-2013050106-abcdefghijklmnop.0", "value": 1}),
        "seldon labels": dumped({
            "response": {"meta": {"puid": "p-2013050106-abcdefghijklmnop"}}, "truth": {"data": {"ndarray": [1]}},
        }),
        "grpc": grpc_message().SerializeToString(),
    }  # fmt: skip
    binary = next(bad for name, bad in CASES[40, "v2 binary"].items() if name == "40 bytes cut")
    assert isinstance(binary, Post)
    for turn in range(count):
        protocol = PROTOCOLS[turn % len(PROTOCOLS)]
        if protocol == "grpc":
            status, details = asker.call(mutated(good["grpc"], source))
            assert status in {"OK", *CLIENTS_FAULT}, details
            seen[protocol] += status != "OK"
            continue
        data = binary.body if protocol == "v2 binary" else good[protocol]
        headers = (
            binary.headers
            if protocol == "v2 binary"
            else {"Content-Type": "text/csv" if protocol == "csv" else "application/json"}
        )
        code, content = asker.post(Post(mutated(data, source), PATHS[protocol], headers))
        assert code == 200 or 400 <= code < 500, (protocol, content[:300])
        assert b"Traceback" not in content
        seen[protocol] += code != 200
    assert min(seen.values()) > count / len(PROTOCOLS) / 10
    began = time.monotonic()
    assert asker.found.get("public", "/readyz")[0] == 200
    assert time.monotonic() - began < 0.1 or count < 1_000
    asker.healthy()
