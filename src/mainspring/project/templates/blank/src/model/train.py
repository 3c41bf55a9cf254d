"""Fit the model: gradient boosted trees on the numbers, with calibrated probabilities."""

from collections.abc import Mapping

import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

NUMBERS = ["request.amount", "request.hour", "customer_lately.bad_share", "customer_lately.events"]


def fit(frame: pd.DataFrame, target: pd.Series, params: Mapping[str, str | int | float | bool]) -> Pipeline:
    """Return a fitted classifier of `target` on the columns of `frame` that it names.

    params: what stands under `training.params` or comes with `mainspring train --set name=value`.
    """
    trees = HistGradientBoostingClassifier(
        max_iter=int(params.get("max_iter", 60)),
        learning_rate=float(params.get("learning_rate", 0.1)),
        early_stopping=False,
        random_state=1,
    )
    pick = ColumnTransformer([("numbers", "passthrough", NUMBERS)], remainder="drop", verbose_feature_names_out=False)
    folds = StratifiedKFold(2, shuffle=True, random_state=1)
    model = CalibratedClassifierCV(trees, method="sigmoid", ensemble=False, cv=folds)
    return Pipeline([("pick", pick), ("model", model)]).fit(frame, target)
