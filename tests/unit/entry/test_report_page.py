"""The console's server: only this machine is answered, and every answer is safe to show."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from mainspring.entry.console.page import SAFE_HEADERS, Status, create_page, is_loopback, is_own_host, page_server
from mainspring.kernel.errors import NotFound

Answer = tuple[int, dict[str, str], str]


def ask(
    report: Path,
    path: str = "/",
    *,
    host: str | None = "localhost:8080",
    client: str = "127.0.0.1",
    method: str = "GET",
    status: Status = lambda: {"champion": {"version": 7}, "note": "<script>"},
) -> Answer:
    """Send one request through the application itself, without a socket."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [] if host is None else [(b"host", host.encode("latin-1"))],
        "client": (client, 5000), "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    asyncio.run(create_page(report, status)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]).decode()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text("<!DOCTYPE html><p>first", encoding="utf-8")
    return path


def test_the_latest_report_is_shown(report: Path) -> None:
    assert ask(report)[0::2] == (200, "<!DOCTYPE html><p>first")
    report.write_text("second", encoding="utf-8")
    assert ask(report)[2] == "second"


def test_without_a_report_the_status_page_says_what_to_do(tmp_path: Path) -> None:
    code, headers, body = ask(tmp_path / "none.html")
    assert code == 200
    assert headers["content-type"].startswith("text/html")
    assert "mainspring replay" in body
    assert "champion.version" in body


def test_the_status_is_told_as_json_and_escaped_on_the_page(report: Path) -> None:
    code, headers, body = ask(report, "/status.json")
    assert (code, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"champion": {"version": 7}, "note": "<script>"}
    page = ask(report, "/status")[2]
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_an_expected_failure_is_told_with_its_code(report: Path) -> None:
    def failing() -> Mapping[str, Any]:
        raise NotFound("no server runs", fix="mainspring serve")

    code, _, body = ask(report, "/status.json", status=failing)
    assert code == 503
    assert json.loads(body)["error"]["code"] == "not_found"
    assert ask(report, "/status", status=failing)[0] == 503


@pytest.mark.parametrize("path", ["/", "/status", "/status.json", "/nothing", "/../etc/passwd"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_answer_carries_the_safe_headers(report: Path, path: str, host: str) -> None:
    headers = ask(report, path, host=host)[1]
    for name, value in SAFE_HEADERS:
        assert headers[name] == value
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost:80:80", "localhost:",
     "localhost:abc", "[::1", "::1", "127.0.0.2", "localhost@evil", "localhost/x", " localhost", "localhost\n",
     "0.0.0.0"],
)  # fmt: skip
def test_a_name_that_is_not_this_machines_is_turned_away(report: Path, host: str | None) -> None:
    assert ask(report, host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:8080", "[::1]"])
def test_this_machines_names_are_answered(host: str) -> None:
    assert is_own_host(host)


@pytest.mark.parametrize("client", ["10.0.0.8", "192.168.1.1", "8.8.8.8", "fe80::1", "testclient", "::ffff:10.0.0.8"])
def test_another_machine_is_refused(report: Path, client: str) -> None:
    assert ask(report, client=client)[0] == 403


@pytest.mark.parametrize("client", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_known_by_every_loopback_address(client: str) -> None:
    assert is_loopback(client)


def test_a_real_server_listens_on_this_machine_only_and_stops_when_told(report: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = page_server(create_page(report, dict), port)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/", headers={"X-Forwarded-For": "10.0.0.8"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"<!DOCTYPE html><p>first")
    assert answer.getheader("server") is None
    connection.close()
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE"])
def test_nothing_can_be_written(report: Path, method: str) -> None:
    assert ask(report, method=method)[0] == 405
