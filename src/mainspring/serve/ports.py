"""What the server needs from outside: engines, verified models, the present release, features and a log.

`serve` opens no ledger and imports no other layer, so it has its own small words: `Routing` is the release file as
committed, reduced to what a router must know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.contract import Contract
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.records import LoggedRequest
from mainspring.serve.bandit import Rewards
from mainspring.serve.log_rows import Row
from mainspring.stats.columns import Array, Columns, Floats

Mode = Literal["canary", "shadow", "ab", "bandit"]
EngineName = Literal["compiled trees", "onnxruntime", "python process"]
_ALL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version by its label and its identity (the digest of its signed manifest)."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """A version on trial. weight: percent of rows it may answer, 0 to 100; `shadow` answers none whatever it says.

    floor: percent of rows that a `bandit` gives it at least; its weight is the most that it gives.
    """

    version: int
    digest: str
    weight: float
    mode: Mode = "canary"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= _ALL:  # also refuses NaN
            raise InvalidValue(f"weight {self.weight} is not a percentage", fix="use 0 to 100")
        if not 0 <= self.floor <= self.weight:
            raise InvalidValue(f"a floor of {self.floor} under a weight of {self.weight}", fix="use 0 to the weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Who answers, as one commit of the release file says.

    model: the model's name in URLs. commit: the git commit, or "". rollout_id: equal for all weight steps of one
    rollout, so that a row stays with its version while the weight grows; use `rollout_id_of` where there is none.
    """

    model: str
    commit: str
    champion: Served
    challenger: Challenger | None = None
    rollout_id: str = ""


def rollout_id_of(champion: str, challenger: str) -> str:
    """Return the rollout id of two digests: the same for every weight step between them."""
    return f"{champion}>{challenger}"


class Engine(Protocol):
    """Scores rows: numbers as float64 (NaN null), strings as objects; returns one float64 a row."""

    def __call__(self, columns: Columns, /) -> Floats:
        """Return P(positive) for every row; the inputs are not changed."""


@runtime_checkable
class PackedEngine(Protocol):
    """An engine that also takes rows packed: one matrix is cheaper than an array a column."""

    def packed(self, numbers: Floats, texts: Array, /) -> Floats:
        """Return P(positive) for every row; columns in the contract's order, each kind on its own.

        numbers: [n, k] float64, NaN null. texts: [n, m] objects, None null. Neither is changed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A verified model: its contract and an engine ready to score.

    beside: the engine runs in a process of its own, so it may hang or end: it is never asked on the event loop, and
    never for several requests at once, for one of them might end it. engine_name: which of our engines it is.
    """

    contract: Contract
    engine: Engine
    beside: bool = False
    engine_name: EngineName = "onnxruntime"


class Models(Protocol):
    """Opens models by digest; every open verifies digest and signature before a byte is parsed."""

    def open(self, digest: str) -> LoadedModel:
        """Return the model, or raise a `MainspringError` that says why not."""


class Releases(Protocol):
    """Reads the release of this server's environment as committed, never the work tree."""

    def current(self) -> Routing | None:
        """Return the present routing, or None before the first release. Called twice a second: keep it cheap."""


class RewardSource(Protocol):
    """Tells what came true of both versions' answers in a rollout; a watch finds it out."""

    def current(self, champion: str, challenger: str) -> Rewards | None:
        """Return the outcomes of these two digests, or None where nothing is known. Called twice a second."""


class Assemble(Protocol):
    """Fills features for entity requests; `flows.assemble` makes one."""

    def __call__(
        self, contract: Contract, request: Columns, keys: Sequence[str], asked_at: NDArray[np.int64]
    ) -> Columns:
        """Return every input of `contract` for the keys, as of `asked_at` (UTC microseconds).

        request: columns of the ask's own row that the client sent as `ask.<column>`; often empty.
        """


class LogSink(Protocol):
    """Takes what was answered; never blocks."""

    def put(self, record: LoggedRequest, /) -> bool:
        """Return False when the record was dropped (and counted)."""

    def put_row(self, row: Row, /) -> bool:
        """Take a request of one row in its short form, as `put` takes a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One frame of requests of one hour, encoded once for every sink.

    number: place in this log since its start, from 0. hour: UTC microseconds at which the hour of `logged_at` begins.
    size: estimated bytes that the requests took in memory. frame: as `serve.frames` packs it.
    """

    number: int
    hour: int
    requests: int
    rows: int
    size: int
    frame: bytes


class LogRefused(MainspringError):
    """A sink will never take this; trying again is no use."""

    code = "log.refused"
    exit_code = 1


class LogWriter(Protocol):
    """One place that logged requests go to; called by one thread. Passes tests/conformance/test_log_sinks.py.

    It raises `OSError` or a `MainspringError` and nothing else; `LogRefused` where trying again is no use.
    """

    def write(self, chunks: Sequence[Chunk], /) -> None:
        """Take all of the chunks; after an error the same chunks may come again, and what was taken is not doubled."""

    def sync(self) -> None:
        """Return when everything written is durable."""

    def close(self) -> None:
        """Finish, and let another writer have the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedLabel:
    """What a client says came true: `value` (0 or 1) of one prediction, known from `known_at`, sent at `posted_at`.

    Times are UTC microseconds. Whether there is such a prediction is found out later, from the log.
    """

    prediction_id: str
    value: float
    known_at: int
    posted_at: int


class Labels(Protocol):
    """Keeps posted labels until a watch takes them in. Called from threads; `adapters.files.label_inbox` is one."""

    def put(self, labels: Sequence[PostedLabel], /) -> None:
        """Return when the labels are kept durably; raise `LabelsFull` when no more fit, and keep none of them then."""
