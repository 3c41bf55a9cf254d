"""An estimator outside a pipeline converts as one inside does."""

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from mainspring.adapters.onnx.scorer import Scorer
from mainspring.adapters.sklearn.convert import convert
from mainspring.adapters.sklearn.pandas_frames import frame_of, inputs_of
from mainspring.stats.columns import Columns


def test_a_bare_estimator_converts_under_its_columns_names() -> None:
    source = np.random.default_rng(5)
    columns: Columns = {
        f"v.x{i}": source.normal(size=300).astype(np.float32).astype(np.float64) for i in (3, 1, 2, 12, 0)
    }
    estimator = GradientBoostingClassifier(n_estimators=20).fit(frame_of(columns), columns["v.x3"] > columns["v.x12"])
    graph, used = convert(estimator, inputs_of(columns))
    assert [item.name for item in used] == list(columns)
    expected = estimator.predict_proba(frame_of(columns))[:, 1]
    assert np.abs(Scorer(graph, used)(columns) - expected).max() < 1e-6
