"""What every protocol reduces a request to, what it makes an answer from, and what a protocol is: a `Codec`.

What is made for every request is a msgspec struct: a frozen dataclass takes ten times as long to make.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.contract import Kind
from mainspring.serve.tensors import Tensor
from mainspring.stats.columns import Floats


@dataclass(frozen=True, slots=True)
class Takes:
    """What a codec may know of the model that is asked.

    inputs: what a request must hold, in the contract's order (that of a matrix's columns). known: what it may hold.
    output: the answer's name. model: the model's name in URLs. max_rows: largest request.
    numeric: all inputs are numbers, so that one matrix can hold them. textual: all are strings.
    """

    inputs: Mapping[str, Kind]
    known: frozenset[str]
    output: str
    model: str
    max_rows: int
    numeric: bool = field(init=False)
    textual: bool = field(init=False)

    def __post_init__(self) -> None:
        kinds = set(self.inputs.values())
        object.__setattr__(self, "numeric", kinds == {"number"})
        object.__setattr__(self, "textual", kinds == {"string"})


@dataclass(frozen=True, slots=True)
class Wire:
    """What a codec may know of how a body arrived.

    content_type: the media type in lower case, without parameters; "" where none was sent.
    header_length: V2's `Inference-Header-Content-Length`, or None.
    """

    content_type: str = ""
    header_length: int | None = None


class Encoded(msgspec.Struct, frozen=True):
    """An answer's bytes. header_length: bytes of JSON before binary tensors, or None for plain JSON."""

    body: bytes
    content_type: str = "application/json"
    header_length: int | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request of `rows` rows, checked for form but not yet against a model.

    tensors: feature columns by name; empty in entity mode, then `keys` say who is asked about.
    matrix: [rows, k] float64 (NaN null, C order, perhaps read-only) in place of `tensors`, its columns those of
    `Takes.inputs` in order; or None.
    keys: the ask key a row, or empty. asked_at: UTC microseconds a row, or None for now.
    id: the client's own id, returned as it came. outputs: output names asked for; empty means all.
    binary: answer with binary tensors. form: how else the codec is to write the answer, in its own words.
    """

    rows: int
    tensors: Mapping[str, Tensor]
    keys: list[str]
    asked_at: NDArray[np.int64] | None
    matrix: Floats | None = None
    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: bool = False
    form: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Scores for one request: n float64, with the version number that gave each, and where they came from.

    request_id: row i's prediction id is this plus `.i`. release: the commit that routed it.
    """

    request_id: str
    model: str
    output: str
    release: str
    scores: Floats
    versions: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a model scored rows as it did: `base + values.sum(axis=1)` is the row's score in `unit`.

    method: how it was found, such as "tree-shap". unit: "probability" or "log-odds". inputs: k names.
    base: [n] float64, the score of a row that nothing is known of. values: [n, k] float64.
    """

    method: str
    unit: str
    inputs: tuple[str, ...]
    base: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Codec:
    """One protocol: bytes to a question, an answer to bytes. Pure.

    decode: raises a `RequestRefused` for whatever it does not understand, and nothing else.
    encode: never fails for an answer to a question that `decode` gave.
    media: the content types that it reads; a body without one is read as the first.
    """

    name: str
    decode: Callable[[bytes, Takes, Wire], Question]
    encode: Callable[[Question, Answer], Encoded]
    media: tuple[str, ...] = ("application/json",)
