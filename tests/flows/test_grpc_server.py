"""The gRPC port on a real socket: right answers, right refusals, one log with HTTP, and an orderly end."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
import pytest
from tests.flows.test_fast_path import wait_until
from tests.unit.serve.serving_kit import MODEL, BrokenEngine, Parts, RunningServer, body, running
from tests.unit.serve.test_serve_quick import Least, numeric

from mainspring.adapters.files.tokens import TokenFile
from mainspring.app.access import TokenDesk
from mainspring.entry.inference.binding import Address, InsecureBind, Listening
from mainspring.entry.inference.grpc import messages
from mainspring.entry.inference.grpc.quick import QuickCalls
from mainspring.entry.inference.grpc.services import ADMIN, PUBLIC
from mainspring.kernel.times import SECOND
from mainspring.security.tokens import RANDOM_BYTES, Token, Wanted, issue

AT = Listening(grpc=Address(), drain_s=0.1, poll_s=0.05)
InferRequest = messages.message("inference.ModelInferRequest")
InferResponse = messages.message("inference.ModelInferResponse")
Message = Any  # protobuf makes the classes


class Client:
    """Calls one server by method name."""

    def __init__(self, address: str, token: str = "") -> None:
        self._channel = grpc.insecure_channel(address)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def __call__(
        self, method: str, request: Message, service: str = messages.INFERENCE, timeout: float = 20.0
    ) -> bytes:
        call = self._channel.unary_unary(f"/{service}/{method}", lambda r: r.SerializeToString(), bytes)
        found: bytes = call(request, timeout=timeout, metadata=self._metadata)
        return found

    def infer(self, request: Message, timeout: float = 20.0) -> Message:
        return InferResponse.FromString(self("ModelInfer", request, timeout=timeout))

    def refused(self, method: str, request: Message, service: str = messages.INFERENCE) -> tuple[str, str]:
        """Return (status, our code) of a call that must fail."""
        with pytest.raises(grpc.RpcError) as told:
            self(method, request, service)
        trailers = dict(told.value.trailing_metadata() or ())
        return told.value.code().name, trailers.get("code", "")

    def close(self) -> None:
        self._channel.close()


def question(rows: int = 2, raw: bool = False, **more: object) -> Message:
    request = InferRequest(model_name=MODEL, **more)
    wind, carrier = [0.5 * row for row in range(rows)], [b"AA"] * rows
    first = request.inputs.add(name="weather.wind", datatype="FP64", shape=[rows])
    second = request.inputs.add(name="schedule.carrier", datatype="BYTES", shape=[rows, 1])
    if raw:
        request.raw_input_contents.append(np.array(wind, "<f8").tobytes())
        request.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in carrier))
    else:
        first.contents.fp64_contents.extend(wind)
        second.contents.bytes_contents.extend(carrier)
    return request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("grpc"), listening=AT) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    found = Client(server.at.grpc)
    yield found
    found.close()


@pytest.mark.parametrize("raw", [False, True])
def test_an_answer_is_that_of_http_and_is_logged_once(server: RunningServer, client: Client, raw: bool) -> None:
    status, document = server.infer(body(2))
    assert status == 200
    answer = client.infer(question(raw=raw, id="mine"))
    output = answer.outputs[0]
    scores = np.frombuffer(answer.raw_output_contents[0], "<f8") if raw else np.array(output.contents.fp64_contents)
    assert scores.tolist() == document["outputs"][0]["data"]
    assert (answer.id, answer.model_version, list(output.shape)) == ("mine", "1", [2])
    first, second = answer.parameters["prediction_ids"].string_param.split(",")
    assert first.rpartition(".")[0] == second.rpartition(".")[0]
    assert answer.parameters["versions"].string_param == "1,1"


def test_probes_and_metadata(client: Client) -> None:
    live = messages.message("inference.ServerLiveResponse").FromString(client("ServerLive", InferRequest()))
    ready = messages.message("inference.ServerReadyResponse").FromString(client("ServerReady", InferRequest()))
    assert (live.live, ready.ready) == (True, True)
    named = messages.message("inference.ModelReadyRequest")(name=MODEL, version="1")
    assert messages.message("inference.ModelReadyResponse").FromString(client("ModelReady", named)).ready
    about = messages.message("inference.ModelMetadataResponse").FromString(client("ModelMetadata", named))
    assert [(i.name, i.datatype, list(i.shape)) for i in about.inputs] == [
        ("weather.wind", "FP64", [-1]), ("schedule.carrier", "BYTES", [-1]),
    ]  # fmt: skip
    assert (about.name, list(about.versions)) == (MODEL, ["1"])
    server = messages.message("inference.ServerMetadataResponse").FromString(client("ServerMetadata", InferRequest()))
    assert (server.name, list(server.extensions)) == ("mainspring", ["binary_tensor_data", "classification"])


def test_health_and_reflection(client: Client, server: RunningServer) -> None:
    check = messages.message("grpc.health.v1.HealthCheckRequest")
    answer = messages.message("grpc.health.v1.HealthCheckResponse")
    for service in ("", messages.INFERENCE):
        assert answer.FromString(client("Check", check(service=service), messages.HEALTH)).status == 1
    assert client.refused("Check", check(service="nope"), service=messages.HEALTH)[0] == "NOT_FOUND"
    asked = messages.message("grpc.reflection.v1.ServerReflectionRequest")
    told = messages.message("grpc.reflection.v1.ServerReflectionResponse")
    with grpc.insecure_channel(server.at.grpc) as channel:
        call = channel.stream_stream(
            f"/{messages.REFLECTION}/ServerReflectionInfo", lambda r: r.SerializeToString(), told.FromString
        )
        answers = list(call(iter([
            asked(list_services="*"), asked(file_containing_symbol=messages.INFERENCE),
            asked(file_by_filename="health.proto"), asked(file_containing_symbol="no.such"),
            asked(file_containing_symbol=f"{messages.INFERENCE}.ModelInfer"),
            asked(file_containing_symbol=f"{messages.INFERENCE}.NoSuch"),
        ])))  # fmt: skip
    assert {item.name for item in answers[0].list_services_response.service} == set(messages.SERVICES)
    assert b"ModelInferRequest" in answers[1].file_descriptor_response.file_descriptor_proto[0]
    assert b"HealthCheck" in answers[2].file_descriptor_response.file_descriptor_proto[0]
    assert [answers[number].error_response.error_code for number in (3, 5)] == [5, 5]
    assert answers[4].file_descriptor_response == answers[1].file_descriptor_response


def wind(request: Message) -> Message:
    return request.inputs[0]


def half_raw(request: Message) -> None:
    del wind(request).contents.fp64_contents[:]
    request.raw_input_contents.append(b"\0" * 16)


BAD: dict[str, Callable[[Message], object]] = {
    "no inputs": lambda r: r.ClearField("inputs"),
    "datatype": lambda r: setattr(wind(r), "datatype", "fp64"),
    "other contents": lambda r: wind(r).contents.int64_contents.append(1),
    "raw and typed": lambda r: r.raw_input_contents.extend([b"", b""]),
    "raw count": half_raw,
    "infinite": lambda r: wind(r).contents.fp64_contents.__setitem__(0, float("inf")),
    "ragged": lambda r: wind(r).contents.fp64_contents.append(1.0),
    "negative shape": lambda r: wind(r).shape.__setitem__(0, -2),
    "rank": lambda r: wind(r).shape.extend([1] * 64),
    "no utf-8": lambda r: r.inputs[1].contents.bytes_contents.__setitem__(0, b"\xff"),
    "half precision typed": lambda r: setattr(wind(r), "datatype", "FP16"),
    "unknown output": lambda r: r.outputs.add(name="nope"),
    "unknown parameter": lambda r: setattr(r.parameters["nope"], "string_param", "x"),
    "twice": lambda r: r.inputs.append(wind(r)),
    "missing": lambda r: r.inputs.pop(),
    "long id": lambda r: setattr(r, "id", "x" * 10_000),
}


@pytest.mark.parametrize("change", BAD)
def test_a_bad_request_is_an_invalid_argument_with_a_code(client: Client, change: str) -> None:
    request = question()
    BAD[change](request)
    status, code = client.refused("ModelInfer", request)
    assert status == "INVALID_ARGUMENT"
    assert code.startswith("request.")
    assert client.infer(question()).model_name == MODEL


def test_unknown_models_versions_and_calls(client: Client) -> None:
    for request in (InferRequest(model_name="nope"), InferRequest(model_name="../x"), question(model_version="9")):
        assert client.refused("ModelInfer", request) == ("NOT_FOUND", "model.unknown")
    for version in ("0", "-1", "latest", "1e3", "٣"):
        assert client.refused("ModelInfer", question(model_version=version)) == ("NOT_FOUND", "model.unknown")
    assert client.refused("RepositoryIndex", InferRequest())[0] == "UNIMPLEMENTED"
    assert client.refused("Nope", InferRequest())[0] == "UNIMPLEMENTED"


def test_bytes_that_are_no_message_are_refused(server: RunningServer) -> None:
    with grpc.insecure_channel(server.at.grpc) as channel:
        call = channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer", bytes, bytes)
        with pytest.raises(grpc.RpcError) as told:
            call(b"\xff\xff\xff", timeout=20)
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_calls_at_once_are_each_answered_and_logged(server: RunningServer, client: Client) -> None:
    before = json.loads(server.ask("GET", "/admin/state", admin=True)[2])["requests"]
    ids: list[str] = []

    def ask() -> None:
        ids.extend(client.infer(question(1)).parameters["prediction_ids"].string_param for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 300
    assert json.loads(server.ask("GET", "/admin/state", admin=True)[2])["requests"] == before + 300


def test_a_failing_model_is_told_without_its_inside(tmp_path: Path) -> None:
    parts = Parts()

    def fail(_: object) -> NoReturn:
        raise ValueError("secret detail")

    parts.models.add(1, BrokenEngine(fail, shift=0.0))
    with running(tmp_path, parts, AT) as found:
        client = Client(found.at.grpc)
        with pytest.raises(grpc.RpcError) as told:
            client("ModelInfer", question(1))
        client.close()
    assert told.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(told.value.details())


class Tokens:
    """A fixed list of tokens."""

    def __init__(self, *tokens: Token) -> None:
        self._tokens = tokens

    def read(self) -> tuple[Token, ...]:
        return self._tokens


def test_keys_count_as_over_http(tmp_path: Path) -> None:
    secret, token = issue(Wanted(name="app", roles=("predict",)), random=bytes(range(RANDOM_BYTES)), now=SECOND)
    with running(tmp_path, listening=AT, tokens=Tokens(token)) as found:
        nobody, app = Client(found.at.grpc), Client(found.at.grpc, secret)
        assert nobody.refused("ModelInfer", question())[0] == "UNAUTHENTICATED"
        assert app.infer(question()).model_name == MODEL
        named = messages.message("inference.ModelMetadataRequest")(name=MODEL)
        assert app.refused("ModelMetadata", named)[0] == "PERMISSION_DENIED"
        assert nobody("ServerLive", InferRequest())
        nobody.close()
        app.close()


def test_an_address_that_others_reach_needs_a_key(tmp_path: Path) -> None:
    from tests.unit.serve.serving_kit import RealClock

    from mainspring.entry.inference.access import KeyRing, NoTokens
    from mainspring.entry.inference.binding import check_addresses

    with pytest.raises(InsecureBind):
        check_addresses(Listening(grpc=Address(host="0.0.0.0")), KeyRing(NoTokens(), RealClock()))


def test_every_call_of_the_services_has_a_policy() -> None:
    for table in (PUBLIC, ADMIN):
        assert all(policy for calls in table.values() for policy, _ in calls.values())
    declared = set(messages.POOL.FindServiceByName(messages.INFERENCE).methods_by_name)
    assert set(PUBLIC[messages.INFERENCE]) | set(ADMIN[messages.INFERENCE]) == declared
    assert not set(PUBLIC[messages.INFERENCE]) & set(ADMIN[messages.INFERENCE])


def test_the_model_repository_answers_on_the_loopback_port_alone(tmp_path: Path) -> None:
    with running(tmp_path, listening=AT) as found:
        public, admin = Client(found.at.grpc), Client(found.at.grpc_admin)
        named = messages.message("inference.RepositoryModelLoadRequest")(model_name=MODEL)
        index = messages.message("inference.RepositoryIndexResponse")
        asked = messages.message("inference.RepositoryIndexRequest")()
        rows = [(m.name, m.version, m.state) for m in index.FromString(admin("RepositoryIndex", asked)).models]
        assert rows == [(MODEL, "1", "READY")]
        admin("RepositoryModelUnload", named)
        assert public.refused("ModelInfer", question())[0] == "UNAVAILABLE"
        asked.ready = True
        assert list(index.FromString(admin("RepositoryIndex", asked)).models) == []
        admin("RepositoryModelLoad", named)
        assert public.infer(question()).model_name == MODEL
        assert admin.refused("ModelInfer", question())[0] == "UNIMPLEMENTED"
        assert public.refused("RepositoryModelUnload", named)[0] == "UNIMPLEMENTED"
        public.close()
        admin.close()


def row(values: Sequence[float] = (0.5, 1.5, 2.5), raw: bool = False, **more: object) -> Message:
    request = InferRequest(model_name=MODEL, **more)
    tensor = request.inputs.add(name="x", datatype="FP64", shape=[1, len(values)])
    if raw:
        request.raw_input_contents.append(np.array(values, "<f8").tobytes())
    else:
        tensor.contents.fp64_contents.extend(values)
    return request


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of a model of numbers alone: its single rows are scored on the calls' own threads."""
    with running(tmp_path_factory.mktemp("numbers"), numeric(Least()), AT) as found:
        yield found


def told(client: Client, request: Message) -> tuple[object, ...]:
    """Return what a call says, but for the prediction ids."""
    try:
        answer = client.infer(request)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    ids = answer.parameters["prediction_ids"].string_param
    assert re.fullmatch(r"p-\d{10}-[a-z2-7]{16}\.0(,.*)?", ids)
    answer.parameters["prediction_ids"].string_param = ""
    return (str(answer),)


ROWS: dict[str, Message] = {
    "typed": row(), "raw": row(raw=True), "an id": row(id="mine"), "an id, raw": row(id="mine", raw=True),
    "zeros": row([0.0, 0.0, 0.0]), "one value": row([1.0, 1.0, 1.0]), "missing": row([0.5, float("nan"), 1]),
    "infinite": row([0.5, float("inf"), 1]), "too few": row([0.5, 1.5]), "its version": row(model_version="1"),
    "another version": row(model_version="7"), "an unprintable id": row(id="a\x01"), "a long id": row(id="a" * 257),
    "large": row([1e308, 1e308, -1e308]), "two rows": question(),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_the_short_way_says_what_the_long_way_says(
    numbers: RunningServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, changed = Client(numbers.at.grpc), InferRequest.FromString(ROWS[name].SerializeToString())
    if name == "typed":
        changed.inputs[0].contents.fp64_contents[0] = 0.25
    here = [told(client, ROWS[name]), told(client, changed), told(client, ROWS[name])]
    monkeypatch.setattr(QuickCalls, "answer", lambda *_: None)
    there = [told(client, ROWS[name]), told(client, changed)]
    client.close()
    assert here == [there[0], there[1], there[0]]


def test_numbers_that_stand_elsewhere_too_are_told_from_the_row(numbers: RunningServer) -> None:
    """The name is the row's own bytes: what surrounds them must not be taken for the numbers of the next request."""
    client, text = Client(numbers.at.grpc), "@" * 8 + "A" * 8 + "B" * 8
    values = np.frombuffer(text.encode(), "<f8").tolist()
    for raw in (False, True):
        for first, name in ((values, text), ([1.0, 2.0, 3.0], text), (values, "C" * 24)):
            request = row(first, raw)
            request.inputs[0].name = name
            answer = client.infer(request)
            found = answer.raw_output_contents
            score = np.frombuffer(found[0])[0] if found else answer.outputs[0].contents.fp64_contents[0]
            assert score == min(first)
    client.close()


def test_calls_at_once_are_each_counted_and_logged_once(tmp_path: Path) -> None:
    with running(tmp_path, numeric(), AT) as server:
        server.infer({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [0.5, 1.5, 2.5]}]})
        ids = list[str]()

        def ask() -> None:
            client = Client(server.at.grpc)
            ids.extend(client.infer(row()).parameters["prediction_ids"].string_param for _ in range(50))
            client.close()

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(set(ids)) == 300
        client = server.client()
        assert (client.flush()["rows"], client.state()["requests"]) == (301, 301)
        client.close()
        _, _, text = server.ask("GET", "/metrics")
        wanted = {"requests_total": 301, "rows_total": 301, "request_seconds_count": 301}
        for name, value in wanted.items():
            assert f'mainspring_{name}{{model="{MODEL}"}} {value}.0'.encode() in text
        assert f'mainspring_version_rows_total{{model="{MODEL}",version="1"}} 301.0'.encode() in text
        server.parts.releases.set(2)
        asked = Client(server.at.grpc)
        wait_until(lambda: asked.infer(row()).model_version == "2")
        asked.close()


def test_a_key_that_does_not_count_is_refused_before_the_short_way(tmp_path: Path) -> None:
    made = TokenDesk(tmp_path).create(Wanted(name="a"))
    with running(tmp_path / "log", numeric(), AT, tokens=TokenFile(tmp_path / ".mainspring")) as server:
        for presented, code in ((made.secret, ""), ("", "UNAUTHENTICATED"), (made.secret[:-1], "UNAUTHENTICATED")):
            client = Client(server.at.grpc, presented)
            for _ in range(2):
                assert code in str(told(client, row())[0])
            client.close()
        client = Client(server.at.grpc, made.secret)
        TokenDesk(tmp_path).revoke("a")
        wait_until(lambda: told(client, row())[0] == "UNAUTHENTICATED")
        client.close()
