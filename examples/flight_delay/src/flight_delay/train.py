"""Fit the flight delay model: gradient boosted trees on encoded categories, with calibrated probabilities.

The recipe is one that converts to ONNX faithfully (the trees' own handling of categories does not, nor does isotonic
calibration). Only the columns named here reach the model; the others stay in the training table, unused.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, TargetEncoder

SEED = 2013
RECENT = 56_000  # rows: about two months of flights
BLOCK = 3_000  # rows of about three days: flights of one day share its weather, so days are calibrated on other days
FEW_LEVELS = ["schedule.carrier", "schedule.origin"]
MANY_LEVELS = ["schedule.dest"]
NUMBERS = [
    "schedule.distance",
    "schedule.scheduled_minutes",
    "schedule.hour",
    "schedule.weekday",
    "schedule.month",
    "weather.temp",
    "weather.dewp",
    "weather.humid",
    "weather.wind_dir",
    "weather.wind_speed",
    "weather.precip",
    "weather.pressure",
    "weather.visib",
    "plane.seats",
    "plane.age",
    "carrier_lately_24h.late_share",
    "carrier_lately_24h.delay",
    "carrier_lately_24h.flights",
    "carrier_lately_7d.late_share",
    "carrier_lately_7d.delay",
    "origin_lately_24h.late_share",
    "origin_lately_24h.delay",
    "origin_lately_24h.flights",
    "origin_lately_7d.late_share",
    "route_lately_7d.late_share",
    "route_lately_7d.delay",
]
VENDOR = "vendor.vendor_risk"


def thinned(rows: int) -> np.ndarray:
    """Return the rows to learn from: the newest two months, and every other one before them, for speed."""
    return np.unique(np.concatenate([np.arange(0, rows, 2), np.arange(max(0, rows - RECENT), rows)]))


def shuffled_folds() -> StratifiedKFold:
    """Return folds for the target encoder; the seed keeps a training repeatable."""
    return StratifiedKFold(3, shuffle=True, random_state=SEED)


def fit(frame: pd.DataFrame, target: pd.Series, params: Mapping[str, str | int | float | bool]) -> Pipeline:
    """Return a fitted classifier of `target` (1 = at least 15 minutes late) on the used columns of `frame`.

    params, all optional: max_iter, learning_rate, max_leaf_nodes, min_samples_leaf, l2, max_bins (of the trees);
    use_vendor (the fault drill: also learn from the simulated vendor score); shuffle_target (the other drill:
    learn from shuffled answers, which no gate should let through).
    """
    if params.get("shuffle_target", False):
        shuffled = np.random.default_rng(SEED).permutation(target.to_numpy())
        target = pd.Series(shuffled, index=target.index, name=target.name)
    kept = thinned(len(target))
    frame, target = frame.iloc[kept], target.iloc[kept]
    numbers = [*NUMBERS, VENDOR] if params.get("use_vendor", False) else NUMBERS
    trees = HistGradientBoostingClassifier(
        max_iter=int(params.get("max_iter", 30)),
        learning_rate=float(params.get("learning_rate", 0.25)),
        max_leaf_nodes=int(params.get("max_leaf_nodes", 31)),
        min_samples_leaf=int(params.get("min_samples_leaf", 200)),
        l2_regularization=float(params.get("l2", 1.0)),
        max_bins=int(params.get("max_bins", 63)),
        early_stopping=False,
        random_state=SEED,
    )
    encode = ColumnTransformer(
        [
            ("few", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), FEW_LEVELS),
            ("many", TargetEncoder(target_type="binary", smooth=50.0, cv=shuffled_folds()), MANY_LEVELS),
            ("numbers", "passthrough", numbers),
        ],
        remainder="drop",
        verbose_feature_names_out=False,
    )
    # rows come in order of time; every other block, for halves of the year would judge models of another season
    days = np.arange(len(target)) // min(BLOCK, len(target) // 10 + 1) % 2
    folds = [(np.flatnonzero(days != part), np.flatnonzero(days == part)) for part in (0, 1)]
    model = CalibratedClassifierCV(trees, method="sigmoid", ensemble=False, cv=folds)
    return Pipeline([("encode", encode), ("model", model)]).fit(frame, target)
