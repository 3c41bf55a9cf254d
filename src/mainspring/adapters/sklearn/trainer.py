"""Train with the user's function. The estimator lives and dies inside `SklearnTrainer.train`."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mainspring.adapters.sklearn.convert import OUTPUT, convert
from mainspring.adapters.sklearn.functions import imported, missing_extra
from mainspring.adapters.sklearn.networks import Network, as_classifier
from mainspring.adapters.sklearn.pandas_frames import frame_of, inputs_of, rounded, target_of
from mainspring.adapters.sklearn.probe import probe
from mainspring.develop.errors import FunctionFailed, NotConvertible
from mainspring.develop.ports import Trained, TrainingJob
from mainspring.kernel.contract import Input
from mainspring.stats.columns import Columns, Floats, is_null

_FIX = "return a fitted two-class classifier; run the function on a few rows in a test"


def _nothing_kept(estimator: object, trust: Sequence[str]) -> bytes:
    raise NotConvertible("models that run as Python are not kept here", fix="set training.runtime to onnx")


class SklearnTrainer:
    """Imports functions from a project's folder; fits; converts.

    root: the folder of the project file. kept: writes an estimator that is to run as Python, given the types that
    it may contain.
    """

    def __init__(self, root: Path, kept: Callable[[object, Sequence[str]], bytes] = _nothing_kept) -> None:
        self._root, self._kept = root, kept

    def train(self, job: TrainingJob) -> Trained:
        """Fit and convert. Raises `FunctionNotFound`, `FunctionFailed` or `NotConvertible`."""
        columns = rounded(job.columns)
        with imported(job.function, self._root) as function:
            started = time.perf_counter()
            estimator = _fit(function, columns, job)
            seconds = time.perf_counter() - started
            model, used = self._final(estimator, inputs_of(columns), job)
            rows, scores = _probe(estimator, rounded(job.holdout), columns, job.function)
        kept = {item.name: rows[item.name] for item in used}
        return Trained(
            model=model, inputs=used, output=OUTPUT, probe=kept, probe_scores=scores, fit_seconds=seconds
        )  # fmt: skip

    def _final(self, estimator: object, inputs: tuple[Input, ...], job: TrainingJob) -> tuple[bytes, tuple[Input, ...]]:
        """Return the model in its final form: a graph, or a file of Python objects where the project says so."""
        if job.runtime == "onnx":
            return convert(estimator, inputs)
        if isinstance(estimator, Network):
            raise NotConvertible("a PyTorch module is kept as a graph only", fix="leave out training.runtime")
        return self._kept(estimator, job.trust), inputs


def _fit(function: Any, columns: Columns, job: TrainingJob) -> Any:  # noqa: ANN401 - the user's estimator
    params: Mapping[str, Any] = dict(job.params)
    try:
        estimator = as_classifier(function(frame_of(columns), target_of(job.target), params), frame_of(columns))
    except FunctionFailed:
        raise
    except Exception as error:
        fix = missing_extra(error) or _FIX
        raise FunctionFailed(f"{job.function} failed: {type(error).__name__}: {error}", fix=fix) from error
    classes = getattr(estimator, "classes_", None)
    if not hasattr(estimator, "predict_proba") or classes is None:
        raise FunctionFailed(f"{job.function} returned {type(estimator).__name__}, not a fitted classifier", fix=_FIX)
    if list(classes) != [0, 1]:
        raise FunctionFailed(f"the classifier of {job.function} knows the classes {list(classes)[:5]}", fix=_FIX)
    return estimator


def _probe(estimator: Any, holdout: Columns, learnt: Columns, function: str) -> tuple[Columns, Floats]:  # noqa: ANN401
    nullable = [name for name, values in learnt.items() if values.dtype != object and is_null(values).any()]
    try:
        return probe(estimator, holdout, nullable)
    except Exception as error:
        what = f"the estimator of {function} cannot score holdout rows: {type(error).__name__}: {error}"
        raise FunctionFailed(what, fix=_FIX) from error
