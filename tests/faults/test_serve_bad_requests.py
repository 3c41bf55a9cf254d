"""Bad requests over real sockets (the C3 cases of V2): every one a 4xx with a stable code, and the server healthy."""

import json
import random
from collections.abc import Iterator

import pytest
from tests.unit.serve.bad_requests import BAD_DOCUMENTS, mutated
from tests.unit.serve.serving_kit import MODEL, RunningServer, body, running

INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("log")) as found:
        yield found


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_body_is_a_4xx_with_a_code(server: RunningServer, name: str) -> None:
    status, document = server.infer(BAD_DOCUMENTS[name])
    assert 400 <= status < 500
    assert document["code"].startswith("request.")
    assert isinstance(document["error"], str)
    assert "Traceback" not in document["error"]


def test_two_hundred_fuzzed_bodies_over_tcp_leave_it_healthy(server: RunningServer) -> None:
    source, good = random.Random(7), json.dumps(body(3)).encode()
    statuses = {server.infer(mutated(good, source))[0] for _ in range(200)}
    assert all(status == 200 or 400 <= status < 500 for status in statuses)
    assert server.infer(body())[0] == 200


BAD_HEADERS = {
    "wrong content type": ({"Content-Type": "text/plain"}, 415),
    "utf-16": ({"Content-Type": "application/json; charset=utf-16"}, 415),
    "octet-stream without a header length": ({"Content-Type": "application/octet-stream"}, 415),
    "gzip": ({"Content-Encoding": "gzip"}, 415),
    "double gzip": ({"Content-Encoding": "gzip, gzip"}, 415),
    "brotli": ({"Content-Encoding": "br"}, 415),
    "header length not a number": ({"Inference-Header-Content-Length": "ten"}, 400),
    "header length negative": ({"Inference-Header-Content-Length": "-1"}, 400),
    "header length too long": ({"Inference-Header-Content-Length": "9" * 40}, 400),
    "header length beyond the body": ({"Inference-Header-Content-Length": "99999"}, 400),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_bad_header_is_a_4xx(server: RunningServer, name: str) -> None:
    headers, expected = BAD_HEADERS[name]
    assert server.ask("POST", INFER, json.dumps(body()).encode(), headers)[0] == expected


BAD_PATHS = (
    "/v2/models/nobody/infer",
    f"/v2/models/{MODEL}/versions/0/infer",
    f"/v2/models/{MODEL}/versions/-1/infer",
    f"/v2/models/{MODEL}/versions/9/infer",
    f"/v2/models/{MODEL}/versions/latest/../1/infer",
    f"/v2/models/{MODEL}%2Finfer",
    "/v2/models/../../etc/passwd",
    "/v2/models/%00/infer",
    "/v2/models/%ff/infer",
    "/",
    "/v2/",
    "/admin/state",
    "/admin/flush",
    "/v2/models/" + "x" * 10_000 + "/infer",
)


@pytest.mark.parametrize("path", BAD_PATHS, ids=[path[:40] for path in BAD_PATHS])
def test_an_unknown_path_or_version_is_a_404_that_reflects_nothing(server: RunningServer, path: str) -> None:
    status, _, content = server.ask("POST", path, json.dumps(body()).encode())
    assert status == 404
    assert b"passwd" not in content
    assert b"nobody" not in content


@pytest.mark.parametrize("method", ["GET", "DELETE", "TRACE", "PUT", "OPTIONS"])
def test_another_method_is_a_405(server: RunningServer, method: str) -> None:
    assert server.ask(method, INFER)[0] == 405


HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
GOOD = json.dumps(body()).encode()
LENGTH = b"Content-Length: %d\r\n\r\n" % len(GOOD)

RAW_BAD = {
    "unknown method": HEAD.replace(b"POST", b"FOO", 1) + LENGTH + GOOD,
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "length beyond 64 bit": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n" + GOOD,
    "length above the limit": HEAD + b"Content-Length: 999999999\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 5\r\n" + LENGTH + GOOD,
    "length and chunked": HEAD + b"Transfer-Encoding: chunked\r\n" + LENGTH + GOOD,
    "chunk size overflow": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n",
    "no length": HEAD + b"\r\n",
    "length too short": HEAD + b"Content-Length: 10\r\n\r\n" + GOOD,
    "64 KB header line": HEAD + b"X: " + b"a" * 70_000 + b"\r\n" + LENGTH + GOOD,
    "10,000 headers": HEAD + b"X: 1\r\n" * 20_000 + LENGTH + GOOD,
    "100 KB path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "nul in a header": HEAD + b"X: a\x00b\r\n" + LENGTH + GOOD,
    "two content types": HEAD + b"Content-Type: application/json\r\nContent-Type: text/plain\r\n" + LENGTH + GOOD,
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100 + b"\r\n\r\n",
    "http/0.9": b"GET /\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW_BAD)
def test_bad_http_is_a_4xx_and_closes(server: RunningServer, name: str) -> None:
    got = server.raw(RAW_BAD[name], wait_s=3)
    assert got.startswith(b"HTTP/1.1 4"), got[:200]
    assert b"HTTP/1.1 5" not in got
    assert server.infer(body())[0] == 200


def test_a_chunked_body_above_the_limit_is_refused_while_it_arrives(server: RunningServer) -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    got = server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 18, wait_s=3)
    assert got.startswith(b"HTTP/1.1 413") or got == b""  # closed with bytes unread, the answer may be lost
    assert server.infer(body())[0] == 200


def test_chunked_pipelined_and_expecting_requests_are_answered(server: RunningServer) -> None:
    keep = HEAD.replace(b"Connection: close\r\n", b"")
    chunked = keep + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    got = server.raw(chunked + keep + LENGTH + GOOD + HEAD + LENGTH + GOOD)
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert b"100 Continue" in server.raw(HEAD + b"Expect: 100-continue\r\n" + LENGTH + GOOD)


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_is_not_taken_up(server: RunningServer, upgrade: bytes) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: " + upgrade + b"\r\n\r\n"
    assert b" 101 " not in server.raw(head, wait_s=1)
    assert server.infer(body())[0] == 200
