"""Nothing that was unknown when the holdout began is learnt from, and what cannot be learnt is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.develop.errors import OneClass, TooFewRows
from mainspring.develop.examples import holdout_rows, span_of, split, training_rows
from mainspring.develop.runs import Run, TrainingPlan
from mainspring.stats.columns import Columns

DIGEST = "sha256:" + "0" * 64


def _run(*, min_rows: int = 2, window: int | None = None) -> Run:
    plan = TrainingPlan(function="m:f", window=window, holdout=40, min_rows=min_rows)
    return Run(id="r", model="m", at=100, snapshot=DIGEST, definitions={}, training=plan, code=DIGEST)


def _examples(rows: list[tuple[int, int, int]]) -> Columns:
    asked, known, value = (np.array(column) for column in zip(*rows, strict=True))
    return {"row": np.arange(len(rows)), "asked_at": asked, "known_at": known, "value": value.astype(np.float64)}


ANCHORS = [(0, 1, 0), (1, 2, 1), (70, 71, 0), (71, 72, 1)]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 100), st.integers(0, 1)), max_size=50))
def test_learning_uses_only_what_was_known_before_the_holdout(rows: list[tuple[int, int, int]]) -> None:
    given_rows = [*ANCHORS, *((asked, max(asked, known), value) for asked, known, value in rows)]
    chosen = split(_examples(given_rows), _run())
    learnt, judged = training_rows(chosen), holdout_rows(chosen)
    assert all(given_rows[row][0] < 60 and given_rows[row][1] <= 60 for row in learnt["row"])
    assert all(given_rows[row][0] >= 60 for row in judged["row"])
    assert len(judged["row"]) == sum(asked >= 60 for asked, _, _ in given_rows)
    assert len(learnt["row"]) == sum(asked < 60 and known <= 60 for asked, known, _ in given_rows)


def test_too_few_rows_and_one_outcome_are_refused_with_the_numbers() -> None:
    with pytest.raises(TooFewRows, match=r"only 2 labelled rows to learn from .* at least 3 are needed"):
        split(_examples(ANCHORS), _run(min_rows=3))
    with pytest.raises(TooFewRows, match="only 1 labelled rows to judge on"):
        split(_examples(ANCHORS[:3]), _run())
    with pytest.raises(OneClass, match=r"all 2 rows to judge on .* have the outcome 0"):
        split(_examples([*ANCHORS[:3], (80, 81, 0)]), _run())
    with pytest.raises(TooFewRows, match="only 0 labelled rows to learn from"):
        split(_examples(ANCHORS[2:]), _run())


def test_a_window_limits_how_far_back_a_run_looks() -> None:
    assert span_of(_run(window=90)) == (10, 100)
    assert span_of(_run())[1] == 100
