"""The same two rows in every form of every protocol, and what must be refused in each (C3 39 to 60)."""

import json
from typing import Any

from mainspring.serve.protocols import CODECS
from mainspring.serve.questions import Codec, Takes, Wire

WIND, CARRIER = "weather.wind", "schedule.carrier"
TAKES = Takes({WIND: "number", CARRIER: "string"}, frozenset((WIND, CARRIER)), "probability", "flight-delay", 1_000)
NUMBERS = Takes({"a": "number", "b": "number"}, frozenset("ab"), "probability", "flight-delay", 1_000)
JSON, CSV = Wire("application/json"), Wire("text/csv")
WINDS, CARRIERS = [0.5, 2.0], ["AA", "B6"]
ROWS = [[wind, carrier] for wind, carrier in zip(WINDS, CARRIERS, strict=True)]
RECORDS = [{WIND: wind, CARRIER: carrier} for wind, carrier in ROWS]
COLUMNS = {WIND: WINDS, CARRIER: CARRIERS}
NAMES = [WIND, CARRIER]
_HEAD = b"weather.wind,schedule.carrier\n"
_MARKED = b'\xef\xbb\xbf,schedule.carrier,weather.wind\r\n0,"AA",.5\r\n1,B6,2\r\n'


def dumped(document: object) -> bytes:
    return json.dumps(document).encode()


def v2_document(winds: list[Any] = WINDS, carriers: list[Any] = CARRIERS) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": WIND, "shape": [len(winds)], "datatype": "FP64", "data": winds},
            {"name": CARRIER, "shape": [len(carriers)], "datatype": "BYTES", "data": carriers},
        ]
    }


GOOD: dict[str, tuple[Codec, Wire, bytes]] = {
    name: (CODECS[name.partition(" ")[0]], wire, body if isinstance(body, bytes) else dumped(body))
    for name, wire, body in [
        ("v2 tensors", JSON, v2_document()),
        ("v1 rows", JSON, {"instances": ROWS}),
        ("v1 records", JSON, {"instances": RECORDS}),
        ("v1 records in another order", JSON, {"instances": [dict(reversed(record.items())) for record in RECORDS]}),
        ("v1 inputs", JSON, {"inputs": ROWS, "signature_name": "serving_default"}),
        ("seldon ndarray", JSON, {"data": {"ndarray": ROWS}}),
        ("seldon ndarray with names", JSON, {"data": {"names": NAMES[::-1], "ndarray": [row[::-1] for row in ROWS]}}),
        ("seldon jsonData rows", JSON, {"jsonData": ROWS}),
        ("seldon jsonData records", JSON, {"jsonData": RECORDS, "meta": {}}),
        ("seldon jsonData columns", JSON, {"jsonData": COLUMNS}),
        ("mlflow dataframe_split", JSON, {"dataframe_split": {"columns": NAMES, "index": [0, 1], "data": ROWS}}),
        ("mlflow dataframe_split, other order", JSON, {
            "dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}
        }),
        ("mlflow dataframe_split, no names", JSON, {"dataframe_split": {"columns": [0, 1], "data": ROWS}}),
        ("mlflow dataframe_records", JSON, {"dataframe_records": RECORDS}),
        ("mlflow instances", JSON, {"instances": RECORDS}),
        ("mlflow inputs columns", JSON, {"inputs": COLUMNS, "params": {}}),
        ("mlflow inputs rows", JSON, {"inputs": ROWS}),
        ("mlflow csv", CSV, _HEAD + b"0.5,AA\n2.0,B6\n"),
        ("mlflow csv with index and mark", CSV, _MARKED),
    ]
}  # fmt: skip


def scores_of(protocol: str, document: dict[str, Any]) -> list[float]:
    """The scores of an answer."""
    if protocol == "v2":
        return document["outputs"][0]["data"]  # type: ignore[no-any-return]
    if protocol != "seldon":
        return document["predictions"]  # type: ignore[no-any-return]
    data = document["data"]
    return data["tensor"]["values"] if "tensor" in data else [row[0] for row in data["ndarray"]]


def with_rows(protocol: str, winds: list[Any], carriers: list[Any]) -> bytes:
    """The protocol's plainest body of two columns."""
    rows = [list(pair) for pair in zip(winds, carriers, strict=True)]
    documents: dict[str, object] = {
        "v2": v2_document(winds, carriers), "v1": {"instances": rows}, "seldon": {"data": {"ndarray": rows}},
        "mlflow": {"dataframe_split": {"columns": NAMES, "data": rows}},
    }  # fmt: skip
    return dumped(documents[protocol])


def of_every_protocol(protocol: str) -> dict[str, bytes]:
    """Bodies that every protocol must refuse: cases 39, 40, 42 to 48."""
    good = with_rows(protocol, WINDS, CARRIERS)
    half = good.replace(b"0.5", b"%s")
    return {
        **of_json(good, b"0.5", b"AA"),
        "43 text NaN": half % b'"NaN"',
        "47 boolean": half % b"true",
        "48 text for a number": half % b'"0.5"',
        "48 number for a text": good.replace(b'"AA"', b"1"),
        "48 misspelt": good.replace(b"weather.wind", b"weather.winds") if b"weather" in good else half % b'""',
        "50 no rows": with_rows(protocol, [], []),
        "50 too many rows": with_rows(protocol, [1.0] * 1_001, ["AA"] * 1_001),
    }


def of_json(good: bytes, number: bytes, text: bytes) -> dict[str, bytes]:
    """What is wrong with a JSON body whatever it means. number, text: what stands in the good one."""
    first, rest = good[:1], good[1:]
    half = good.replace(number, b"%s")
    digits = {f"45 {count} digits": half % (b"9" * count) for count in (400, 5_000)}
    return {
        "39 empty": b"",
        "39 null": b"null",
        "39 list": b"[]",
        "39 object": b"{}",
        "39 text": b'""',
        "39 number": b"7",
        "39 spaces": b"   ",
        "40 truncated": good[:-3],
        "40 trailing": good + b"x",
        "40 two": good + good,
        "40 comment": b"/* */" + good,
        "40 single quotes": good.replace(b'"', b"'"),
        "41 utf-16": good.decode().encode("utf-16"),
        "41 not utf-8": good.replace(text, b"\xff\xfe"),
        "42 first member twice": first + rest[: rest.index(b":")] + b":1," + rest,
        "42 escaped twin": first + b'"\\u0061":1,"a":2,' + rest,
        "43 NaN": half % b"NaN",
        "43 Infinity": half % b"-Infinity",
        "43 1e999": half % b"1e999",
        "44 depth 1,000": half % (b"[" * 1_000 + b"]" * 1_000),
        "44 depth 100,000": half % (b"[" * 100_000 + b"]" * 100_000),
        "44 only depth": b"[" * 1_000_000,
        "44 deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        **digits,
        "46 lone surrogate": good.replace(text, b"\\ud800"),
        "48 object": half % b"{}",
    }


V1_BAD = {
    "49 instances and inputs": {"instances": ROWS, "inputs": ROWS},
    "49 not a list": {"instances": {"a": 1}},
    "49 ragged": {"instances": [ROWS[0], [1.0]]},
    "49 mixed kinds": {"instances": [ROWS[0], RECORDS[0]]},
    "49 scalars": {"instances": [1.0, 2.0]},
    "49 mixed keys": {"instances": [RECORDS[0], {WIND: 1.0}]},
    "49 text": {"instances": "rows"},
    "49 null": {"instances": None},
    "48 extra": {"instances": [{**RECORDS[0], "x": 1}]},
    "48 missing": {"instances": [{WIND: 1.0}]},
    "49 nested": {"instances": [[[1.0], ["AA"]]]},
    "55 parameter unknown": {"instances": ROWS, "parameters": {"prio": 1}},
    "55 parameters a list": {"instances": ROWS, "parameters": []},
    "member unknown": {"instances": ROWS, "instance": 1},
    "keys too few": {"instances": ROWS, "parameters": {"keys": ["a"]}},
    "keys twice": {"instances": [{**RECORDS[0], "@key": "a"}], "parameters": {"keys": ["a"]}},
}
SELDON_BAD = {
    "57 ndarray and tensor": {"data": {"ndarray": ROWS, "tensor": {"shape": [1, 2], "values": [1, 2]}}},
    "57 values and shape": {"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3]}}},
    "57 tensor of texts": {"data": {"tensor": {"shape": [1, 2], "values": [1, "AA"]}}},
    "57 shape negative": {"data": {"tensor": {"shape": [-1, -2], "values": [1, 2]}}},
    "57 shape wraps": {"data": {"tensor": {"shape": [2**33, 2**31], "values": [1, 2]}}},
    "57 rank 65": {"data": {"tensor": {"shape": [1] * 65, "values": [1]}}},
    "57 shape float": {"data": {"tensor": {"shape": [1.0, 2], "values": [1, 2]}}},
    "57 tftensor": {"data": {"tftensor": {}}},
    "57 no data": {"data": {}},
    "57 data a list": {"data": ROWS},
    "58 strData": {"strData": "AA"},
    "58 binData": {"binData": "!!!"},
    "58 two kinds": {"strData": "AA", "jsonData": ROWS},
    "58 jsonData text": {"jsonData": "x"},
    "58 meta only": {"meta": {}},
    "names too few": {"data": {"names": [WIND], "ndarray": ROWS}},
    "names twice": {"data": {"names": [WIND, WIND], "ndarray": ROWS}},
    "names unknown": {"data": {"names": ["x", "y"], "ndarray": ROWS}},
    "names numbers": {"data": {"names": [1, 2], "ndarray": ROWS}},
    "ragged": {"data": {"ndarray": [ROWS[0], [1.0]]}},
    "flat": {"data": {"ndarray": [1.0, "AA"]}},
    "ndarray text": {"data": {"ndarray": "x"}},
    "puid 1 MB": {"data": {"ndarray": ROWS}, "meta": {"puid": "x" * 1_000_000}},
    "puid newline": {"data": {"ndarray": ROWS}, "meta": {"puid": "a\nb"}},
    "meta a list": {"data": {"ndarray": ROWS}, "meta": [1]},
    "puid number": {"data": {"ndarray": ROWS}, "meta": {"puid": 7}},
    "keys": {"data": {"ndarray": ROWS}, "meta": {"tags": {"keys": 1}}},
    "member unknown": {"data": {"ndarray": ROWS}, "datas": 1},
}
MLFLOW_BAD = {
    "59 row width": {"dataframe_split": {"columns": NAMES, "data": [[1.0]]}},
    "59 columns twice": {"dataframe_split": {"columns": [WIND, WIND], "data": ROWS}},
    "59 mixed keys": {"dataframe_records": [RECORDS[0], {CARRIER: "AA"}]},
    "59 records of rows": {"dataframe_records": ROWS},
    "59 split a list": {"dataframe_split": ROWS},
    "59 split unknown member": {"dataframe_split": {"columns": NAMES, "data": ROWS, "rows": 1}},
    "59 columns numbers": {"dataframe_split": {"columns": [1, 2], "data": ROWS}},
    "60 split and inputs": {"dataframe_split": {"columns": NAMES, "data": ROWS}, "inputs": ROWS},
    "60 params a list": {"inputs": ROWS, "params": [1]},
    "60 params text": {"inputs": ROWS, "params": "x"},
    "60 params unknown": {"inputs": ROWS, "params": {"temperature": 1}},
    "no field": {"params": {}},
    "columns differ": {"inputs": {WIND: [1.0], CARRIER: ["AA", "B6"]}},
    "column a text": {"inputs": {WIND: [1.0], CARRIER: "AA"}},
    "llm": {"messages": []},
    "instances an object": {"instances": COLUMNS},
}
CSV_BAD = {
    "empty": b"",
    "header only": _HEAD + b"",
    "ragged": _HEAD + b"1\n",
    "unclosed": b'weather.wind,schedule.carrier\n1,"AA\n',
    "nul": _HEAD + b"1,A\0A\n",
    "twice": b"weather.wind,weather.wind\n1,2\n",
    "decimal comma": b"weather.wind;schedule.carrier\n1,5;AA\n",
    "text": _HEAD + b"fast,AA\n",
    "inf": _HEAD + b"inf,AA\n",
    "huge": _HEAD + b"1e999,AA\n",
    "underscore": _HEAD + b"1_0,AA\n",
    "not utf-8": _HEAD + b"1,\xff\n",
    "one field of 200 KB": _HEAD + b"1," + b"A" * 200_000,
    "missing column": b"weather.wind\n1\n",
    "extra column": b"weather.wind,schedule.carrier,x\n1,AA,2\n",
    "1,001 rows": _HEAD + b"" + b"1,AA\n" * 1_001,
    "json": b'{"inputs": [[1, "AA"]]}',
}
BAD: dict[str, tuple[str, Wire, bytes]] = {
    **{f"{p}: {n}": (p, JSON, body) for p in CODECS for n, body in of_every_protocol(p).items()},
    **{
        f"{p}: {n}": (p, JSON, dumped(body))
        for p, cases in (("v1", V1_BAD), ("seldon", SELDON_BAD), ("mlflow", MLFLOW_BAD))
        for n, body in cases.items()
    },
    **{f"mlflow csv: {n}": ("mlflow", CSV, body) for n, body in CSV_BAD.items()},
}
