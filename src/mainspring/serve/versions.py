"""Versions that may answer: loaded, checked against their recorded sample, and warm before they see traffic."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.contract import Contract, Kind
from mainspring.serve.errors import ModelRefused
from mainspring.serve.ports import Engine, LoadedModel, Routing
from mainspring.serve.questions import Takes
from mainspring.stats.columns import Columns, Floats

SAMPLE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One loaded version with its contract's inputs by kind."""

    number: int
    digest: str
    contract: Contract
    engine: Engine
    inputs: Mapping[str, Kind]

    def score(self, columns: Columns) -> Floats:
        """Return n scores, NaN where the engine says so; raise `ModelRefused` for whatever else goes wrong in it.

        An engine is foreign code with exceptions of its own; none may take an answer of another version with it.
        """
        rows = len(next(iter(columns.values())))
        try:
            scores = np.asarray(self.engine({name: columns[name] for name in self.inputs}))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            raise ModelRefused(f"version {self.number} failed: {reason}", fix="train it again") from error
        if scores.shape != (rows,) or scores.dtype != np.float64:
            raise ModelRefused(
                f"version {self.number} gave {scores.dtype}{list(scores.shape)} for {rows} rows",
                fix="an engine returns one float64 a row",
            )
        return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Everything one request needs, swapped as a whole so that no request sees half of a release.

    inputs: what a request must hold: the inputs of every loaded version. known: what it may hold: those, and every
    feature that a loaded contract defines (a converter drops inputs that its graph does not read).
    """

    routing: Routing
    champion: Version
    challenger: Version | None
    inputs: Mapping[str, Kind]
    known: frozenset[str]
    max_rows: int

    @property
    def takes(self) -> Takes:
        """Return what a codec may know of it."""
        return Takes(self.inputs, self.known, self.champion.contract.output, self.routing.model, self.max_rows)

    def versions(self) -> tuple[Version, ...]:
        """Return the loaded versions, champion first."""
        return (self.champion,) if self.challenger is None else (self.champion, self.challenger)


def checked(number: int, digest: str, model: LoadedModel) -> Version:
    """Return a version that answers its recorded sample as it did at training (within 1e-6); warms it on the way."""
    contract = model.contract
    version = Version(
        number=number, digest=digest, contract=contract, engine=model.engine,
        inputs={item.name: item.kind for item in contract.inputs},
    )  # fmt: skip
    columns, expected = sample_of(contract)
    scores = version.score(columns)
    worst = float(np.max(np.abs(scores - expected), initial=0.0))
    if not np.isfinite(scores).all() or worst > SAMPLE_TOLERANCE:
        raise ModelRefused(f"version {number} is {worst} off on its recorded sample", fix="train it again")
    return version


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
