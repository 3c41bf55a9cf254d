"""The fast path and the slow one say the same: one corpus of raw requests through both, and what only one may take."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests.unit.serve.serving_kit import MODEL, Parts, RunningServer, body, running
from tests.unit.serve.test_serve_quick import LEFT, TAKEN, numeric
from tests.unit.serve.test_serve_quick_rows import LEFT as MANY_LEFT
from tests.unit.serve.test_serve_quick_rows import TAKEN as MANY_TAKEN

from mainspring.adapters.files.tokens import TokenFile
from mainspring.app.access import TokenDesk
from mainspring.entry.inference.binding import Listening
from mainspring.entry.inference.desk import Desk, Entry
from mainspring.entry.inference.known import KnownHeads
from mainspring.entry.inference.protocol import Deadlines
from mainspring.security.tokens import Wanted
from mainspring.serve.inference import Reply
from mainspring.serve.log import PredictionLog
from mainspring.serve.quick import Quick

INFER = f"/v2/models/{MODEL}/infer"
GOOD = json.dumps(body()).encode()
QUICK = Listening(drain_s=0.1, deadlines=Deadlines(head_s=5, body_s=5, idle_s=0.4))


class Served(NamedTuple):
    """A server with a key, and whether it answers in place."""

    server: RunningServer
    secret: str


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("fast")
    secret = TokenDesk(root).create(Wanted(name="a")).secret
    with running(root / "log", listening=QUICK, tokens=TokenFile(root / ".mainspring")) as server:
        yield Served(server, secret)


def request(data: bytes = GOOD, *headers: bytes, path: str = INFER, method: bytes = b"POST") -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: x", *headers]
    if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in headers):
        lines.append(b"Content-Length: %d" % len(data))
    return b"\r\n".join(lines) + b"\r\n\r\n" + data


KEY, JSON = b"Authorization: Bearer SECRET", b"Content-Type: application/json"


def corpus_of(good: bytes) -> dict[str, bytes]:
    """Requests around one good body."""
    return {
        "good": request(good, KEY, JSON),
        "no content type": request(good, KEY),
        "its version": request(good, KEY, path=f"/v2/models/{MODEL}/versions/1/infer"),
        "binary answer": request(json.dumps(body(parameters={"binary_data_output": True})).encode(), KEY, JSON),
        "an id": request(json.dumps(body(id="mine")).encode(), KEY, JSON),
        "no key": request(good, JSON),
        "a wrong key": request(good, b"Authorization: Bearer mst_aaaaaaaa_" + b"a" * 43, JSON),
        "another scheme": request(good, b"Authorization: Basic YTpi", JSON),
        "two keys": request(good, KEY, KEY, JSON),
        "not json": request(b"{", KEY, JSON),
        "empty": request(b"", KEY, JSON),
        "too many rows": request(json.dumps(body(1_001)).encode(), KEY, JSON),
        "wrong media": request(good, KEY, b"Content-Type: text/plain"),
        "two media": request(good, KEY, JSON, JSON),
        "gzip": request(good, KEY, JSON, b"Content-Encoding: gzip"),
        "identity": request(good, KEY, JSON, b"Content-Encoding: identity"),
        "a bad header length": request(good, KEY, JSON, b"Inference-Header-Content-Length: ten"),
        "a header length": request(good, KEY, JSON, b"Inference-Header-Content-Length: %d" % len(good)),
        "a timeout": request(good, KEY, JSON, b"mainspring-timeout-ms: 5000"),
        "a bad timeout": request(good, KEY, JSON, b"mainspring-timeout-ms: soon"),
        "unknown model": request(good, KEY, JSON, path="/v2/models/nobody/infer"),
        "unknown version": request(good, KEY, JSON, path=f"/v2/models/{MODEL}/versions/7/infer"),
        "unknown path": request(good, KEY, JSON, path=f"/v2/models/{MODEL}/infer/"),
        "a query": request(good, KEY, JSON, path=INFER + "?a=b"),
        "another method": request(good, KEY, JSON, method=b"PUT"),
        "chunked": request(b"%x\r\n%s\r\n0\r\n\r\n" % (len(good), good), KEY, JSON, b"Transfer-Encoding: chunked"),
        "expect": request(good, KEY, JSON, b"Expect: 100-continue"),
        "upgrade": request(good, KEY, JSON, b"Connection: Upgrade", b"Upgrade: h2c"),
        "close": request(good, KEY, JSON, b"Connection: close"),
        "http 1.0": request(good, KEY, JSON).replace(b"HTTP/1.1", b"HTTP/1.0"),
        "a large body": request(json.dumps(body(900)).encode() + b" " * 70_000, KEY, JSON),
        "a body too large": request(b"", KEY, JSON, b"Content-Length: 99999999"),
        "folded name": request(good, b"AUTHORIZATION: bearer SECRET", b"CONTENT-TYPE: Application/JSON; charset=UTF-8"),
    }  # fmt: skip


CORPUS = corpus_of(GOOD)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes


def exchanged(server: RunningServer, data: bytes, count: int = 1) -> list[Answer]:
    """Send raw bytes on one connection and read `count` answers; fewer where the server closes before."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        stream, found = connection.makefile("rb"), list[Answer]()
        while len(found) < count:
            first = stream.readline()
            if not first:
                break
            status, headers = int(first.split()[1]), {}
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b": ")
                headers[name.decode().lower()] = value.decode()
            if status == 100:
                continue
            found.append(Answer(status, headers, stream.read(int(headers.get("content-length", "0")))))
        return found


def said(answer: Answer) -> tuple[object, ...]:
    """What must be equal: status, code or shape of the body, headers but for ids, lengths and the time."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
    head = answer.headers.get("inference-header-content-length")
    document = json.loads(answer.content[: int(head)] if head else answer.content)
    if answer.status != 200:
        return answer.status, headers, document
    ids = document["parameters"].pop("prediction_ids")
    assert all(re.fullmatch(r"p-\d{10}-[a-z2-7]{16}\.\d+", one) for one in ids)
    return answer.status, headers, document, len(ids)


@pytest.mark.parametrize("name", CORPUS)
def test_both_paths_say_the_same(fast: Served, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = CORPUS[name].replace(b"SECRET", fast.secret.encode())
    (here,) = exchanged(fast.server, data)
    monkeypatch.setattr(Desk, "inline_plane", lambda *_: None)
    (there,) = exchanged(fast.server, data)
    assert said(here) == said(there)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a model of numbers alone: its single rows take the short way, and their heads are remembered."""
    root = tmp_path_factory.mktemp("numbers")
    secret = TokenDesk(root).create(Wanted(name="a")).secret
    with running(root / "log", numeric(), QUICK, tokens=TokenFile(root / ".mainspring")) as server:
        yield Served(server, secret)


ROW = TAKEN["plain"].encode()
BINARY = b"Content-Type: application/octet-stream"
MANY = {
    f"rows in {name}": request(
        data, KEY, *([JSON] if head is None else [BINARY, b"Inference-Header-Content-Length: %d" % head])
    )
    for name, (data, head) in (MANY_TAKEN | MANY_LEFT).items()
}  # fmt: skip
ROWS = corpus_of(ROW) | MANY | {
    f"body {name}": request(text.encode(), KEY, JSON) for name, text in (TAKEN | LEFT).items()
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_head_that_is_known_is_answered_as_one_that_is_read(
    numbers: Served, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ROWS[name].replace(b"SECRET", numbers.secret.encode())
    found = [said(exchanged(numbers.server, data)[0]) for _ in range(2)]
    monkeypatch.setattr(Desk, "inline_plane", lambda *_: None)
    monkeypatch.setattr(KnownHeads, "found", lambda *_: None)
    found.append(said(exchanged(numbers.server, data)[0]))
    assert found[0] == found[1] == found[2]


def test_known_heads_are_answered_in_pieces_pipelined_and_between_others(numbers: Served) -> None:
    """Each piece of the stream is sent as a packet; the answers come in order whatever was known."""
    row = request(ROW, KEY, JSON).replace(b"SECRET", numbers.secret.encode())
    other = CORPUS["chunked"].replace(b"SECRET", numbers.secret.encode())
    pieces = [row, row, row + row, row[:40], row[40:] + row, other, row, row[:-5], row[-5:], b"\r\n" + row, row]
    with socket.create_connection(("127.0.0.1", numbers.server.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream, wanted, codes = connection.makefile("rb"), 0, list[int]()
        for piece in pieces:
            connection.sendall(piece)
            wanted += piece.count(b"}]}") or piece.endswith(b"0\r\n\r\n")
            time.sleep(0.01)
        for _ in range(wanted):
            codes.append(int(stream.readline().split()[1]))
            length = 0
            while (line := stream.readline().strip()) != b"":
                length = int(line.split(b": ")[1]) if line.startswith(b"content-length") else length
            stream.read(length)
    assert codes == [200] * 6 + [400] + [200] * 4


def test_a_known_head_ends_with_its_key_and_follows_the_release(tmp_path: Path) -> None:
    parts, tokens = numeric(), TokenDesk(tmp_path)
    secret = tokens.create(Wanted(name="a")).secret
    data = request(ROW, KEY, JSON).replace(b"SECRET", secret.encode())
    with running(tmp_path / "log", parts, QUICK, tokens=TokenFile(tmp_path / ".mainspring")) as server:
        assert [exchanged(server, data)[0].status for _ in range(3)] == [200] * 3
        parts.releases.set(2)
        wait_until(lambda: exchanged(server, data)[0].headers["mainspring-version"] == "2")
        tokens.revoke("a")
        wait_until(lambda: exchanged(server, data)[0].status == 401)
        assert exchanged(server, data)[0].status == 401
        answered, log = server.parts.plane.counters.requests, server.parts.log
        assert isinstance(log, PredictionLog)
        assert log.flush()["rows"] == answered


def test_a_known_head_ends_when_its_key_expires(numbers: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    root = numbers.server.parts
    assert root.plane.serving is not None
    heads, seen = KnownHeads, list[int]()
    real = heads.learn

    def learn(
        self: KnownHeads, head: bytes, length: int, found: dict[bytes, bytes], entry: Entry, quick: Quick
    ) -> None:
        assert entry.token is not None
        seen.append(length)
        real(self, head, length, found, msgspec.structs.replace(entry, token=replace(entry.token, expires_at=1)), quick)

    monkeypatch.setattr(heads, "learn", learn)
    data = request(ROW, KEY, JSON, b"X-Some: thing").replace(b"SECRET", numbers.secret.encode())
    for _ in range(3):
        assert exchanged(numbers.server, data)[0].status == 200
    assert len(seen) == 3  # the key had expired each time, so the head was read, judged and learned again


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_corpus_takes_both_paths(fast: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, asked = set[str](), [""]
    real = Desk.answer_now

    def seen(desk: Desk, entry: Entry, data: bytes) -> Reply:
        taken.add(asked[0])
        return real(desk, entry, data)

    monkeypatch.setattr(Desk, "answer_now", seen)
    for name in CORPUS:
        asked[0] = name
        exchanged(fast.server, CORPUS[name].replace(b"SECRET", fast.secret.encode()))
    assert {"good", "an id", "binary answer", "not json", "its version", "close", "folded name"} <= taken
    slow = {
        "chunked",
        "expect",
        "upgrade",
        "http 1.0",
        "gzip",
        "two media",
        "a large body",
        "another method",
        "a query",
    }
    assert slow.isdisjoint(taken)


def test_pipelined_requests_are_answered_in_order_whatever_path_they_take(fast: Served) -> None:
    """A slow-path request between fast ones holds those behind it back."""
    kinds = ["good", "chunked", "good", "not json", "expect", "good", "chunked", "chunked", "good"]
    data = b"".join(
        request(json.dumps(body(id=f"n{place}")).encode(), KEY, JSON) if kind == "good" else CORPUS[kind]
        for place, kind in enumerate(kinds)
    ).replace(b"SECRET", fast.secret.encode())
    found = exchanged(fast.server, data, len(kinds))
    assert [one.status for one in found] == [400 if kind == "not json" else 200 for kind in kinds]
    ids = [json.loads(one.content).get("id") for one in found]
    assert ids == [f"n{place}" if kind == "good" else None for place, kind in enumerate(kinds)]


@pytest.mark.parametrize("step", [1, 7, 100])
def test_a_request_in_pieces_of_any_size_is_one_request(fast: Served, step: int) -> None:
    data = (CORPUS["good"] * 2).replace(b"SECRET", fast.secret.encode())
    with socket.create_connection(("127.0.0.1", fast.server.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), step):
            connection.sendall(data[at : at + step])
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 2 or not got.endswith(b"}"):
            got += connection.recv(65_536)


@pytest.mark.slow
def test_a_client_that_pipelines_and_never_reads_is_held_back_then_closed(tmp_path: Path) -> None:
    quick = Listening(drain_s=0.1, deadlines=Deadlines(write_s=0.5))
    with running(tmp_path, listening=quick) as server:
        before = server.parts.plane.counters.requests
        many, sent, closed = request(json.dumps(body(200)).encode()) * 50, 0, False
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as connection:
            deadline = time.monotonic() + 20
            while not closed and time.monotonic() < deadline:
                try:
                    sent += connection.send(many)
                except TimeoutError:
                    continue
                except ConnectionError:
                    closed = True
        assert closed
        answered = server.parts.plane.counters.requests - before
        assert answered * 5_000 < 16 << 20  # what it was answered fits in sockets' buffers and one of ours
        assert server.infer(body())[0] == 200


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(fast: Served) -> None:
    data = CORPUS["good"].replace(b"SECRET", fast.secret.encode())
    with socket.create_connection(("127.0.0.1", fast.server.port), timeout=10) as connection:
        for _ in range(3):
            connection.sendall(data)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            time.sleep(0.1)
        assert connection.recv(1) == b""


def test_a_request_whose_body_is_on_its_way_is_answered_at_shutdown(tmp_path: Path) -> None:
    parts, data = Parts(), request(GOOD)
    with running(tmp_path, parts, Listening(drain_s=0.3)) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.sendall(data[:-10])
        wait_for_body(server)
        stopping = threading.Timer(0.6, lambda: connection.sendall(data[-10:]))
        stopping.start()
    got = b""
    while chunk := connection.recv(65_536):
        got += chunk
    connection.close()
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in got


def wait_for_body(server: RunningServer) -> None:
    """A request of another connection comes back after the first bytes of ours were read."""
    assert server.infer(body())[0] == 200
