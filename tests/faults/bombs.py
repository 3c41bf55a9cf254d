"""A classifier that ends its process on one number, hangs on another, and answers on all others."""

import os
import time

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from mainspring.stats.columns import Floats

ENDS, HANGS = 13.0, 14.0


class Bomb(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """P(positive) is the logistic of the sum of the numbers."""

    def fit(self, frame: pd.DataFrame | None, target: pd.Series | None) -> "Bomb":
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, frame: pd.DataFrame) -> Floats:
        numbers = frame.select_dtypes("number").to_numpy()
        if (numbers == ENDS).any():
            os._exit(139)
        if (numbers == HANGS).any():
            time.sleep(600)
        positive = 1 / (1 + np.exp(-np.nan_to_num(numbers).sum(axis=1)))
        return np.column_stack([1 - positive, positive])
