"""HTTP that is bad, or only unusual, over real sockets; the C3 cases stand in test_serve_bad_cases.py."""

import json
from collections.abc import Iterator

import pytest
from tests.unit.serve.serving_kit import MODEL, RunningServer, body, running

INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("log")) as found:
        yield found


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


HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
GOOD = json.dumps(body()).encode()
LENGTH = b"Content-Length: %d\r\n\r\n" % len(GOOD)


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
