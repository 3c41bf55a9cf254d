"""TLS on the ports of predictions, over real connections: the fast path, the slow one, gRPC, and silent clients."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.certificates import self_signed
from tests.flows.test_grpc_server import InferResponse, question
from tests.unit.app.small_workspace import make_workspace
from tests.unit.serve.serving_kit import MODEL, RunningServer, body, running

from mainspring.entry.inference import protocol
from mainspring.entry.inference.binding import Address, Listening
from mainspring.entry.inference.grpc import messages
from mainspring.entry.inference.protocol import Deadlines
from mainspring.entry.inference.tls import Tls, tls_of
from mainspring.kernel.errors import InvalidValue

INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    at = Listening(drain_s=0.1, poll_s=0.05, tls=tls, grpc=Address(), deadlines=Deadlines(head_s=3.0))
    with running(tmp_path_factory.mktemp("log"), listening=at) as server:
        yield server


def _asked(server: RunningServer, tls: Tls, data: bytes | Iterator[bytes], **headers: str) -> tuple[int, Any]:
    trusted = ssl.create_default_context(cafile=str(tls.certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=trusted)
    try:
        connection.request("POST", INFER, data, headers, encode_chunked=not isinstance(data, bytes))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_both_paths_answer_over_https_as_they_do_plain(server: RunningServer, tls: Tls, tmp_path: Path) -> None:
    assert server.at.public.startswith("https://127.0.0.1:")
    assert server.at.admin.startswith("http://")
    data = json.dumps(body(3)).encode()
    large = json.dumps(body(1_000)).encode()
    with running(tmp_path) as plain:
        for sent in (data, large, b"{"):
            expected, found = plain.infer(sent), _asked(server, tls, sent)
            assert (found[0], found[1].get("outputs")) == (expected[0], expected[1].get("outputs"))
        chunked = _asked(server, tls, iter([data[:20], data[20:]]), **{"Transfer-Encoding": "chunked"})
        assert chunked[1]["outputs"] == plain.infer(data)[1]["outputs"]
    assert server.ask("GET", "/metrics")[0] == 200


def test_grpc_answers_on_a_secure_port(server: RunningServer, tls: Tls) -> None:
    trusted = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
    with grpc.secure_channel(server.at.grpc, trusted) as channel:
        call = channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer", lambda r: r.SerializeToString(), bytes)
        assert InferResponse.FromString(call(question(), timeout=20)).model_name == MODEL
    with grpc.insecure_channel(server.at.grpc) as channel:
        call = channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer", lambda r: r.SerializeToString(), bytes)
        with pytest.raises(grpc.RpcError):
            call(question(), timeout=20)


@pytest.mark.slow
def test_plain_words_and_silence_end_before_the_handshake_and_hold_nobody_up(server: RunningServer, tls: Tls) -> None:
    data = json.dumps(body()).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent:
        assert b"HTTP/1.1" not in server.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 20)
        assert _asked(server, tls, data)[0] == 200
        assert silent.recv(1) == b""  # closed by the server: TimeoutError else
    assert _asked(server, tls, data)[0] == 200


def test_silent_clients_count_as_connections_and_keep_no_server_from_its_end(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 3)
    at = Listening(drain_s=0.1, poll_s=0.05, tls=tls, deadlines=Deadlines(head_s=600.0))
    with contextlib.ExitStack() as clients, running(tmp_path, listening=at) as server:
        silent = [clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 20)) for _ in range(3)]
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as one_too_many:
            assert one_too_many.recv(1) == b""  # closed by the server: TimeoutError else
        silent[0].close()
        data, end = json.dumps(body()).encode(), time.monotonic() + 20
        while True:  # until the server has seen that it left
            try:
                assert _asked(server, tls, data)[0] == 200
                break
            except OSError:
                assert time.monotonic() < end
        silent[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[1].recv(1)


def test_a_client_that_knows_no_tls_1_2_is_refused(server: RunningServer, tls: Tls) -> None:
    old = ssl.create_default_context(cafile=str(tls.certificate))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw, pytest.raises(OSError, match="SSL"):
        old.wrap_socket(raw, server_hostname="127.0.0.1")


def test_files_that_do_not_fit_are_refused_at_the_start_and_ask_nobody(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    sealed, other = self_signed(tmp_path, password=b"secret"), self_signed(tmp_path / "other")
    wrong = (
        sealed, Tls(certificate=tls.certificate, key=other.key), Tls(certificate=tmp_path / "none", key=tls.key),
        Tls(certificate=tls.key, key=tls.key),
    )  # fmt: skip
    for files in wrong:
        with pytest.raises(InvalidValue, match="cannot be used"):
            files.context()
    with pytest.raises(InvalidValue, match="go together"):
        tls_of(tls.certificate, None)
    assert tls_of(None, None) is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="one worker alone on Windows")
def test_workers_share_a_port_with_tls(tls: Tls, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "project")
    argv = [sys.executable, "-m", "mainspring", "-C", str(root), "serve", "--port", "0", "--workers", "2", "--json"]
    told = ["--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)]
    with subprocess.Popen([*argv, *told], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            at = json.loads(process.stdout.readline())["public"]
            assert at.startswith("https://")
            trusted = ssl.create_default_context(cafile=str(tls.certificate))
            for _ in range(8):
                host, _, port = at.removeprefix("https://").rpartition(":")
                connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=trusted)
                connection.request("GET", "/livez")
                assert connection.getresponse().status == 200
                connection.close()
        finally:
            process.terminate()
            assert process.wait(30) == 0
