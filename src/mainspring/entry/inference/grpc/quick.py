"""The short way over gRPC: one row of float64 for a fast model is scored on the call's own thread.

To hand a request to the serving thread and its answer back costs more than the answer. So the library's threads have
a till of their own (counts and ids; `Plane.totals` adds up) and take turns at it. What is not plain, not let in or in
trouble is None here, changes nothing and is handed over as ever.

A client sends the same message with other numbers over and over. A `_Form` is what such a message is around its
numbers, and what the answer is around id and score: protobuf's fields are as long as they say, so the same bytes
around a field of the same length mean the same again (protobuf's encoding specification, "Length-Delimited Records").
"""

import struct
import threading
from math import isfinite
from time import perf_counter_ns
from typing import Any

import msgspec

from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.desk import Desk
from mainspring.entry.inference.grpc.codec import InferRequest
from mainspring.entry.inference.grpc.messages import message
from mainspring.serve.errors import RequestRefused
from mainspring.serve.plane import Plane
from mainspring.serve.protocols.v2_parameters import MAX_NAME
from mainspring.serve.quick import Quick
from mainspring.serve.till import Till

_SCHEME = b"bearer "
_DOUBLE = 8
_MOST_FORMS, _LONGEST = 64, 65_536
_NAME, _SCORE = b"p-0000000000-................", b"\x01mrkscr\x3f"  # as long as what will stand in their places
_Response: Any = message("inference.ModelInferResponse")


class _Form(msgspec.Struct):
    """A plain request around its numbers, which stand `at`. raw: and how its answer is to be written.

    answer: the release that the pieces were made for, and an answer's bytes before the id, up to the score, and after.
    """

    at: int
    before: bytes
    after: bytes
    unpack: struct.Struct
    model: str
    version: str
    id: str
    raw: bool
    answer: tuple[Quick, bytes, bytes, bytes] | None = None

    def holds(self, body: bytes) -> bool:
        """Tell whether a body of the same length is this request with other numbers."""
        return body.startswith(self.before) and body.endswith(self.after)

    def written(self, quick: Quick, name: str, score: float) -> bytes:
        """Return the answer."""
        made = self.answer
        if made is None or made[0] is not quick:
            made = self.answer = (quick, *self._pieces(quick))
        return b"".join((made[1], name.encode(), made[2], struct.pack("<d", score), made[3]))

    def _pieces(self, quick: Quick) -> tuple[bytes, bytes, bytes]:
        number = str(quick.number)
        found = _Response(model_name=quick.model, model_version=number, id=self.id)
        found.parameters["prediction_ids"].string_param = f"{_NAME.decode()}.0"
        found.parameters["versions"].string_param = number
        output = found.outputs.add(name=quick.output, datatype="FP64", shape=(1,))
        if self.raw:
            found.raw_output_contents.append(_SCORE)
        else:
            output.contents.fp64_contents.append(struct.unpack("<d", _SCORE)[0])
        before, _, rest = found.SerializeToString().partition(_NAME)
        between, _, after = rest.partition(_SCORE)
        return before, between, after


class QuickCalls:
    """Answers plain calls of one port."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        self._desk, self._gate = desk, gate
        self._turn = threading.Lock()
        self._tills: dict[Plane, Till] = {}
        self._forms: dict[int, _Form] = {}

    def answer(self, body: bytes, presented: bytes | None) -> bytes | None:
        """Return the serialised answer to a request, logged and counted; None where nothing was done.

        presented: the authorization, or None.
        """
        started = perf_counter_ns()
        form = self._forms.get(len(body))
        if form is None or not form.holds(body):
            form = self._read(body)
        if form is None or not self._let_in(form.model, presented):
            return None
        quick = self._quick(form.model)
        width = form.unpack.size // _DOUBLE
        if quick is None or quick.width != width or form.version not in ("", str(quick.number)):
            return None
        values = body[form.at : form.at + form.unpack.size]
        if not isfinite(sum(form.unpack.unpack(values))):  # NaN is a missing value, infinity is refused: not here
            return None
        found = quick.scored(values)
        if found is None:
            return None
        with self._turn:
            name = quick.settled(values, found, started)
        return form.written(quick, name, found[0])

    def _let_in(self, model: str, presented: bytes | None) -> bool:
        """Tell whether the caller may ask this model without limits; who may not is told so on the serving thread."""
        desk, ring = self._desk, self._gate.ring
        if desk.witnesses or desk.limits_all:
            return False
        if not self._gate.asks:
            return True
        if presented is None or presented[:7].lower() != _SCHEME:
            return False
        verdict, token = ring.book.judge(presented[7:], ring.clock.now())
        return (
            verdict == "good" and token is not None and token.allows("predict", model)
            and not desk.allowances.limits(token.allowance)
        )  # fmt: skip

    def _quick(self, model: str) -> Quick | None:
        try:
            plane = self._desk.fleet.plane(model)
        except RequestRefused:
            return None
        till = self._tills.get(plane)
        if till is None:
            with self._turn:
                till = self._tills[plane] = self._tills.get(plane) or plane.till()
        quick = plane.quick(till)
        return quick if quick is not None and quick.model == model else None

    def _read(self, body: bytes) -> _Form | None:
        """Return the form of a request if it is plain, and remember it."""
        request, values = _plain(body)
        at = body.find(values) if values else -1
        if at < 0:
            return None
        before, after = body[:at], body[at + len(values) :]
        others = bytes(byte ^ 1 for byte in values)
        if _plain(before + others + after)[1] != others:  # these bytes are not the numbers, which stand elsewhere
            return None
        unpack = struct.Struct(f"<{len(values) // _DOUBLE}d")
        form = _Form(
            at, before, after, unpack, request.model_name, request.model_version, request.id,
            bool(request.raw_input_contents),
        )  # fmt: skip
        if len(self._forms) >= _MOST_FORMS:
            self._forms.clear()
        self._forms[len(body)] = form
        return form


def _plain(body: bytes) -> tuple[Any, bytes]:
    """Return a request, and its one row as the message holds it; b"" for every request that is not plain."""
    if len(body) > _LONGEST:
        return None, b""
    try:
        request = InferRequest.FromString(body)
    except Exception:  # noqa: BLE001 - protobuf's own class differs between its back-ends; it is refused elsewhere
        return None, b""
    return request, _row(request)


def _row(request: Any) -> bytes:  # noqa: ANN401 - a protobuf message
    """Return the one row of a plain request as its message holds it, or b"" for every other request."""
    inputs, raw = request.inputs, request.raw_input_contents
    if len(inputs) != 1 or request.parameters or request.outputs:
        return b""
    tensor, contents = inputs[0], inputs[0].contents
    shape, width = [*tensor.shape], len(raw[0]) // _DOUBLE if raw else len(contents.fp64_contents)
    if shape != [1, width] or tensor.datatype != "FP64" or tensor.parameters or not 0 < len(tensor.name) <= MAX_NAME:
        return b""
    if len(request.id) > MAX_NAME or not request.id.isprintable():
        return b""
    if raw:
        plain = len(raw) == 1 and len(raw[0]) == width * _DOUBLE and not tensor.HasField("contents")
        return bytes(raw[0]) if plain else b""
    return struct.pack(f"<{width}d", *contents.fp64_contents) if len(contents.ListFields()) == 1 else b""
