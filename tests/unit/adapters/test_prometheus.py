"""Readings as a text file that a server shows, and pushed to a gateway; what is no such text spoils nothing."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mainspring.adapters.prometheus.exposition import ReadingsFile, exposition, joined, shown
from mainspring.adapters.prometheus.gateway import Pushgateway, ReadingsRefused
from mainspring.kernel.errors import InvalidValue
from mainspring.observe.readings import Reading

TRICKY = 'a "quoted" \\ name\nof two lines'


def reading(name: str, value: float, *, grows: bool = False, **labels: str) -> Reading:
    return Reading(name=f"mainspring_watch_{name}", text="Help", value=value, labels=labels, grows=grows)


READINGS = [
    reading("events", 3, grows=True, kind="run.started"), reading("events", 0, grows=True, kind="run.failed"),
    reading("column_psi", 1e-9, column=TRICKY), reading("window_rows", 12_345_678.0, model="m"),
]  # fmt: skip


def values(text: bytes) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(text.decode("utf-8"))
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_what_is_written_is_what_a_scraper_reads() -> None:
    assert values(exposition(READINGS)) == {
        ("mainspring_watch_events_total", "run.started"): 3, ("mainspring_watch_events_total", "run.failed"): 0,
        ("mainspring_watch_column_psi", TRICKY): 1e-9, ("mainspring_watch_window_rows", "m"): 12_345_678,
    }  # fmt: skip


def test_expositions_are_joined_a_head_once(tmp_path: Path) -> None:
    one, other = exposition(READINGS).decode(), exposition([reading("window_rows", 5, model="other")]).decode()
    whole = joined([one, other])
    assert whole.count(b"# TYPE mainspring_watch_window_rows") == 1
    assert values(whole) == {**values(one.encode()), ("mainspring_watch_window_rows", "other"): 5}


@pytest.mark.parametrize(
    "spoilt",
    [
        "mainspring_watch_x 1\nmainspring_requests_total 7\n", "no exposition at all", "\x00\x01",
        'mainspring_watch_x{model="m" 1\n', "mainspring_watch_x 1 \n", "# TYPE mainspring_ready gauge\n",
        "mainspring_watch_x{" + 'a="b",' * 20_000 + "\n",
    ],
)  # fmt: skip
def test_a_text_that_is_no_exposition_of_readings_is_left_out_whole(spoilt: str) -> None:
    good = exposition(READINGS)
    assert joined([spoilt, good.decode()]) == joined([good.decode()])


def test_a_file_is_shown_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "state" / "watch-local.prom"
    show = shown([path, tmp_path / "missing.prom"])
    assert show() == b""
    ReadingsFile(path).put(READINGS)
    assert values(show()) == values(exposition(READINGS))
    ReadingsFile(path).put(READINGS[:2])
    assert values(show()) == values(exposition(READINGS[:2]))
    path.write_bytes(b"x" * ((1 << 20) + 1))
    assert show() == b""
    os.remove(path)
    assert show() == b""


class _Gateway(BaseHTTPRequestHandler):
    """Takes what is put, and answers as told."""

    taken: ClassVar[list[tuple[str, str, bytes]]] = []
    status = 202

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.append((self.command, self.path, body))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"pushed metrics are invalid" if self.status >= 400 else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[str]:
    _Gateway.taken, _Gateway.status = [], 202
    server = HTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/below/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_replaces_the_group_of_this_model_and_environment(gateway: str) -> None:
    Pushgateway(gateway, model="m", environment="prod").put(READINGS)
    path = "/below/metrics/job/mainspring-watch/model/m/environment/prod"
    assert _Gateway.taken == [("PUT", path, exposition(READINGS))]


def test_a_refused_push_says_why(gateway: str) -> None:
    _Gateway.status = 400
    with pytest.raises(ReadingsRefused, match="answered 400: pushed metrics are invalid"):
        Pushgateway(gateway, model="m", environment="prod").put(READINGS)


def test_a_gateway_that_is_away_is_told() -> None:
    with pytest.raises(ReadingsRefused, match="did not answer"):
        Pushgateway("http://127.0.0.1:1", model="m", environment="prod").put(READINGS)


@pytest.mark.parametrize("url", ["ftp://x", "9091", "http://"])
def test_an_address_that_is_no_gateway_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="no Pushgateway"):
        Pushgateway(url, model="m", environment="prod")
