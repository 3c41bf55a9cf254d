"""What the soak sends: every protocol, and some of what clients get wrong, as raw requests in a fixed order."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving import bodies
from serving.bodies import Floats

ORDER = 4_000
_COUNTER = "@" * 9
_PREDICTION = "p-2013050106-abcdefghijklmnop.0"
_JSON = "Content-Type: application/json"
_DOCUMENTS = ("/v2/models/gb", "/v1/models", "/v2", "/livez", "/readyz")
_INFER = "/v2/models/gb/infer"


def write(path: Path, token: str, names: list[str]) -> dict[str, int]:
    """Write the requests and return how many of each kind stand among them."""
    source = random.Random(36)
    kinds = list(_kinds(token, names, source))
    chosen = [kind for kind, share, _ in kinds for _ in range(round(share * ORDER / 1_000))]
    source.shuffle(chosen)
    made = {kind: requests for kind, _, requests in kinds}
    with path.open("wb") as file:
        for kind in chosen:
            request = source.choice(made[kind])
            file.write(b"%d\n%b" % (len(request), request))
    return {kind: chosen.count(kind) for kind, _, _ in kinds}


def _kinds(token: str, names: list[str], source: random.Random) -> Iterator[tuple[str, int, list[bytes]]]:
    """Yield (kind, requests in a thousand, examples)."""
    key, ones, hundreds = f"Authorization: Bearer {token}", bodies.rows_of(1), bodies.rows_of(100)
    v2: list[Any] = [json.loads(bodies.OURS.ask(rows)[0]) for rows in ones]
    large = [json.loads(bodies.OURS.ask(rows)[0]) for rows in hundreds]
    yield "V2, 1 row", 560, _posts(_INFER, v2, key)
    varied = [{**one, "id": _COUNTER} for one in v2]
    yield "V2, an id and a header never sent before", 40, _posts(_INFER, varied, key, f"X-Request: {_COUNTER}")
    yield "V2, 100 rows", 10, _posts(_INFER, large, key)
    yield "V2, a tensor a feature", 20, _posts(_INFER, [_named(rows, names) for rows in ones], key)
    yield "V2 binary", 80, [_binary(rows, key) for rows in (*ones, *hundreds[:4])]
    yield "V2, connection closed after", 10, _posts(_INFER, v2, key, "Connection: close")
    yield "V1", 80, _posts("/v1/models/gb:predict", [{"instances": rows.tolist()} for rows in ones], key)
    yield "Seldon", 50, _posts("/api/v1.0/predictions", [{"data": {"ndarray": rows.tolist()}} for rows in ones], key)
    yield "MLflow", 40, _posts("/invocations", [_split(rows, names) for rows in ones], key)
    sheets = [_csv(rows, names) for rows in ones]
    yield "MLflow, CSV", 20, [_request("POST", "/invocations", one, "Content-Type: text/csv", key) for one in sheets]
    labels = [{"prediction_id": _PREDICTION, "value": value} for value in (0, 1)]
    yield "label", 4, _posts("/v1/feedback", labels, key)
    yield "metadata, probes", 16, [_request("GET", path, b"", key) for path in _DOCUMENTS]
    good = [_bytes(one) for one in v2]
    broken = [_broken(source.choice(good), source) for _ in range(400)]
    yield "broken body", 30, [_request("POST", _INFER, one, _JSON, key) for one in broken]
    strangers = [*_posts(f"/v2/models/m{_COUNTER}/infer", v2, key), *_posts(f"/v1/models/m{_COUNTER}:predict", v2, key)]
    yield "unknown model", 15, strangers
    yield "wrong or no key", 10, [*_posts(_INFER, v2), *_posts(_INFER, v2, f"Authorization: Bearer {_COUNTER}")]
    yield "unknown path, method, media type", 15, [
        _request("POST", f"/{_COUNTER}", b"{}", key), _request("DELETE", _INFER, b"", key),
        _request("POST", _INFER, good[0], f"Content-Type: text/x{_COUNTER}", key),
    ]  # fmt: skip


def _posts(path: str, documents: Sequence[object], *lines: str) -> list[bytes]:
    return [_request("POST", path, _bytes(one), _JSON, *lines) for one in documents]


def _request(method: str, path: str, body: bytes, *lines: str) -> bytes:
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: soak", *lines, f"Content-Length: {len(body)}"))
    return head.encode() + b"\r\n\r\n" + body


def _bytes(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _named(rows: Floats, names: list[str]) -> object:
    values = zip(names, rows[0].tolist(), strict=True)
    return {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [value]} for n, value in values]}


def _split(rows: Floats, names: list[str]) -> object:
    return {"dataframe_split": {"columns": names, "data": rows.tolist()}}


def _csv(rows: Floats, names: list[str]) -> bytes:
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows.tolist()), ""]).encode()


def _binary(rows: Floats, key: str) -> bytes:
    body, headers = bodies.OURS_BINARY.ask(rows)
    return _request("POST", _INFER, body, key, *(f"{name}: {value}" for name, value in headers.items()))


def _broken(body: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(body))
    cut = source.choice([b"", b"[" * 100, b"1e999", b'"', b"NaN", b"\x00", b"{", body[:40]])
    return body[:at] + cut + body[at + source.randrange(9) :]


def slope(values: list[tuple[int, int]]) -> float:
    """Return the growth a 100,000 requests of (requests, value) points, by least squares."""
    requests, grown = np.array(values, dtype=np.float64).T
    return float(np.polyfit(requests / 100_000, grown, 1)[0])
