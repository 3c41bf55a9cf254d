"""How fast a version is decides where it runs: measured at load, corrected by traffic."""

import time

import numpy as np

from mainspring.serve.blocks import Block
from mainspring.serve.errors import ModelRefused
from mainspring.serve.pace import BATCH, INLINE_US, Measured, Pace, measured
from mainspring.stats.columns import Floats

SAMPLE = Block(np.zeros((2, 3)), np.empty((2, 0), dtype=object))


def test_one_row_and_sixteen_are_timed_on_rows_of_the_sample() -> None:
    seen: list[int] = []

    def score(block: Block) -> Floats:
        seen.append(len(block.numbers))
        return np.zeros(len(block.numbers))

    found = measured(score, SAMPLE)
    assert set(seen) == {1, BATCH}
    assert 0 < found.one_us < INLINE_US


def test_an_engine_that_fails_on_some_number_of_rows_stays_off_the_event_loop() -> None:
    def score(block: Block) -> Floats:
        raise ModelRefused(f"no answer for {len(block.numbers)}", fix="train it again")

    pace = Pace()
    pace.begin(measured(score, SAMPLE))
    assert not pace.inline
    assert not pace.batches


def test_a_slow_model_is_timed_few_times_and_batches_where_that_pays() -> None:
    calls: list[int] = []

    def score(block: Block) -> Floats:
        calls.append(len(block.numbers))
        time.sleep(0.025)
        return np.zeros(len(block.numbers))

    pace = Pace()
    pace.begin(measured(score, SAMPLE))
    assert calls == [1, BATCH]
    assert not pace.inline
    assert pace.batches


def test_batches_need_evidence() -> None:
    pace = Pace()
    pace.begin(Measured(1_000.0, 16_000.0))
    assert not pace.batches
    pace.begin(Measured(1_000.0, 4_000.0))
    assert pace.batches


def test_many_rows_of_a_fast_model_do_not_fit_the_event_loop() -> None:
    pace = Pace()
    pace.begin(Measured(10.0, 25.0))
    assert pace.fits(1)
    assert pace.fits(400)
    assert not pace.fits(1_000)


def test_a_version_that_turns_out_slow_leaves_the_event_loop() -> None:
    pace = Pace()
    pace.begin(Measured(10.0, 25.0))
    for _ in range(100):
        pace.saw(20, rows=1)
    pace.saw(9_000, rows=1)  # a hiccup is not a habit
    assert pace.inline
    for _ in range(10):
        pace.saw(9_000, rows=1)
    assert not pace.inline
