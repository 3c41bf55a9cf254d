"""The object store sink against a real S3 server (SeaweedFS) that dies and comes back."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tools
from tests.conformance.test_log_sinks import QUICK, waited
from tests.unit.serve.test_serve_log import record

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.log import ObjectLog
from mainspring.serve.frames import frames
from mainspring.serve.log import PredictionLog
from mainspring.serve.log_packing import unpack
from mainspring.serve.log_sinks import Sink

pytestmark = pytest.mark.tools
KEY, SECRET = "testkey", "testsecret"
_HIGHEST = 55_000


def free_ports(count: int) -> list[int]:
    """Return free ports that have a port 10,000 above them, where SeaweedFS puts gRPC."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            held = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            found += [port] if (port := int(held.getsockname()[1])) < _HIGHEST else []
        return found


@contextlib.contextmanager
def s3_server(folder: Path, ports: list[int]) -> Iterator[None]:
    """Run the server over `folder`; kill it at the end, as a crash would."""
    s3, master, volume, filer = ports
    folder.mkdir(exist_ok=True)
    identity = {"name": "t", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), "utf-8")
    weed = tools.environment("seaweedfs") / "bin" / "weed"
    argv = [
        str(weed), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.port={s3}",
        f"-s3.config={folder / 's3.json'}", f"-master.port={master}", f"-volume.port={volume}", "-filer",
        f"-filer.port={filer}", "-volume.max=40", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]  # fmt: skip
    with (folder.parent / "weed.txt").open("ab") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=folder)
    try:
        yield
    finally:
        process.kill()
        process.wait(20)


def test_a_real_s3_store_has_everything_once_though_it_died_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = free_ports(4)
    settings = {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        "AWS_ENDPOINT": f"http://127.0.0.1:{ports[0]}",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket("s3://logs/predictions", retries=0)
    sink = Sink(name="s3", writer=ObjectLog(bucket, "0x1"), cadence=QUICK)
    with s3_server(tmp_path / "s3", ports):
        log = PredictionLog(SegmentWriter(tmp_path / "log"), sinks=[sink])
        for number in range(500):
            log.put(record(number))
        log.flush()
        until = time.monotonic() + 60
        while log.sinks()[-1].counts.rows < 1_000 and time.monotonic() < until:
            time.sleep(0.05)
    for number in range(500, 1_000):
        assert log.put(record(number))
    assert log.flush()["rows"] == 2_000
    waited(log, lambda report: report.state == "failing")
    with s3_server(tmp_path / "s3", ports):
        until = time.monotonic() + 60
        while log.sinks()[-1].counts.rows < 2_000 and time.monotonic() < until:
            time.sleep(0.05)
        log.close()
        data = [bucket.get(name, 1 << 30) or b"" for name in bucket.names("log")]
    assert log.sinks()[-1].counts.dropped_rows == 0
    found = [one.request_id for whole in data for f in frames(whole) for one in unpack(f.payload, "object")]
    assert found == [record(number).request_id for number in range(1_000)]
