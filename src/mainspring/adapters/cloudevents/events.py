"""A logged request as a CloudEvent 1.0 (JSON event format), for whoever collects them.

`id` is the request's own id, so a receiver that is sent an event twice can tell. Numbers that are missing are null.
"""

import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import from_us

TYPE = "mainspring.prediction.logged.v1"
_encoder = msgspec.json.Encoder()


def batch_of(records: Sequence[LoggedRequest], source: str) -> bytes:
    """Return the body of one batch in structured mode (`application/cloudevents-batch+json`)."""
    return _encoder.encode([event_of(record, source) for record in records])


def event_of(record: LoggedRequest, source: str) -> Mapping[str, Any]:
    """Return the event of one request. source: a URI reference that names the server's log."""
    return {
        "specversion": "1.0", "id": record.request_id, "source": source, "type": TYPE,
        "time": from_us(record.logged_at).isoformat().replace("+00:00", "Z"), "datacontenttype": "application/json",
        "data": {
            "logged_at": record.logged_at, "took_us": record.took_us, "release": record.release, "keys": record.keys,
            "asked_at": _numbers(record.asked_at, "q"), "sample": record.sample, "redacted": record.redacted,
            "features": {name: _numbers(raw, "d") for name, raw in record.numbers.items()} | record.strings,
            "scores": {digest: _numbers(raw, "d") for digest, raw in record.scores.items()},
            "served_by": [record.versions[place] for place in record.served], "errors": record.errors,
        },
    }  # fmt: skip


def _numbers(raw: bytes, kind: str) -> list[Any]:
    found = array(kind, raw)
    if sys.byteorder != "little":
        found.byteswap()
    return found.tolist()
