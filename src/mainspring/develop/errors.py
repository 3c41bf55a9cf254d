"""What can go wrong in a training, one class a cause, each with a stable code."""

from collections.abc import Mapping
from typing import ClassVar

from mainspring.kernel.errors import InvalidValue, MainspringError, Refused, RunFailed


class TooFewRows(RunFailed):
    """Too little to learn from or to judge on."""

    code = "train.too_few_rows"


class OneClass(RunFailed):
    """All labels are the same, so there is nothing to tell apart."""

    code = "train.one_class"


class FunctionNotFound(InvalidValue):
    """The training function named in the project file cannot be imported."""

    code = "train.function_not_found"


class FunctionFailed(RunFailed):
    """The user's training function raised, or returned something that cannot predict."""

    code = "train.function_failed"


class NotConvertible(RunFailed):
    """The estimator has no faithful ONNX form."""

    code = "train.not_convertible"


class ImportRefused(Refused):
    """A model that exists cannot be adopted: its graph, its schema or its answers do not hold."""

    code = "import.refused"


class ChampionMismatch(RunFailed):
    """The champion reads features that this run's definitions no longer make."""

    code = "train.champion_mismatch"


class StepFailed(RunFailed):
    """A step ended without an outcome: an unexpected error, a lost process."""

    code = "step.failed"


class LockMismatch(MainspringError):
    """A step runs among other packages than its lock names."""

    code = "step.lock"


class StepTimeout(RunFailed):
    """A step passed its deadline and its process was ended."""

    code = "step.timeout"


class MirrorFailed(RunFailed):
    """The tracking server cannot be written; the ledger has the truth, and a later sync shows the run."""

    code = "tracking.failed"


class UnknownStep(InvalidValue):
    """No step has that name."""

    code = "step.unknown"


_BY_CODE: Mapping[str, type[MainspringError]] = {
    kind.code: kind
    for kind in (
        TooFewRows, OneClass, FunctionNotFound, FunctionFailed, NotConvertible, ChampionMismatch, StepTimeout,
        UnknownStep, LockMismatch,
    )
}  # fmt: skip


class _Told(StepFailed):
    """A step's error of a class that develop does not know; it keeps the code it was told with."""

    code: ClassVar[str] = "step.failed"

    def __str__(self) -> str:
        return f"{self.what}\n  fix: {self.fix}"


def told(document: Mapping[str, str]) -> MainspringError:
    """Return the error that another process described as {"code", "what", "fix"}."""
    kind = _BY_CODE.get(document["code"])
    if kind is not None:
        return kind(document["what"], fix=document["fix"])
    return _Told(f"{document['what']} [{document['code']}]", fix=document["fix"])
