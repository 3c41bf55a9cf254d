"""Bad V2 bodies by name (the C3 table) and a seeded mutator: every one must be a 4xx."""

import json
import random
from collections.abc import Callable
from typing import Any

from tests.unit.serve.serving_kit import body


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = body(2)
    change(document)
    return json.dumps(document).encode()


def _first(**fields: object) -> bytes:
    return _changed(lambda document: document["inputs"][0].update(fields))


def _second(**fields: object) -> bytes:
    return _changed(lambda document: document["inputs"][1].update(fields))


def _top(**fields: object) -> bytes:
    return _changed(lambda document: document.update(fields))


GOOD = json.dumps(body(2)).encode()
_WIND = b'"data": [0.0, 0.5]'

BAD_DOCUMENTS: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "string": b'""',
    "number": b"7",
    "spaces": b"   ",
    "truncated": GOOD[:-3],
    "trailing": GOOD + b"x",
    "two documents": GOOD + GOOD,
    "comment": b"/* */" + GOOD,
    "single quotes": GOOD.replace(b'"', b"'"),
    "utf-16": GOOD.decode().encode("utf-16"),
    "bom": b"\xef\xbb\xbf" + GOOD,
    "invalid utf-8": GOOD.replace(b"AA", b"\xff\xfe"),
    "nul": GOOD.replace(b"AA", b"\x00"),
    "duplicate inputs": GOOD[:-1] + b', "inputs": []}',
    "duplicate data": GOOD.replace(_WIND, _WIND + b", " + _WIND),
    "duplicate name, escaped": GOOD.replace(b'"name"', b'"na\\u006de": "x", "name"', 1),
    "duplicate parameter": GOOD[:-1] + b', "parameters": {"keys": ["a", "b"], "keys": ["a", "c"]}}',
    "nan": GOOD.replace(_WIND, b'"data": [NaN, 1]'),
    "infinity": GOOD.replace(_WIND, b'"data": [Infinity, 1]'),
    "1e999": GOOD.replace(_WIND, b'"data": [1e999, 1]'),
    "nan text": _first(data=["NaN", 1]),
    "400 digits": GOOD.replace(_WIND, b'"data": [' + b"9" * 400 + b", 1]"),
    "5,000 digits": GOOD.replace(_WIND, b'"data": [' + b"9" * 5_000 + b", 1]"),
    "depth 1,000": b'{"inputs":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    "depth 1,000,000": b"[" * 1_000_000,
    "deep data": GOOD.replace(_WIND, b'"data": ' + b"[" * 100_000 + b"]" * 100_000),
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "lone surrogate": GOOD.replace(b"AA", b"\\ud800"),
    "boolean as number": _first(data=[True, 1]),
    "text as number": _first(data=["1", 1]),
    "missing input": _changed(lambda d: d["inputs"].pop()),
    "misspelt input": _first(name="weather.winds"),
    "extra input": _changed(lambda d: d["inputs"].append({**d["inputs"][0], "name": "more"})),
    "input null": _changed(lambda d: d["inputs"].__setitem__(0, None)),
    "data null": _first(data=None),
    "no inputs": _top(inputs=[]),
    "inputs an object": _top(inputs={}),
    "misspelt member": _top(input=[]),
    "misspelt tensor member": _first(shapes=[2]),
    "shape and data differ": _first(shape=[3]),
    "other row count": _first(shape=[1], data=[1]),
    "shape negative": _first(shape=[-2]),
    "shape zero": _first(shape=[0], data=[]),
    "shape float": _first(shape=[2.5]),
    "shape empty": _first(shape=[]),
    "shape missing": _changed(lambda d: d["inputs"][0].pop("shape")),
    "shape huge": _first(shape=[2**62, 1]),
    "shape product wraps": _first(shape=[2**33, 2**31]),
    "shape beyond 64 bit": _first(shape=[2**80]),
    "rank 65": _first(shape=[2] + [1] * 64),
    "shape [1, 2]": _first(shape=[1, 2]),
    "datatype unknown": _first(datatype="FP128"),
    "datatype lower case": _first(datatype="fp64"),
    "datatype a number": _first(datatype=64),
    "mixed nesting": _first(data=[[1], 2]),
    "ragged": _first(data=[[1, 2], [3]]),
    "nested twice": _first(data=[[[1]], [[2]]]),
    "int8 300": _first(datatype="INT8", data=[300, 1]),
    "uint8 -1": _first(datatype="UINT8", data=[-1, 1]),
    "int beyond 2**53": _first(datatype="INT64", data=[2**53 + 1, 1]),
    "int64 float": _first(datatype="INT64", data=[1.5, 1]),
    "bool null": _first(datatype="BOOL", data=[None, True]),
    "bool number": _first(datatype="BOOL", data=[1, 0]),
    "bytes for a number": _first(datatype="BYTES", data=["1", "2"]),
    "number for bytes": _second(datatype="FP64", data=[1, 2]),
    "bytes holds a number": _second(data=["AA", 1]),
    "text too long": _second(data=["x" * 70_000, "AA"]),
    "object as data": _first(data=[{}, 1]),
    "same name twice": _changed(lambda d: d["inputs"].append(d["inputs"][0])),
    "name missing": _changed(lambda d: d["inputs"][0].pop("name")),
    "name empty": _first(name=""),
    "name long": _first(name="x" * 10_000),
    "name null": _first(name=None),
    "output unknown": _top(outputs=[{"name": "label"}]),
    "outputs an object": _top(outputs={}),
    "parameter unknown": _top(parameters={"prio": 1}),
    "parameter nested": _top(parameters={"keys": {"a": 1}}),
    "parameters a list": _top(parameters=[]),
    "parameter huge": _top(parameters={"x" * 100_000: 1}),
    "tensor parameter unknown": _first(parameters={"x": 1}),
    "binary size without bytes": _first(parameters={"binary_data_size": 16}),
    "binary wanted oddly": _top(parameters={"binary_data_output": "yes"}),
    "nulls out of range": _first(parameters={"nulls": [2]}),
    "nulls negative": _first(parameters={"nulls": [-1]}),
    "nulls text": _first(parameters={"nulls": "0"}),
    "id 1 MB": _top(id="x" * 1_000_000),
    "id with newline": _top(id="a\nb"),
    "id a number": _top(id=7),
    "too few keys": _top(parameters={"keys": ["a"]}),
    "keys are numbers": _top(parameters={"keys": [1, 2]}),
    "key null": _top(parameters={"keys": ["a", None]}),
    "key long": _top(parameters={"keys": ["a", "x" * 10_000]}),
    "asked_at not a time": _top(parameters={"asked_at": "noon"}),
    "asked_at naive": _top(parameters={"asked_at": "2013-05-01T06:00:00"}),
    "asked_at negative": _top(parameters={"asked_at": [-1, 1]}),
    "asked_at year 10000": _top(parameters={"asked_at": [2**60, 1]}),
    "asked_at short": _top(parameters={"asked_at": [1]}),
    "asked_at float": _top(parameters={"asked_at": [1.5, 2]}),
    "entity mode without a store": _top(inputs=[{"name": "@key", "shape": [1], "datatype": "BYTES", "data": ["a"]}]),
    "only a time": _top(inputs=[{"name": "@asked_at", "shape": [1], "datatype": "INT64", "data": [1]}]),
    "html in a name": _first(name="<script>alert(1)</script>"),
}


def mutated(data: bytes, source: random.Random) -> bytes:
    """Return `data` with one to four random edits of bytes, spans or tokens."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(changed) or 1)
        how = source.randrange(5)
        if how == 0:
            changed[at : at + 1] = bytes([source.randrange(256)])
        elif how == 1:
            del changed[at : at + source.randint(1, 30)]
        elif how == 2:
            changed[at:at] = source.choice([b"[", b"{", b'"', b"null", b"1e999", b"\x00", b"-", b"9" * 40, b"\\u0000"])
        elif how == 3:
            changed[at:at] = changed[at : at + source.randint(1, 50)]
        else:
            del changed[at:]
    return bytes(changed)
