"""One row of numbers from V2 JSON to V2 JSON by a champion that is alone: what most requests of most servers are.

`Quick` is made once a release, with everything that its requests have in common: the typed decoder, the answer's text
around id and score, the log's shape. It says None for whatever is not plain, wrong or failing, and changes nothing
then: the long way (`serve.inference`) answers, refuses or fails as it always does.
Requests of many rows go to `quick_rows`.
"""

import struct
from math import isfinite
from time import perf_counter_ns
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from mainspring.serve.blocks import Block
from mainspring.serve.log_rows import RowShape
from mainspring.serve.protocols.v2_parameters import MAX_NAME
from mainspring.serve.quick_rows import Answered, QuickRows, gone
from mainspring.serve.till import Till
from mainspring.serve.versions import Serving

_MARKS, _MARKS_WITH_ID = 14, 18  # quotation marks of a request without a doubled member or an escaped mark
_FLOAT64 = np.dtype("<f8")
_ONE = (1,)
_HEAD_BYTES, _NUMBER_BYTES = 1_024, 64  # what a body of one row may have at most; most of many rows have more
_score_bytes = struct.Struct("<d").pack
_encode = msgspec.json.Encoder().encode


class Quick:
    """Answers for one release until it is retired. Only `scored` is for several threads at once.

    number: the version that answers. model, release: of the routing. width: numbers in a row. output: its name.
    """

    def __init__(self, serving: Serving, till: Till) -> None:
        champion, takes = serving.champion, serving.takes
        width = len(takes.inputs)
        self.retired, self._till, self.width = False, till, width
        self.model, self.release = serving.routing.model, serving.routing.commit
        self.number, self._pace, self._packed = champion.number, champion.pace, champion.packed
        self._decode, self._longest = _decoder(width), _HEAD_BYTES + _NUMBER_BYTES * width
        self._pack, self._shape = struct.Struct(f"<{width}d").pack, (1, width)
        self._texts = np.empty((1, 0), dtype=object)
        self._row = RowShape(
            release=self.release, names=serving.layout.listed, version=champion.digest, number=self.number
        )
        self._rows = QuickRows(serving, till)
        self.output = takes.output
        model, output = _encode(takes.model), _encode(takes.output)
        self._before = b'{"model_name":%b,"model_version":"%d","parameters":{"prediction_ids":["' % (model, self.number)
        self._between = b'.0"],"versions":[%d]},"outputs":[{"name":%b,"datatype":"FP64","shape":[1],"data":[' % (
            self.number, output,
        )  # fmt: skip

    @staticmethod
    def fits(serving: Serving) -> bool:
        """Tell whether a release's requests can be answered this way."""
        return (
            serving.challenger is None and serving.takes.numeric and len(serving.inputs) > 1 and serving.max_rows >= 1
            and serving.champion.layout == serving.layout
        )  # fmt: skip

    def retire(self) -> None:
        """Answer nothing from now on, and let go of the model."""
        self.retired, self._packed = True, gone
        self._rows.retire()

    def answers(self, data: bytes, at: int, head: int | None) -> Answered | None:
        """Return the answer to a body of any number of rows, as `QuickRows.answer` does."""
        if head is not None or len(data) - at > self._longest:
            return self._rows.answer(data, at, head)
        answer = self.answer(data[at:])
        return None if answer is None else (None, answer)

    def answer(self, body: bytes) -> bytes | None:
        """Return the answer to a body, logged and counted; None where it is not for here, and nothing was done."""
        started = perf_counter_ns()
        if len(body) > self._longest:
            return None
        try:
            asked = self._decode(body)
            if body.count(b'"') != (_MARKS_WITH_ID if asked.id else _MARKS) or not asked.id.isprintable():
                return None
            values = self._pack(*asked.inputs[0].data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        found = self.scored(values)
        if found is None:
            return None
        name, score = self.settled(values, found, started), found[0]
        end = b"]}]}" if not asked.id else b']}],"id":%b}' % _encode(asked.id)
        return b"".join((self._before, name.encode(), self._between, _encode(score), end))

    def scored(self, values: bytes) -> tuple[float, int] | None:
        """Return (score, microseconds) of a row, or None for the long way. Safe in any thread.

        values: little-endian float64 in the contract's order, NaN null.
        """
        if not self._pace.inline:
            return None
        asks = perf_counter_ns()
        try:
            scores = self._packed(Block(np.ndarray(self._shape, _FLOAT64, values), self._texts))
            took = (perf_counter_ns() - asks) // 1_000
            score = scores.item()
        except Exception:  # noqa: BLE001 - whatever it is, the long way meets it again, says and counts it
            return None
        return (score, took) if scores.shape == _ONE and scores.dtype == _FLOAT64 and isfinite(score) else None

    def settled(self, values: bytes, found: tuple[float, int], started: int) -> str:
        """Count and log a scored row, and return its request id. started: `time.perf_counter_ns`."""
        score, took = found
        if self._till.paces:
            self._pace.saw(took, 1)
        return self._till.settled(self._row, values, _score_bytes(score), took, started)


def _decoder(width: int) -> Any:  # noqa: ANN401 - the types are made here
    """Return what decodes a request of one row of `width` numbers and nothing else, or raises."""
    tensor = msgspec.defstruct(
        "Tensor",
        [
            ("name", Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]),
            ("shape", tuple[Literal[1], Literal[width]]),  # type: ignore[valid-type]
            ("datatype", Literal["FP16", "FP32", "FP64"]),
            ("data", Annotated[list[float], msgspec.Meta(min_length=width, max_length=width)]),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
    request = msgspec.defstruct(
        "Request",
        [("inputs", tuple[tensor]), ("id", Annotated[str, msgspec.Meta(max_length=MAX_NAME)], "")],  # type: ignore[valid-type]
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(request).decode
