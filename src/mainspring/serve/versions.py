"""Versions that may answer: loaded, checked against their recorded sample, and warm before they see traffic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.contract import Contract, Kind
from mainspring.kernel.errors import InvalidValue
from mainspring.serve.blocks import Block, Layout, View
from mainspring.serve.cache import ScoreCache
from mainspring.serve.errors import BadInput, ModelGone, ModelRefused, RequestRefused, RowsRefused
from mainspring.serve.pace import Pace, measured
from mainspring.serve.ports import Engine, EngineName, LoadedModel, PackedEngine, Routing
from mainspring.serve.questions import Takes
from mainspring.stats.columns import Columns, Floats

SAMPLE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One loaded version with its contract's inputs by kind.

    layout: the columns of the blocks that it scores. packed: scores a block. pace: how fast it is, and was measured.
    engine_name: which engine answers, for those who look.
    """

    number: int
    digest: str
    contract: Contract
    engine: Engine
    inputs: Mapping[str, Kind]
    layout: Layout
    packed: Callable[[Block], Floats]
    pace: Pace = field(default_factory=Pace)
    engine_name: EngineName = "onnxruntime"

    def score(self, block: Block) -> Floats:
        """Return n scores, NaN where the engine says so; raise `ModelRefused` for whatever else goes wrong in it.

        An engine is foreign code with exceptions of its own; none may take an answer of another version with it. What
        it says of the rows themselves (`InvalidValue`, or a `RequestRefused`) is the client's to hear (`RowsRefused`).
        """
        rows = len(block.numbers)
        try:
            scores = self.packed(block)
        except InvalidValue as error:
            raise RowsRefused(BadInput(error.what[:200], fix=error.fix)) from error
        except RequestRefused as error:
            raise RowsRefused(error) from error
        except ModelGone:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            raise ModelRefused(f"version {self.number} failed: {reason}", fix="train it again") from error
        if scores.shape != (rows,) or scores.dtype != np.float64:
            raise ModelRefused(
                f"version {self.number} gave {scores.dtype}{list(scores.shape)} for {rows} rows",
                fix="an engine returns one float64 a row",
            )
        return scores


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Everything one request needs, swapped as a whole so that no request sees half of a release.

    inputs: what a request must hold: the inputs of every loaded version. known: what it may hold: those, and every
    feature that a loaded contract defines (a converter drops inputs that its graph does not read). Tables that every
    request needs are made once: layout, the views of the two versions, and what codecs are told.
    """

    routing: Routing
    champion: Version
    challenger: Version | None
    inputs: Mapping[str, Kind]
    known: frozenset[str]
    max_rows: int

    @cached_property
    def takes(self) -> Takes:
        """Return what a codec may know of it."""
        return Takes(self.inputs, self.known, self.champion.contract.output, self.routing.model, self.max_rows)

    @cached_property
    def layout(self) -> Layout:
        """Return the columns of a request's block."""
        return Layout.of(self.inputs)

    @cached_property
    def champion_view(self) -> View:
        """Return what the champion reads of a request's block."""
        return View.between(self.layout, self.champion.layout)

    @cached_property
    def challenger_view(self) -> View:
        """Return what the challenger reads of a request's block; the champion's view where there is none."""
        return View.between(self.layout, (self.challenger or self.champion).layout)

    @property
    def inline(self) -> bool:
        """Tell whether one row is scored fast enough to do it on the event loop."""
        return all(version.pace.inline for version in self.versions())

    def versions(self) -> tuple[Version, ...]:
        """Return the loaded versions, champion first."""
        return (self.champion,) if self.challenger is None else (self.champion, self.challenger)


def checked(number: int, digest: str, model: LoadedModel, cache: ScoreCache | None = None) -> Version:
    """Return a version that answers its recorded sample as it did at training (within 1e-6); warms it on the way.

    cache: keeps its scores, or None. The sample and the timing are always the engine's own.
    """
    contract = model.contract
    inputs = {item.name: item.kind for item in contract.inputs}
    layout = Layout.of(inputs)
    version = Version(
        number=number, digest=digest, contract=contract, engine=model.engine, inputs=inputs, layout=layout,
        packed=_packed(model.engine, layout), engine_name=model.engine_name,
    )  # fmt: skip
    columns, expected = sample_of(contract)
    sample = layout.packed(columns, len(expected))
    scores = version.score(sample)
    worst = float(np.max(np.abs(scores - expected), initial=0.0))
    if not np.isfinite(scores).all() or worst > SAMPLE_TOLERANCE:
        raise ModelRefused(f"version {number} is {worst} off on its recorded sample", fix="train it again")
    version.pace.begin(measured(version.score, sample))
    if model.beside:
        version.pace.inline = version.pace.batches = False
    return version if cache is None else replace(version, packed=cache.wrapped(digest, version.packed))


def _packed(engine: Engine, layout: Layout) -> Callable[[Block], Floats]:
    """Return what scores blocks: the engine itself where it takes them, else by named columns."""
    if isinstance(engine, PackedEngine):
        packed = engine.packed
        return lambda block: packed(block.numbers, block.texts)
    return lambda block: np.asarray(engine(layout.columns(block)))


def serving_of(routing: Routing, champion: Version, challenger: Version | None, max_rows: int) -> Serving:
    """Join loaded versions under a routing; refuse a challenger that is another model or reads an input otherwise."""
    inputs = dict(champion.inputs)
    limits = [max_rows, champion.contract.limits.get("rows", max_rows)]
    if challenger is not None:
        _check_pair(champion, challenger)
        inputs.update(challenger.inputs)
        limits.append(challenger.contract.limits.get("rows", max_rows))
    versions = [champion] if challenger is None else [champion, challenger]
    known = frozenset(inputs).union(*(defined_features(version.contract) for version in versions))
    return Serving(
        routing=routing, champion=champion, challenger=challenger, inputs=inputs, known=known, max_rows=min(limits)
    )


def defined_features(contract: Contract) -> set[str]:
    """Return `<view>.<column>` of every feature that the contract's definitions name."""
    found: set[str] = set()
    for view in contract.definitions.get("views", ()):
        pairs = [*view.get("derive", ()), *view.get("aggregates", ())]
        found.update(f"{view['name']}.{column}" for column in [*view.get("columns", ()), *(name for name, _ in pairs)])
    return found


def sample_of(contract: Contract) -> tuple[Columns, NDArray[np.float64]]:
    """Return (columns, scores) of the contract's recorded sample; numbers may be repr strings, null is missing."""
    try:
        raw = contract.sample["columns"]
        columns = {item.name: _column(raw[item.name], item.kind) for item in contract.inputs}
        scores = np.array([float(value) for value in contract.sample["scores"]], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefused(f"contract.json has no usable sample: {error}", fix="register the model again") from error
    if not len(scores) or any(len(values) != len(scores) for values in columns.values()):
        raise ModelRefused("the contract's sample is empty or ragged", fix="register the model again")
    return columns, scores


def _column(values: list[object], kind: Kind) -> NDArray[np.float64] | NDArray[np.object_]:
    if kind == "string":
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.array([np.nan if value is None else float(str(value)) for value in values], dtype=np.float64)


def _check_pair(champion: Version, challenger: Version) -> None:
    if (challenger.contract.model, challenger.contract.output) != (champion.contract.model, champion.contract.output):
        raise ModelRefused(
            f"version {challenger.number} answers another question", fix="promote a version of this model"
        )
    for name in champion.inputs.keys() & challenger.inputs.keys():
        if champion.inputs[name] != challenger.inputs[name]:
            raise ModelRefused(f"input {name!r} is of two kinds in the two versions", fix="rename the feature")
