"""Every sink of the prediction log keeps the promises of `serve.ports.LogWriter`, and a dead one hurts nobody."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.serve.serving_kit import NOW
from tests.unit.serve.test_serve_log import record

from mainspring.adapters.cloudevents.sink import CloudEventsLog
from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.log import ObjectLog
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.serve.frames import frames
from mainspring.serve.log import PredictionLog
from mainspring.serve.log_packing import chunks_of, unpack
from mainspring.serve.log_sinks import Cadence, Sink, SinkReport
from mainspring.serve.ports import Chunk, LogRefused, LogWriter

QUICK = Cadence(write_s=0.01, patient=True, sync_s=0.0, queue_size=1 << 20, first_pause_s=0.01)


@dataclass
class Place:
    """A sink with its place. ids: request ids that are there now, in order. kill, mend: make the place fail, work."""

    writer: LogWriter
    ids: Callable[[], list[str]]
    kill: Callable[[], None]
    mend: Callable[[], None]


class Collector(http.server.ThreadingHTTPServer):
    """An HTTP endpoint that takes CloudEvents batches, or answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []
        self.status, self.headers = 202, list[dict[str, str]]()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/events?tenant=1"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.status
        if status < 300:
            self.server.headers.append({**dict(self.headers), "path": self.path})
            self.server.events += json.loads(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def files(folder: Path) -> Iterator[Place]:
    blocked = folder / "log" / "2013050106.log"  # a folder where the segment should be
    writer = SegmentWriter(folder / "log")

    def ids() -> list[str]:
        return [one.request_id for one in SegmentReader(folder / "log").read().records]

    yield Place(writer, ids, blocked.mkdir, blocked.rmdir)


def objects(folder: Path, url: str) -> Iterator[Place]:
    bucket, away = Bucket(url, retries=0), folder / "away"
    root = folder / "objects"

    def ids() -> list[str]:
        names = bucket.names("log")
        data = [bucket.get(name, 1 << 30) or b"" for name in names]
        return [one.request_id for whole in data for f in frames(whole) for one in unpack(f.payload, "object")]

    def kill() -> None:
        root.rename(away)
        root.write_text("a file where the store's folder was")

    def mend() -> None:
        root.unlink()
        away.rename(root)

    yield Place(ObjectLog(bucket, "0x1"), ids, kill, mend)


def events(_: Path) -> Iterator[Place]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ids() -> list[str]:
        return [str(event["id"]) for event in collector.events]

    def kill() -> None:
        collector.status = 503

    def mend() -> None:
        collector.status = 202

    yield Place(CloudEventsLog(collector.url, source="/mainspring/test"), ids, kill, mend)
    collector.shutdown()
    thread.join(10)
    collector.server_close()


PLACES: dict[str, Callable[[Path], Iterator[Place]]] = {
    "files": files,
    "objects in a folder": lambda folder: objects(folder, (folder / "objects").as_uri()),
    "cloudevents": events,
}
LASTING: dict[str, Callable[[Path], Iterator[Place]]] = {
    **PLACES,
    "objects in memory": lambda folder: objects(folder, "memory:///"),
}


@pytest.fixture(params=list(LASTING))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from LASTING[request.param](tmp_path)


@pytest.fixture(params=list(PLACES))
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from PLACES[request.param](tmp_path)


def chunks(records: Sequence[LoggedRequest]) -> list[Chunk]:
    return list(chunks_of(records))


def test_what_was_written_is_there_in_order_once_the_sync_returned(place: Place) -> None:
    records = [record(number, NOW + number * HOUR // 100) for number in range(150)]
    found = chunks(records)
    place.writer.write(found[:1])
    place.writer.write(found[1:])
    place.writer.sync()
    assert place.ids() == [one.request_id for one in records]
    place.writer.close()


def test_a_dead_place_is_an_expected_error_and_a_second_try_doubles_nothing(mortal: Place) -> None:
    first, second = chunks([record(1)]), chunks([record(1), record(2, NOW + HOUR)])[1:]
    mortal.kill()
    for _ in range(2):
        with pytest.raises((OSError, MainspringError)) as caught:
            mortal.writer.write([*first, *second])
        assert not isinstance(caught.value, LogRefused)
    mortal.mend()
    mortal.writer.write([*first, *second])
    mortal.writer.sync()
    assert mortal.ids() == [record(1).request_id, record(2, NOW + HOUR).request_id]
    mortal.writer.close()


def waited(log: PredictionLog, until: Callable[[SinkReport], bool]) -> SinkReport:
    """Return the report of the last sink once it says so."""
    changed = threading.Event()
    for _ in range(2_000):
        found = log.sinks()[-1]
        if until(found):
            return found
        changed.wait(0.005)
    raise AssertionError(f"it never came true: {log.sinks()[-1]}")


def test_a_dead_sink_stops_no_other_and_is_delivered_to_once_when_it_returns(mortal: Place, tmp_path: Path) -> None:
    log = PredictionLog(SegmentWriter(tmp_path / "disk"), sinks=[Sink(name="far", writer=mortal.writer, cadence=QUICK)])
    mortal.kill()
    for number in range(100):
        log.put(record(number))
    assert log.flush()["rows"] == 200
    failing = waited(log, lambda report: report.counts.failures >= 3)
    assert (failing.name, failing.state, failing.counts.rows) == ("far", "failing", 0)
    assert failing.failure
    assert log.sinks()[0].state == "ok"
    mortal.mend()
    well = waited(log, lambda report: report.counts.rows == 200)
    assert (well.state, well.counts.dropped_rows, well.waiting_rows) == ("ok", 0, 0)
    log.close()
    assert mortal.ids() == [record(number).request_id for number in range(100)]


def test_what_a_dead_sink_cannot_hold_is_dropped_and_counted(mortal: Place, tmp_path: Path) -> None:
    small = Cadence(write_s=0.01, patient=True, sync_s=0.0, queue_size=20_000, first_pause_s=0.01)
    log = PredictionLog(SegmentWriter(tmp_path / "disk"), sinks=[Sink(name="far", writer=mortal.writer, cadence=small)])
    mortal.kill()
    for number in range(600):
        log.put(record(number, rows=5))
    assert log.flush()["rows"] == 3_000
    full = waited(log, lambda report: report.counts.dropped_rows > 0)
    assert full.waiting_rows + full.counts.dropped_rows == 3_000
    mortal.mend()
    waited(log, lambda report: report.waiting_rows == 0)
    log.close()
    report = log.sinks()[-1]
    assert report.counts.rows == 5 * len(mortal.ids()) > 0
    assert report.counts.rows + report.counts.dropped_rows == 3_000


def test_a_close_does_not_wait_for_ever(mortal: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainspring.serve.log_sinks._CLOSE_S", 0.3)
    log = PredictionLog(SegmentWriter(tmp_path / "disk"), sinks=[Sink(name="far", writer=mortal.writer, cadence=QUICK)])
    mortal.kill()
    log.put(record(1))
    log.close()
    report = log.sinks()[-1]
    assert (report.counts.rows, report.counts.dropped_rows) == (0, 2)
    assert log.counts.rows == 2


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join(10)
    found.server_close()


def test_an_event_is_a_cloudevent_of_version_1(collector: Collector) -> None:
    writer = CloudEventsLog(collector.url, source="/mainspring/production/flights", authorization="Bearer t")
    writer.write(chunks([record(1)]))
    writer.close()
    (event,), (headers,) = collector.events, collector.headers
    assert headers["Content-Type"] == "application/cloudevents-batch+json; charset=UTF-8"
    assert (headers["Authorization"], headers["path"]) == ("Bearer t", "/events?tenant=1")
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "time", "datacontenttype")} == {
        "specversion": "1.0", "id": record(1).request_id, "source": "/mainspring/production/flights",
        "type": "mainspring.prediction.logged.v1", "time": "2013-05-01T06:00:00Z",
        "datacontenttype": "application/json",
    }  # fmt: skip
    data = event["data"]
    assert isinstance(data, dict)
    assert data["features"] == {"x": [0.0, 1.0], "s": ["a", None]}
    assert (data["keys"], data["asked_at"], data["served_by"]) == (["k0", "k1"], [NOW, NOW], ["sha256:a", "sha256:a"])


def test_what_an_endpoint_refuses_for_good_is_dropped_alone(collector: Collector, tmp_path: Path) -> None:
    far = CloudEventsLog(collector.url, source="/mainspring/test")
    log = PredictionLog(SegmentWriter(tmp_path), sinks=[Sink(name="far", writer=far, cadence=QUICK)])
    collector.status = 400
    log.put(record(1))
    waited(log, lambda report: report.counts.dropped_rows == 2)
    collector.status = 202
    log.put(record(2))
    report = waited(log, lambda report: report.counts.rows == 2)
    assert report.state == "ok"
    log.close()
    assert [event["id"] for event in collector.events] == [record(2).request_id]


def test_a_redirect_is_not_followed(collector: Collector) -> None:
    collector.status = 307
    with pytest.raises(LogRefused):
        CloudEventsLog(collector.url, source="/x").write(chunks([record(1)]))


@pytest.mark.parametrize(
    ("url", "authorization"),
    [("ftp://host/x", ""), ("http://user:pw@host/x", ""), ("http://", ""), ("http://host/", "Bearer a\r\nX: y")],
)
def test_a_sink_that_cannot_be_is_refused(url: str, authorization: str) -> None:
    with pytest.raises(MainspringError):
        CloudEventsLog(url, source="/x", authorization=authorization)
