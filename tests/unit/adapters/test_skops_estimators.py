"""An estimator as a file: the same bytes for the same training, and nothing that was not allowed by name."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mainspring.adapters.skops.estimators import TypesRefused, loaded, saved
from mainspring.develop.errors import NotConvertible

RANDOM = np.random.default_rng(1)
FRAME = pd.DataFrame({"a": RANDOM.normal(size=300), "b": RANDOM.normal(size=300)})
TARGET = (FRAME["a"] + RANDOM.normal(size=300) > 0).astype(int)
TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"


def _linear() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, TARGET)


def _trees() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(FRAME, TARGET)


def test_the_same_training_gives_the_same_bytes() -> None:
    first = saved(_linear(), ())
    held = [np.zeros(1_000) for _ in range(50)]  # other addresses in memory
    assert saved(_linear(), ()) == first
    assert held
    assert saved(_trees(), [TREES]) == saved(_trees(), [TREES])


def test_it_answers_as_the_original() -> None:
    original = _trees()
    opened = loaded(saved(original, [TREES]), [TREES])
    assert np.array_equal(opened.predict_proba(FRAME), original.predict_proba(FRAME))


def test_a_type_that_nobody_allowed_is_named_and_not_constructed() -> None:
    with pytest.raises(TypesRefused, match="TreePredictor"):
        saved(_trees(), ())
    with pytest.raises(TypesRefused, match="TreePredictor"):
        loaded(saved(_trees(), [TREES]), ["sklearn.linear_model.LogisticRegression"])
    with pytest.raises(TypesRefused, match="not acceptable"):
        loaded(b"\x80\x04K\x01.", [])


def test_what_skops_cannot_write_is_told() -> None:
    with pytest.raises((NotConvertible, TypesRefused)):
        saved(make_pipeline(FunctionTransformer(lambda frame: frame), LogisticRegression()).fit(FRAME, TARGET), ())
