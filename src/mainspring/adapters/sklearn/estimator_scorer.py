"""Answer rows with a fitted estimator itself, for models that do not convert."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mainspring.adapters.sklearn.pandas_frames import frame_of, rounded
from mainspring.kernel.contract import Input
from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Columns, Floats


class EstimatorScorer:
    """P(positive) for rows, given to the estimator in the frame that it was fitted on: numbers rounded to float32."""

    def __init__(self, estimator: Any, inputs: Sequence[Input]) -> None:  # noqa: ANN401 - any estimator
        self._estimator, self._names = estimator, [item.name for item in inputs]

    def __call__(self, columns: Columns, /) -> Floats:
        """Return one float64 a row. `columns` holds every input (others are ignored) and is not changed."""
        try:
            given = {name: columns[name] for name in self._names}
        except KeyError as error:
            raise InvalidValue(
                f"input {error.args[0]!r} is missing", fix="send every input that the model names"
            ) from None
        if not len(next(iter(given.values()))):
            return np.zeros(0)
        scores: Floats = np.asarray(self._estimator.predict_proba(frame_of(rounded(given)))[:, 1], np.float64)
        return scores
