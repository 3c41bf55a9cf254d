"""Boosted trees of LightGBM and XGBoost: their converters for skl2onnx, and the thresholds that they split on.

Both libraries are an extra (`boost`), imported only when a fit function has returned one of their estimators. LightGBM
compares float64 (x <= t): its thresholds are rounded down to float32 like scikit-learn's (`convert`). XGBoost compares
float32 (x < t), so its thresholds are exact. onnxmltools reads XGBoost's features by number, never by name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mainspring.develop.errors import NotConvertible
from mainspring.stats.columns import Array

_OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
_KNOWN = ("LGBMClassifier", "XGBClassifier")


def boosted_inside(estimator: Any) -> list[Any]:  # noqa: ANN401 - any estimator
    """Return the boosted estimators of these libraries in an estimator, itself or the steps of a pipeline."""
    found = [step for _, step in getattr(estimator, "steps", ())] or [estimator]
    found += [item.estimator for model in list(found) for item in getattr(model, "calibrated_classifiers_", ())]
    return [model for model in found if type(model).__name__ in _KNOWN]


@contextmanager
def convertible(estimator: Any) -> Iterator[None]:  # noqa: ANN401 - any estimator
    """Make boosted trees inside `estimator` convertible for a while; nothing changes where there are none."""
    models = boosted_inside(estimator)
    names = []
    for model in models:
        _register(model)
        if type(model).__name__ == "XGBClassifier":
            booster = model.get_booster()
            names.append((booster, booster.feature_names))
            booster.feature_names = None
    try:
        yield
    finally:
        for booster, kept in names:
            booster.feature_names = kept


def split_points(model: Any) -> dict[int, Array] | None:  # noqa: ANN401 - any estimator
    """Return column -> thresholds of a boosted model, or None for any other."""
    name = type(model).__name__
    if name not in _KNOWN:
        return None
    if name == "LGBMClassifier":
        features, table = model.booster_.feature_name(), model.booster_.trees_to_dataframe()
        table = table[table["decision_type"] == "<="]
        pairs = list(zip(table["split_feature"], table["threshold"].astype(np.float64), strict=True))
    else:
        booster = model.get_booster()
        table = booster.trees_to_dataframe()
        table = table[table["Feature"] != "Leaf"]
        features = booster.feature_names or [f"f{place}" for place in range(booster.num_features())]
        pairs = list(zip(table["Feature"], table["Split"].astype(np.float64), strict=True))
    places = {feature: place for place, feature in enumerate(features)}
    found: dict[int, list[float]] = {}
    for feature, cut in pairs:
        found.setdefault(places[feature], []).append(cut)
    return {place: np.unique(cuts) for place, cuts in found.items()}


def _register(model: Any) -> None:  # noqa: ANN401 - an estimator
    try:
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    except ImportError as error:
        name = type(model).__name__
        raise NotConvertible(f"{name} needs onnxmltools to convert", fix="pip install 'mainspring[boost]'") from error
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    converter = convert_lightgbm if type(model).__name__ == "LGBMClassifier" else convert_xgboost
    update_registered_converter(
        type(model), f"mainspring{type(model).__name__}", calculate_linear_classifier_output_shapes, converter,
        overwrite=True, options=_OPTIONS,
    )  # fmt: skip
