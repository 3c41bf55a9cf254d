"""The 28 bad inputs of inference (C3, cases 39 to 66) for every protocol they apply to, and why others have none.

`CASES[case, protocol]` holds named requests that must be refused; `NOT_FOR[case, protocol]` says why there are none.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tests.unit.serve.bad_requests import BAD_DOCUMENTS
from tests.unit.serve.protocol_kit import (
    CSV_BAD,
    MLFLOW_BAD,
    ROWS,
    SELDON_BAD,
    V1_BAD,
    WIND,
    dumped,
    of_every_protocol,
    of_json,
    with_rows,
)
from tests.unit.serve.serving_kit import MODEL, body

from mainspring.entry.inference.grpc import messages

INFER = f"/v2/models/{MODEL}/infer"
PATHS = {
    "v2": INFER, "v2 binary": INFER, "v1": f"/v1/models/{MODEL}:predict", "seldon": "/api/v1.0/predictions",
    "mlflow": "/invocations", "csv": "/invocations", "labels": "/v1/feedback", "seldon labels": "/api/v1.0/feedback",
    "explain": f"/v1/models/{MODEL}:explain",
}  # fmt: skip
PROTOCOLS = (*PATHS, "grpc")
_OF_HTTP = range(61, 67)
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Post:
    """A request by an ordinary HTTP client."""

    body: bytes
    path: str
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes on a connection, which the server is to close."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A serialized message of gRPC's ModelInfer."""

    message: bytes


Bad = Post | Raw | Call
_LABEL = b'{"prediction_id": "p-2013050106-abcdefghijklmnop.0", "value": 1.0}'
_SELDON_LABEL = (
    b'{"response": {"meta": {"tags": {"prediction_ids": ["p-2013050106-abcdefghijklmnop.0"]}}},'
    b' "truth": {"data": {"ndarray": [[1.0]]}}}'
)
_HEAD = b"weather.wind,schedule.carrier\n"
_CSV_CASES = {
    "39 empty": b"", "39 number": b"7", "39 JSON": b"{}", "40 cut in a text": _HEAD + b'1,"A',
    "40 two": (_HEAD + b"1,AA\n") * 2,
    "41 utf-16": (_HEAD + b"1,AA\n").decode().encode("utf-16"), "41 not utf-8": CSV_BAD["not utf-8"],
    "43 inf": CSV_BAD["inf"], "43 1e999": CSV_BAD["huge"], "45 400 digits": _HEAD + b"9" * 400 + b",AA\n",
    "45 5,000 digits": _HEAD + b"9" * 5_000 + b",AA\n", "46 lone surrogate": _HEAD + b"1,\xed\xa0\x80\n",
    "47 boolean": _HEAD + b"true,AA\n", "48 missing": CSV_BAD["missing column"], "48 extra": CSV_BAD["extra column"],
    "48 text": CSV_BAD["text"], "50 no rows": CSV_BAD["header only"], "50 too many": _HEAD + b"1,AA\n" * 100_001,
    "59 ragged": CSV_BAD["ragged"], "59 twice": CSV_BAD["twice"],
}  # fmt: skip
_V2_CASES: dict[int, tuple[str, ...]] = {
    39: ("empty", "null", "list", "object", "string", "number", "spaces"),
    40: ("truncated", "trailing", "two documents", "comment", "single quotes"),
    41: ("utf-16", "bom", "invalid utf-8", "nul"),
    42: ("duplicate inputs", "duplicate data", "duplicate name, escaped", "duplicate parameter"),
    43: ("nan", "infinity", "1e999", "nan text"),
    44: ("depth 1,000", "depth 1,000,000", "deep data", "deep object"),
    45: ("400 digits", "5,000 digits"),
    46: ("lone surrogate",),
    47: ("boolean as number", "bool number", "bool null"),
    48: ("missing input", "misspelt input", "extra input", "input null", "data null", "text as number"),
    51: ("shape and data differ", "shape negative", "shape zero", "shape float", "shape empty", "shape missing"),
    52: ("rank 65", "shape huge", "shape product wraps", "shape beyond 64 bit", "datatype unknown",
         "datatype lower case"),
    53: ("mixed nesting", "ragged", "nested twice", "int8 300", "uint8 -1", "int beyond 2**53", "bytes holds a number"),
    54: ("same name twice", "name missing", "name empty", "output unknown", "outputs an object"),
    55: ("parameter unknown", "parameter nested", "parameter huge", "id 1 MB", "id with newline", "id a number"),
}  # fmt: skip


def _posts(protocol: str, bodies: Mapping[str, bytes], headers: Mapping[str, str] = _JSON) -> dict[str, Bad]:
    return {name: Post(data, PATHS[protocol], headers) for name, data in bodies.items()}


def _of_v2() -> Iterator[tuple[int, str, str, Bad]]:
    for case, names in _V2_CASES.items():
        for name in names:
            data = BAD_DOCUMENTS[name]
            yield case, "v2", name, Post(data, INFER)
            length = {"Inference-Header-Content-Length": str(len(data))}
            yield case, "v2 binary", name, Post(data, INFER, {"Content-Type": "application/octet-stream", **length})
    for rows in (0, 100_001):
        yield 50, "v2", f"{rows} rows", Post(with_rows("v2", [1.0] * rows, ["AA"] * rows), INFER)
    for name, bad in _binary().items():
        yield int(name[:2]), "v2 binary", name, bad


def _binary() -> dict[str, Bad]:
    """What only bytes behind a JSON head can say."""
    wind, carrier = np.array([0.0, 0.5]).tobytes(), b"\2\0\0\0AA" * 2

    def sent(first: bytes, second: bytes, rows: int = 2, datatype: str = "FP64", said: int | None = None) -> Bad:
        sizes = (len(first) if said is None else said, len(second))
        document = body(rows)
        for tensor, size in zip(document["inputs"], sizes, strict=True):
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": size}
        document["inputs"][0]["datatype"] = datatype
        head = dumped(document)
        length = {"Inference-Header-Content-Length": str(len(head))}
        return Post(head + first + second, INFER, {"Content-Type": "application/octet-stream", **length})

    return {
        "40 bytes cut": sent(wind, carrier[:-1]),
        "40 bytes behind": sent(wind + b"x", carrier, said=16),
        "43 infinity": sent(np.array([np.inf, 1]).tobytes(), carrier),
        "46 lone surrogate": sent(wind, b"\3\0\0\0\xed\xa0\x80" * 2),
        "47 bool 2": sent(b"\2\1", carrier, datatype="BOOL"),
        "50 no rows": sent(b"", b"", rows=0),
        "50 too many rows": sent(bytes(8 * 100_001), carrier, rows=100_001),
        "51 size and shape": sent(wind[:8], carrier),
        "51 size negative": sent(wind, carrier, said=-1),
        "51 size huge": sent(wind, carrier, said=2**70),
        "53 bytes not UTF-8": sent(wind, b"\2\0\0\0\xff\xfe" * 2),
        "53 text longer than the body": sent(wind, b"\xff\xff\xff\x7fAA\2\0\0\0AA"),
        "53 INT64 beyond 2**53": sent(np.array([2**60, 1]).tobytes(), carrier, datatype="INT64"),
    }


def _of_rows() -> Iterator[tuple[int, str, str, Bad]]:
    for protocol, own in (("v1", V1_BAD), ("seldon", SELDON_BAD), ("mlflow", MLFLOW_BAD), ("explain", V1_BAD)):
        every = of_every_protocol("v1" if protocol == "explain" else protocol)
        rows = 100_001
        every["50 too many rows"] = with_rows("v1" if protocol == "explain" else protocol, [1.0] * rows, ["AA"] * rows)
        found = {**every, **{name: dumped(document) for name, document in own.items()}}
        yield from _numbered(protocol, found)
    yield from _numbered("csv", _CSV_CASES, {"Content-Type": "text/csv"})
    deep = b'{"jsonData": ' + b'{"a": ' * 5_000 + b"1" + b"}" * 5_001
    yield from _numbered("seldon", {"58 jsonData deep": deep, "58 binData": dumped({"binData": "!!!"})})
    many = {"labels": [json.loads(_LABEL)] * 10_001}
    for protocol, good in (("labels", _LABEL), ("seldon labels", _SELDON_LABEL)):
        yield from _numbered(protocol, of_json(good, b"1.0", b"abcdefghijklmnop"))
    yield from _numbered("labels", {"50 none": b'{"labels": []}', "50 too many": dumped(many)})
    truth = {"response": {"meta": {"puid": "p-2013050106-abcdefghijklmnop"}}, "truth": {"data": {"ndarray": []}}}
    yield from _numbered("seldon labels", {"50 none": dumped(truth)})
    truth["truth"] = {"data": {"ndarray": [1.0] * 10_001}}
    yield from _numbered("seldon labels", {"50 too many": dumped(truth)})


def _numbered(
    protocol: str, found: Mapping[str, bytes], headers: Mapping[str, str] = _JSON
) -> Iterator[tuple[int, str, str, Bad]]:
    for name, bad in _posts(protocol, found, headers).items():
        if name[:2].isdigit():
            yield int(name[:2]), protocol, name, bad


def grpc_message(**changes: Any) -> Any:  # noqa: ANN401 - protobuf makes the class
    """Return a good infer message; changes: fields of its first tensor."""
    made = messages.message("inference.ModelInferRequest")(model_name=MODEL)
    first = {"name": WIND, "datatype": "FP64", "shape": [1], **changes}
    values = first.pop("values", {"fp64_contents": [0.5]})
    made.inputs.add(**first).contents.MergeFrom(messages.message("inference.InferTensorContents")(**values))
    second = made.inputs.add(name="schedule.carrier", datatype="BYTES", shape=[1])
    second.contents.bytes_contents.append(b"AA")
    return made


def _of_grpc() -> Iterator[tuple[int, str, str, Bad]]:
    good = grpc_message().SerializeToString()
    changed: dict[str, Any] = {
        "43 infinity": grpc_message(values={"fp64_contents": [float("inf")]}),
        "45 beyond 2**53": grpc_message(datatype="INT64", values={"int64_contents": [2**60]}),
        "47 booleans": grpc_message(values={"bool_contents": [True]}),
        "48 misspelt": grpc_message(name="weather.winds"),
        "48 no values": grpc_message(values={}),
        "50 no rows": grpc_message(shape=[0], values={}),
        "50 too many rows": grpc_message(shape=[100_001], values={"fp64_contents": [0.5] * 100_001}),
        "51 shape and data": grpc_message(shape=[2]), "51 negative": grpc_message(shape=[-1]),
        "51 empty": grpc_message(shape=[]),
        "52 rank 65": grpc_message(shape=[1] * 65), "52 huge": grpc_message(shape=[2**62, 4]),
        "52 unknown": grpc_message(datatype="FP128"), "52 lower case": grpc_message(datatype="fp64"),
        "53 INT8 300": grpc_message(datatype="INT8", values={"int_contents": [300]}),
        "53 two kinds of contents": grpc_message(values={"fp64_contents": [0.5], "int_contents": [1]}),
        "53 UINT8 300": grpc_message(datatype="UINT8", values={"uint_contents": [300]}),
        "54 name empty": grpc_message(name=""), "54 same name": grpc_message(name="schedule.carrier"),
    }  # fmt: skip
    more: Mapping[str, dict[str, Any]] = {
        "54 output unknown": {"outputs": [{"name": "label"}]},
        "55 id 1 MB": {"id": "x" * 1_000_000},
        "55 id with newline": {"id": "a\nb"},
        "56 version 0": {"model_version": "0"},
        "56 version -1": {"model_version": "-1"},
        "56 version 9": {"model_version": "9"},
        "56 version latest/../x": {"model_version": "latest/../x"},
        "65 unknown": {"model_name": "nobody"},
        "65 slash": {"model_name": f"{MODEL}/../x"},
        "65 long": {"model_name": "x" * 10_000},
    }
    for name, fields in more.items():
        changed[name] = grpc_message()
        changed[name].MergeFrom(messages.message("inference.ModelInferRequest")(**fields))
    changed["55 parameter unknown"] = grpc_message()
    changed["55 parameter unknown"].parameters["prio"].int64_param = 1
    for text, raw in (("46 lone surrogate", b"\xed\xa0\x80"), ("53 not UTF-8", b"\xff\xfe")):
        changed[text] = grpc_message()
        changed[text].inputs[1].contents.bytes_contents[0] = raw
    whole = {name: one.SerializeToString() for name, one in changed.items()}
    whole |= {
        "39 empty": b"", "39 JSON": dumped(body(1)), "40 truncated": good[:-3], "40 trailing": good + b"\x07",
        "40 two": good + good, "44 deep groups": b"\x0b" * 100_000, "44 deep in the middle": good + b"\x0b" * 1_000,
        "46 name not UTF-8": good.replace(b"weather.wind", b"weather.\xed\xa0\x80d"),
    }  # fmt: skip
    for name, message in whole.items():
        yield int(name[:2]), "grpc", name, Call(message)


def _of_http() -> Iterator[tuple[int, str, str, Bad]]:
    for protocol, path in PATHS.items():
        for case, name, bad in _http(path, "text/csv" if protocol == "csv" else "application/json"):
            yield case, protocol, name, bad
    for protocol, place in _MODELS.items():
        for name in _STRANGERS:
            yield 65, protocol, name[:20], Post(dumped(body()), place % name)
    for name in ("ns%2Fx/dep", "../..", "a/%00", "a/" + "x" * 9_000):
        path = f"/seldon/{name}/api/v1.0/"
        yield 65, "seldon", name[:20], Post(dumped({"data": {"ndarray": ROWS}}), f"{path}predictions")
        yield 65, "seldon labels", name[:20], Post(_SELDON_LABEL, f"{path}feedback")
    for protocol in ("v2", "v2 binary"):
        for version in ("0", "-1", "9", "latest", "latest/../1", "1.0", "9" * 40):
            yield 56, protocol, version[:9], Post(dumped(body()), f"/v2/models/{MODEL}/versions/{version}/infer")


def _http(path: str, media: str) -> Iterator[tuple[int, str, Bad]]:
    data = dumped(body())
    kinds = ("text/plain", "application/x-www-form-urlencoded", f"{media}; charset=utf-16", "application/x-pickle")
    for kind in kinds:
        yield 41, kind, Post(data, path, {"Content-Type": kind})
    bomb = gzip.compress(bytes(20 << 20))
    for name, packed in {"gzip": bomb, "gzip, gzip": gzip.compress(bomb), "br": b"\x0b\x02\x80", "zstd": b"x"}.items():
        yield 61, name, Post(packed, path, {"Content-Type": media, "Content-Encoding": name})
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {media}\r\n".encode()
    length = b"Content-Length: %d\r\n\r\n" % len(data)
    yield 41, "two", Raw(head + b"Content-Type: text/plain\r\n" + length + data)
    for case, text, sent in (
        (62, "missing", b"\r\n"), (62, "too short", b"Content-Length: 10\r\n\r\n" + data),
        (62, "too long", b"Content-Length: 9999\r\n\r\n" + data),
        (62, "negative", b"Content-Length: -1\r\n\r\n" + data),
        (62, "beyond 64 bit", b"Content-Length: 99999999999999999999\r\n\r\n" + data),
        (62, "above the limit", b"Content-Length: 999999999\r\n\r\n" + data),
        (62, "two lengths", b"Content-Length: 5\r\n" + length + data),
        (62, "chunk overflow", b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n"),
        (62, "length and chunked", b"Transfer-Encoding: chunked\r\n" + length + data),
        (63, "64 KB line", b"X: " + b"a" * 70_000 + b"\r\n" + length + data),
        (63, "10,000 headers", b"X: 1\r\n" * 10_000 + length + data),
        (63, "NUL", b"X: a\x00b\r\n" + length + data),
        (66, "Expect, then silence", b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n"),
    ):  # fmt: skip
        yield case, text, Raw(head + sent)
    yield 63, "bare LF", Raw(head.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}")
    for method in ("GET", "DELETE", "TRACE", "PUT"):
        yield 64, method, Post(b"", path, method=method)
    yield 64, "FOO", Raw(head.replace(b"POST", b"FOO", 1) + length + data)
    yield 64, "HTTP/0.9", Raw(f"POST {path}\r\n\r\n".encode())
    yield 64, "100 KB path", Raw(b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    for tail in ("%00", "%ff"):
        yield 64, tail, Post(data, path + tail, {"Content-Type": media})
    for upgrade in ("h2c", "websocket"):
        yield 66, upgrade, Post(b"", path, {"Connection": "Upgrade", "Upgrade": upgrade}, "GET")


_MODELS = {
    "v2": "/v2/models/%s/infer", "v2 binary": "/v2/models/%s/infer", "v1": "/v1/models/%s:predict",
    "explain": "/v1/models/%s:explain", "labels": "/v1/models/%s:feedback",
}  # fmt: skip
_STRANGERS = ("nobody", f"{MODEL}%2F", "../../etc/passwd", "./x", "%00", "%ff", "x" * 9_000, "%252e%252e%252f")
CASES: dict[tuple[int, str], dict[str, Bad]] = {}
for _case, _protocol, _name, _bad in (*_of_v2(), *_of_rows(), *_of_grpc(), *_of_http()):
    CASES.setdefault((_case, _protocol), {})[_name] = _bad

_ROWS_ALONE = ("v1", "seldon", "mlflow", "csv", "explain", "labels", "seldon labels")
_LABELS = ("labels", "seldon labels")
_REASONS: tuple[tuple[tuple[int, ...], tuple[str, ...], str], ...] = (
    ((49,), ("v2", "v2 binary", "grpc", "seldon", "mlflow", "csv", *_LABELS), "instances are V1's (MLflow: 59)"),
    ((51, 52, 53, 54), _ROWS_ALONE, "they carry no shapes, datatypes, named tensors or outputs (Seldon's tensor: 57)"),
    ((55,), ("seldon", "mlflow", "csv", *_LABELS), "no V2 parameters or id; MLflow's params: 60, Seldon's meta: 58"),
    ((56,), _ROWS_ALONE, "their paths name no version"),
    ((57, 58), tuple(p for p in PROTOCOLS if p != "seldon"), "Seldon's message alone has these members"),
    ((59,), tuple(p for p in PROTOCOLS if p not in ("mlflow", "csv")), "data frames are MLflow's"),
    ((60,), tuple(p for p in PROTOCOLS if p != "mlflow"), "dataframe_split and params are members of MLflow's JSON"),
    ((42, 44), ("csv",), "CSV has columns (twice: 59), no members and no nesting"),
    ((42,), ("grpc",), "protocol buffers: the last value of a field counts, as their specification says"),
    ((41, 61, 62, 63, 64, 66), ("grpc",), "HTTP/2 framing, compression and media types are the gRPC library's"),
    ((47,), _LABELS, "a label may be true or false"),
    ((65,), ("mlflow", "csv"), "their path names no model"),
)  # fmt: skip
NOT_FOR = {(case, protocol): why for cases, protocols, why in _REASONS for case in cases for protocol in protocols}
