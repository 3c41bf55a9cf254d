"""How much each input moved a row's score away from the score of a row that nothing is known of.

Shapley values (Lundberg and Lee, 2017) against a background, by `shap`'s antithetic permutations: every permutation is
walked forwards and backwards, so the values add up exactly to the score, and are exact for models whose inputs
interact in pairs at most (Strumbelj and Kononenko, 2014; Covert and Lee, 2021). It asks the model that serves, so it
explains trees, linear models and whatever else answers, texts included.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mainspring.kernel.contract import Input
from mainspring.kernel.errors import MainspringError
from mainspring.stats.columns import Array, Columns, Floats

METHOD = "permutation-shap"
PERMUTATIONS = 5
_SEED = 0


class ExplainMissing(MainspringError):
    """Explanations need an extra that is not installed."""

    code = "explain.missing"


class Attributions:
    """Explains rows of one model. background: rows that stand for "nothing is known", by input."""

    def __init__(self, score: Callable[[Columns], Floats], inputs: Sequence[Input], background: Columns) -> None:
        try:
            from shap import maskers
            from shap.explainers import Permutation
        except ImportError as error:
            raise ExplainMissing("explanations need shap", fix="pip install 'mainspring[explain]'") from error
        self._score, self._inputs, self._background = score, tuple(inputs), background
        self._permutation, self._masker = Permutation, maskers.Independent

    def of(self, columns: Columns) -> tuple[Floats, Floats]:
        """Return (base, values): n, and n by k in the order of the inputs; `base + values.sum(1)` is the score."""
        coded = _Coded(self._inputs, (self._background, columns))
        background, rows = coded.matrix(self._background), coded.matrix(columns)

        def scored(matrix: Floats) -> Floats:
            return self._score(coded.columns(matrix))

        explainer: Any = self._permutation(scored, self._masker(background, max_samples=len(background)), seed=_SEED)
        found = explainer(rows, max_evals=PERMUTATIONS * 2 * len(self._inputs) + 1, silent=True)
        base = np.broadcast_to(np.asarray(found.base_values, np.float64), len(rows)).copy()
        return base, np.asarray(found.values, np.float64)


class _Coded:
    """Texts as numbers, for shap masks numbers: each text that occurs has a code, null is one of them."""

    def __init__(self, inputs: Sequence[Input], tables: Sequence[Columns]) -> None:
        self._inputs = inputs
        self._texts: Mapping[str, Array] = {
            item.name: _levels([table[item.name] for table in tables]) for item in inputs if item.kind == "string"
        }

    def matrix(self, columns: Columns) -> Floats:
        """Return n by k numbers."""
        return np.column_stack([self._numbers(item.name, columns[item.name]) for item in self._inputs])

    def columns(self, matrix: Floats) -> Columns:
        """Return the columns that a matrix stands for."""
        return {
            item.name: self._texts[item.name][matrix[:, place].astype(np.intp)] if item.kind == "string"
            else np.ascontiguousarray(matrix[:, place])
            for place, item in enumerate(self._inputs)
        }  # fmt: skip

    def _numbers(self, name: str, values: Array) -> Floats:
        if name not in self._texts:
            return np.asarray(values, np.float64)
        codes = {text: code for code, text in enumerate(self._texts[name].tolist())}
        return np.array([codes[text] for text in values.tolist()], np.float64)


def _levels(columns: Sequence[Array]) -> Array:
    found = dict.fromkeys(text for column in columns for text in column.tolist())
    levels = np.empty(len(found), dtype=object)
    levels[:] = list(found)
    return levels
