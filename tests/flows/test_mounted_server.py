"""`mainspring serve` in a pod: mounted files and an object store, no repository, no git, no state from before."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flows.pod_files import SCRAPE, Volume, release_text, tokens_file
from tests.unit.serve.serving_kit import NOW
from tests.unit.serve.signed_models import registered
from tests.unit.serve.test_serve_log import record

from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.logs import SegmentWriter, segment_name
from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.files.mounted import MountedKeys, MountedTokens
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.models import ModelStore
from mainspring.app.mounted import Mounted
from mainspring.app.serving import ServerRoom, server_parts
from mainspring.deliver.release import Champion, Release
from mainspring.kernel.errors import Damaged, InvalidValue, NotFound
from mainspring.kernel.times import HOUR
from mainspring.security.keys import InvalidKey, key_id, new_key, public_of

MODEL = "on"
KEYS, SECRET = tokens_file()


class Pod:
    """The mounted files, and a server over them in a folder that was empty."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._home = folder, Keys(folder / "home", folder / "home")
        self._store = ModelStore(Bucket((folder / "bucket").as_uri()))
        self.release = Volume(folder / "release", {"release.yaml": self.released(1, 0.5)})
        self.trust = Volume(folder / "trust", {"a.pem": public_of(self._home.signing_key())})
        Volume(folder / "tokens", {"tokens.json": KEYS})
        Volume(folder / "scrape", {"token": SCRAPE.encode()})
        Volume(folder / "serving", {"serving.yaml": b'{"log": {"redact": ["v.x"]}}'})
        (folder / "project").mkdir()
        argv = [
            sys.executable, "-m", "mainspring", "-C", str(folder / "project"), "serve", "--env", "production", "--json",
            "--port", "0", "--host", "0.0.0.0", "--metrics-host", "0.0.0.0", "--drain", "0", "--log-keep-mb", "1",
            "--release-file", f"{folder}/release/release.yaml", "--models", (folder / "bucket").as_uri(),
            "--trust", f"{folder}/trust", "--tokens", f"{folder}/tokens/tokens.json",
            "--serving-file", f"{folder}/serving/serving.yaml", "--metrics-token-file", f"{folder}/scrape/token",
        ]  # fmt: skip
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={"PATH": str(folder / "nothing")})
        assert self.process.stdout is not None
        self.at: dict[str, str] = json.loads(self.process.stdout.readline())

    def released(self, version: int, factor: float) -> bytes:
        digest = registered(self._store, self._home, factor, MODEL)  # type: ignore[arg-type]
        return release_text(Release(model=MODEL, champion=Champion(version=version, digest=digest)))

    def ask(self, place: str, path: str, document: object = None, key: str = SECRET) -> tuple[int, Any]:
        url = self.at[place].replace("0.0.0.0", "127.0.0.1") + path
        data = None if document is None else json.dumps(document).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def infer(self, key: str = SECRET) -> tuple[int, Any]:
        body = {"inputs": [{"name": "v.x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
        status, answer = self.ask("public", f"/v2/models/{MODEL}/infer", body, key)
        return status, json.loads(answer)["outputs"][0]["data"] if status == 200 else json.loads(answer)["code"]


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    made = Pod(tmp_path_factory.mktemp("pod"))
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.xdist_group("mounted-server")
def test_a_pods_server_from_start_to_end(pod: Pod) -> None:
    assert pod.infer() == (200, [0.5])
    assert pod.infer("wrong") == (401, "auth.invalid")
    assert pod.ask("metrics", "/metrics", key="no")[0] == 401
    assert b"mainspring_ready 1.0" in pod.ask("metrics", "/metrics", key=SCRAPE)[1]

    pod.release.put({"release.yaml": pod.released(2, 0.25)})  # as the kubelet does; nothing restarts
    assert pod.ask("admin", "/admin/reconcile", {})[0] == 200
    assert pod.infer() == (200, [0.25])

    pod.trust.put({"other.pem": public_of(new_key())})  # nobody trusts the next version: the old stays
    pod.release.put({"release.yaml": pod.released(3, 0.125)})
    pod.ask("admin", "/admin/reconcile", {})
    assert pod.infer() == (200, [0.25])

    pod.process.send_signal(signal.SIGTERM)
    assert pod.process.wait(timeout=20) == 0
    logged = SegmentReader(pod.folder / "project" / ".mainspring" / "log").read().records
    assert len(logged) == 3
    assert all("v.x" in record.redacted for record in logged)


def test_mounted_keys_are_read_within_their_folder_alone(tmp_path: Path) -> None:
    pem = public_of(new_key())
    volume = Volume(tmp_path / "trust", {"a.pem": pem})
    assert MountedKeys(tmp_path / "trust").trusted("any") == {key_id(pem): pem}
    volume.put({"a.pem": b"no key"})
    with pytest.raises(InvalidKey, match=r"a\.pem"):
        MountedKeys(tmp_path / "trust").trusted("any")
    (tmp_path / "elsewhere.pem").write_bytes(pem)
    (tmp_path / "trust" / "a.pem").unlink()
    (tmp_path / "trust" / "b.pem").symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(InvalidKey, match="leads out"):
        MountedKeys(tmp_path / "trust").trusted("any")
    with pytest.raises(NotFound):
        MountedKeys(tmp_path / "none").trusted("any")


def test_mounted_tokens_are_parsed_again_only_when_they_change(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "tokens", {"tokens.json": KEYS})
    source = MountedTokens(tmp_path / "tokens" / "tokens.json")
    first = source.read()
    assert first is not None
    assert source.read() is first
    volume.put({"tokens.json": tokens_file()[0]})
    assert source.read() != first
    volume.put({"tokens.json": b"{}"})
    with pytest.raises(Damaged):
        source.read()
    with pytest.raises(Damaged):
        MountedTokens(tmp_path / "none").read()


def test_a_workspace_of_several_projects_is_not_mounted(tmp_path: Path) -> None:
    (tmp_path / "workspace.yaml").write_text("version: 1\nprojects: []\n")
    room = ServerRoom(root=tmp_path, environment="production", mounted=Mounted(models="memory:///"))
    with pytest.raises(InvalidValue, match="workspace of several"):
        server_parts(room, replay_clock=False)


def test_a_log_that_goes_elsewhere_keeps_little_here(tmp_path: Path) -> None:
    keep = 4_000
    writer, other = SegmentWriter(tmp_path, keep=keep), SegmentWriter(tmp_path, "1")
    other.append([record(0)])
    for number in range(200):  # a hundred to the hour
        writer.append([record(number, NOW + number // 100 * HOUR)])
        size = sum(path.stat().st_size for path in tmp_path.glob("*.log") if "-" not in path.name)
        assert 0 <= size <= keep
    last = SegmentReader(tmp_path).read().records[-1]
    assert last.request_id == record(199, NOW + HOUR).request_id
    writer.append([record(1, NOW + 2 * HOUR), record(2, NOW + 3 * HOUR)])
    writer.close()
    other.close()
    assert (tmp_path / segment_name(NOW, "1")).exists()  # another writer's is not touched
    assert len(SegmentReader(tmp_path).read().records) > 2
