"""Features by key from a real Redis: as from the file on this machine, atomic, over TLS, and with Redis gone."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.flows.pod_files import release_text
from tests.redis_server import CALM, PASSWORD, RedisServer, free_port, running
from tests.unit.app.small_workspace import FILE, make_workspace, opened

from mainspring.adapters.files.keys import Keys
from mainspring.adapters.frames.parquet import ParquetFrames
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.models import ModelStore
from mainspring.adapters.redis.client import Client, OnlineUnreachable, Patience
from mainspring.adapters.redis.online import OnlineStore
from mainspring.data.views import to_json
from mainspring.deliver.ports import SIGNATURE
from mainspring.deliver.release import Champion, Release
from mainspring.entry.cli.group import run
from mainspring.entry.inference.grpc import messages
from mainspring.kernel.contract import Contract, Input
from mainspring.security.keys import public_of
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import sign
from mainspring.stats.columns import Columns

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("redis")]
PRODUCTION = """environments:
  local: {}
  production: {platform: deployment, stores: {online: "redis://127.0.0.1:PORT/3"}}
"""
INPUTS = (
    Input(name="visit.kind", kind="string"), *(Input(name=name, kind="number") for name in
    ("visit.size", "visit.hour", "lately.bad_share")),
)  # fmt: skip
VALUES = [2.0, 3.0, 0.25]
SOON_S = 60.0


def model() -> bytes:
    """A graph that joins three numbers, nulls as -1, into one that tells them apart."""
    nodes, names = [], [item.name for item in INPUTS[1:]]
    for place, name in enumerate(names):
        nodes += [
            helper.make_node("IsNaN", [name], [f"gone{place}"]),
            helper.make_node("Where", [f"gone{place}", "none", name], [f"there{place}"]),
            helper.make_node("Mul", [f"there{place}", f"factor{place}"], [f"part{place}"]),
        ]
    nodes += [
        helper.make_node("Sum", ["part0", "part1", "part2"], ["joined"]),
        helper.make_node("Reshape", ["joined", "flat"], ["score"]),
    ]
    numbers = {"none": -1.0, "factor0": 1.0, "factor1": 100.0, "factor2": 0.125}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in numbers.items()]
    constants.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
    given = [helper.make_tensor_value_info("visit.kind", TensorProto.STRING, [None, 1])]
    given += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    score = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "model", given, score, constants)
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString())


def released(root: Path) -> None:
    """Sign the model and write the files that a pod would mount."""
    definitions = opened(root).settings.definitions
    sample = {item.name: [repr(value)] for item, value in zip(INPUTS[1:], VALUES, strict=True)}
    score = float(np.float32(VALUES[0] + 100 * VALUES[1] + VALUES[2] / 8))
    contract = Contract(
        model="small", inputs=INPUTS, output="score", ask={"from": "visits", "key": "id", "at": "starts"},
        definitions=to_json(definitions), limits={},
        sample={"columns": {"visit.kind": ["a"], **sample}, "scores": [repr(score)]},
    )  # fmt: skip
    made = {"contract.json": contract.to_bytes(), "model.onnx": model()}
    keys = Keys(root / ".mainspring", root)
    for store in (ModelStore(Bucket((root / "bucket").as_uri())), opened(root).models_here):
        digest = store.add(made)
        store.attest(digest, SIGNATURE, sign(manifest_of(made), keys.signing_key(), "small"))
    (root / "trust").mkdir()
    (root / "trust" / "a.pem").write_bytes(public_of(keys.signing_key()))
    (root / "release.yaml").write_bytes(
        release_text(Release(model="small", champion=Champion(version=1, digest=digest)))
    )


class Served:
    """A server in a process of its own over mounted files, in a folder with its state. online: the Redis, if any."""

    def __init__(self, root: Path, folder: Path, online: str = "") -> None:
        argv = [
            sys.executable, "-m", "mainspring", "-C", str(folder), "serve", "--env", "production", "--json", "--port",
            "0", "--release-file", str(root / "release.yaml"), "--trust", str(root / "trust"), "--drain", "0",
            "--models", (root / "bucket").as_uri(), "--grpc-port", "0",
            *(["--online", online] if online else []),
        ]  # fmt: skip
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.at: dict[str, str] = json.loads(self.process.stdout.readline())
        self.url = self.at["public"] + "/v2/models/small/infer"

    def ask(self, document: object, **headers: str) -> tuple[int, Any, str]:
        """Return status, answer and Retry-After."""
        told = {"content-type": "application/json", **headers}
        sent = urllib.request.Request(self.url, json.dumps(document).encode(), told)
        try:
            with urllib.request.urlopen(sent, timeout=SOON_S) as answer:
                return answer.status, json.loads(answer.read())["outputs"][0]["data"], ""
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["code"], error.headers.get("retry-after", "")

    def until(self, document: object, status: int) -> Any:  # noqa: ANN401 - an answer
        """Ask until the status is as wanted."""
        end = time.monotonic() + SOON_S
        while (found := self.ask(document))[0] != status:
            assert time.monotonic() < end, found
        return found[1]


def by_key(*keys: str) -> dict[str, Any]:
    return {"inputs": [{"name": "@key", "shape": [len(keys)], "datatype": "BYTES", "data": list(keys)}]}


def plain() -> dict[str, Any]:
    numbers = [
        {"name": item.name, "shape": [1], "datatype": "FP64", "data": [value]}
        for item, value in zip(INPUTS[1:], VALUES, strict=True)
    ]
    return {"inputs": [{"name": "visit.kind", "shape": [1], "datatype": "BYTES", "data": ["a"]}, *numbers]}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Path]:
    """A project whose features are in the file here and in Redis."""
    folder = make_workspace(tmp_path_factory.mktemp("online") / "small", rows=400)
    environments = PRODUCTION.replace("PORT", str(redis.place.port))
    (folder / "mainspring.yaml").write_text(FILE.replace("environments: {local: {}}\n", environments), "utf-8")
    released(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINE_PASSWORD", PASSWORD)
        for words in (
            ["snapshot"], ["snapshot", "--env", "production"], ["features", "materialise"],
            ["features", "materialise", "--to", "production"],
        ):  # fmt: skip
            assert run(["-C", str(folder), *words]) == 0
        yield folder


@pytest.fixture(scope="module")
def pod(root: Path, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_OF_TEST", f"{redis.url[:-1]}3")
        made = Served(root, tmp_path_factory.mktemp("pod"), "secret://env/REDIS_OF_TEST")
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.fixture(scope="module")
def keys(root: Path) -> list[str]:
    import duckdb

    with duckdb.connect() as opened_:
        found = opened_.execute(f"SELECT CAST(id AS VARCHAR) FROM '{root}/data/visits.parquet' ORDER BY 1").fetchall()
    return [key for (key,) in found]


def test_a_pod_with_redis_answers_by_key_as_a_server_with_a_file(root: Path, pod: Served, keys: list[str]) -> None:
    here = Served(root, root)
    try:
        asks = [by_key(*keys), by_key(*keys[:1]), by_key("nobody", keys[0], "é", "a b")]
        ours = [here.ask(ask) for ask in asks]
        assert [pod.ask(ask) for ask in asks] == ours
        assert [status for status, _, _ in ours] == [200, 200, 400]  # nobody knows the last one's first key
        assert len(set(ours[0][1])) > 100
        assert here.ask(plain()) == pod.ask(plain())
        moments = {"asked_at": [1_707_500_000_000_000 + 10**10 * number for number in range(100)]}
        old = {**by_key(*keys[:100]), "parameters": moments}
        assert pod.ask(old) == here.ask(old)
        assert pod.ask(old)[0] == 200
    finally:
        here.process.kill()
        here.process.communicate()


def test_a_batch_of_keys_is_filled_from_redis_as_from_the_file(
    root: Path, redis: RedisServer, keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys.csv").write_text("\n".join(["key", *keys]) + "\n", "utf-8")
    (tmp_path / "plain.csv").write_text("visit.kind,visit.size,visit.hour,lately.bad_share\na,2.0,3.0,0.25\n", "utf-8")
    elsewhere = shutil.copytree(root, tmp_path / "small")
    (elsewhere / ".mainspring" / "online.db").unlink()

    def scored(where: Path, *words: str, file: str = "keys.csv") -> list[float] | int:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        mounted = ["--release-file", str(root / "release.yaml"), "--trust", str(root / "trust")]
        status = run(["-C", str(where), "score", str(tmp_path / file), "--out", str(out), *mounted, *words])
        return status or [x for path in out.glob("*.parquet") for x in ParquetFrames(keep=0).read(path)["score"]]

    expected = scored(root)
    assert isinstance(expected, list)
    assert len(set(expected)) > 100
    assert scored(elsewhere, "--env", "production") == expected
    assert isinstance(scored(elsewhere), int)
    (elsewhere / "mainspring.yaml").write_text(
        (root / "mainspring.yaml").read_text("utf-8").replace("/3", "/9"), "utf-8"
    )
    assert isinstance(scored(elsewhere, "--env", "production"), int)
    monkeypatch.setenv("REDIS_OF_TEST", f"{redis.url[:-1]}3")
    assert scored(elsewhere, "--env", "production", "--online", "secret://env/REDIS_OF_TEST") == expected
    assert isinstance(scored(elsewhere, file="plain.csv"), list)
    period = ["score", "--period", "2024-01-01", "2024-01-02", "--out", str(tmp_path / "never"), "--online", redis.url]
    assert run(["-C", str(root), *period]) == 2


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_without_redis_requests_by_key_are_told_to_come_back_and_others_notice_nothing(
    pod: Served, redis: RedisServer, keys: list[str], how: str
) -> None:
    right = pod.until(by_key(*keys[:5]), 200)
    expected, done = pod.ask(plain()), threading.Event()
    seen: dict[str, list[tuple[int, Any, str]]] = {"key": [], "plain": []}

    def load(name: str, document: object) -> None:
        while not done.is_set():
            seen[name].append(pod.ask(document))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            pool.submit(load, "key", by_key(*keys[:5]))
            pool.submit(load, "plain", plain())
        try:
            redis.kill() if how == "kill" else redis.freeze()
            assert _first(seen["key"], "features.failed")[::2] == (503, "1")
            before = len(seen["plain"])
            pod.until(plain(), 200)
            _first_after(seen["plain"], before + 50)
            redis.start() if how == "kill" else redis.thaw()
            assert pod.until(by_key(*keys[:5]), 200) == right
        finally:
            done.set()
            redis.thaw()
    assert {one[0] for one in seen["plain"]} == {200}
    assert all(one == expected for one in seen["plain"])
    assert {one[0] for one in seen["key"]} <= {200, 503}
    assert all(one[1] == right for one in seen["key"] if one[0] == 200)


def _first(seen: list[tuple[int, Any, str]], code: str) -> tuple[int, Any, str]:
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        for one in list(seen):
            if one[1] == code:
                return one
    raise AssertionError("no such answer came")


def _first_after(seen: list[Any], count: int) -> None:
    end = time.monotonic() + SOON_S
    while len(seen) < count:
        assert time.monotonic() < end


def test_a_client_that_does_not_wait_is_told_so_in_time(pod: Served, redis: RedisServer, keys: list[str]) -> None:
    pod.until(by_key(keys[0]), 200)
    redis.freeze()
    try:
        assert pod.ask(by_key(keys[0]), **{"mainspring-timeout-ms": "20"}) == (504, "request.deadline", "1")
    finally:
        redis.thaw()
    pod.until(by_key(keys[0]), 200)


def test_requests_that_wait_are_answered_in_turn_on_their_connection(pod: Served, keys: list[str]) -> None:
    asks = [by_key(keys[0]), plain(), by_key(keys[1]), by_key(keys[2]), plain()]
    expected = [pod.ask(ask)[1] for ask in asks]
    url = urlsplit(pod.url)
    with socket.create_connection((url.hostname, url.port), timeout=SOON_S) as opened_:
        for _ in range(20):
            for ask in asks:
                data = json.dumps(ask).encode()
                head = f"POST {url.path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: "
                opened_.sendall(head.encode() + b"%d\r\n\r\n" % len(data) + data)
            stream = opened_.makefile("rb")
            for wanted in expected:
                assert stream.readline().split()[1] == b"200"
                length = 0
                while (line := stream.readline()) != b"\r\n":
                    name, _, value = line.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                assert json.loads(stream.read(length))["outputs"][0]["data"] == wanted


def test_over_grpc_the_same_answers(pod: Served, keys: list[str]) -> None:
    request = messages.message("inference.ModelInferRequest")(model_name="small")
    tensor = request.inputs.add(name="@key", datatype="BYTES", shape=[5])
    tensor.contents.bytes_contents.extend(key.encode() for key in keys[:5])
    with grpc.insecure_channel(pod.at["grpc"]) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", type(request).SerializeToString,
            messages.message("inference.ModelInferResponse").FromString,
        )  # fmt: skip
        (output,) = infer(request, timeout=SOON_S).outputs
    assert list(output.contents.fp64_contents) == pod.ask(by_key(*keys[:5]))[1]


def test_a_look_brings_features_up_to_date_and_goes_on_without_redis(
    tmp_path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_workspace(tmp_path / "small", rows=60)
    there = PRODUCTION.replace("PORT/3", f"{redis.place.port}/4")
    (folder / "mainspring.yaml").write_text(FILE.replace("environments: {local: {}}\n", there), "utf-8")
    monkeypatch.setenv("ONLINE_PASSWORD", PASSWORD)
    look = ["-C", str(folder), "watch", "--once", "--env", "production"]
    for said in ("rows of features written", "\n0 rows of features written", "not brought up to date"):
        assert run(look) == 0
        told = capsys.readouterr()
        assert said in "\n" + told.err + told.out
        if said.startswith("\n"):
            monkeypatch.setenv("ONLINE_PASSWORD", "wrong-one")
    assert "wrong-one" not in told.err


def rows(value: float, count: int) -> Columns:
    return {
        "key": np.array([f"k{number}" for number in range(count)], dtype=object),
        "at": np.full(count, int(value), dtype=np.int64), "event_time": np.full(count, int(value), dtype=np.int64),
        "x": np.full(count, value), "s": np.array([str(value)] * count, dtype=object),
    }  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
def test_a_reader_never_sees_half_of_a_publication(redis: RedisServer, whole: bool) -> None:
    writer, reader = (OnlineStore(redis.client(), f"atomic/{whole}") for _ in range(2))
    views, count, done = ("a", "b"), 600, threading.Event()
    wanted = {view: [f"k{number}" for number in range(count)] for view in views}
    for view in views:
        writer.write(view, rows(1.0, count), whole=whole)
    writer.publish(dict.fromkeys(views, 1))

    def write() -> None:
        for turn in range(2, 12):
            for view in views:
                writer.write(view, rows(float(turn), count), whole=whole)
            writer.publish(dict.fromkeys(views, turn))
        done.set()

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(write)
        while not ended.done():
            shown = reader.read(wanted, [10**6] * count)
            values = {value for view in views for value in shown[view]["x"].tolist()}
            assert len(values) == 1, values
            seen |= values
        ended.result()
    assert reader.read(wanted, [10**6] * count)["b"]["x"].tolist() == [11.0] * count
    assert len(seen) > 1
    left = redis.client().do("EVAL", "return #redis.call('KEYS', ARGV[1])", 0, f"mainspring:{{atomic/{whole}}}:rows:*")
    assert left == 2 * count


def test_over_tls_the_certificate_counts_and_so_does_the_password(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    port = free_port()
    words = ["--tls-port", str(port), "--tls-cert-file", str(tmp_path / "c.pem"), "--tls-key-file",
             str(tmp_path / "k.pem"), "--tls-auth-clients", "no"]  # fmt: skip
    with running(tmp_path / "tls", *words) as server:
        place = replace(server.place, host="localhost", port=port, secure=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
            assert Client(place, CALM).do("PING")
            with pytest.raises(OnlineUnreachable, match=r"(?i)hostname|mismatch|IP address"):
                Client(replace(place, host="127.0.0.1"), CALM).do("PING")
            with pytest.raises(OnlineUnreachable) as told:
                Client(replace(place, password="wrong-one"), CALM).do("PING")
            assert "wrong-one" not in str(told.value)
        with pytest.raises(OnlineUnreachable, match=r"(?i)certificate"):
            Client(place, CALM).do("PING")


def test_a_dead_redis_is_left_alone_for_a_while(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        client = server.client(Patience(failures=2, rest_s=3600.0))
        assert client.do("PING")
        server.kill()
        for _ in range(2):
            with pytest.raises(OnlineUnreachable, match="did not answer"):
                client.do("PING")
        server.start()
        with pytest.raises(OnlineUnreachable, match="several times"):
            client.do("PING")
