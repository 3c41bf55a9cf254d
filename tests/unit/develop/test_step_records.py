"""Step keys: a step runs again exactly when something that matters to it changed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.develop.errors import StepFailed, TooFewRows, UnknownStep, told
from mainspring.develop.plan import NOT_YET, explain
from mainspring.develop.runs import Run, TrainingPlan, read_run
from mainspring.develop.steps import (
    STEPS,
    Outcome,
    command,
    files_of,
    read_outcome,
    step_inputs,
    step_key,
    step_named,
)  # fmt: skip
from mainspring.kernel.digests import canonical_json, digest_of
from mainspring.kernel.errors import Damaged

PLAN = TrainingPlan(function="m:fit", window=None, holdout=86_400_000_000, params={"depth": 3, "rate": 0.1, "on": True})
RUN = Run(
    id="r1", model="m", at=1_700_000_000_000_000, snapshot="sha256:" + "1" * 64, definitions={"views": []},
    training=PLAN, code="sha256:" + "2" * 64,
)  # fmt: skip


def _keys(run: Run) -> dict[str, str]:
    """Return the key of each step if every step's files follow from its key."""
    files: dict[str, str] = {}
    keys = {}
    for step in STEPS:
        keys[step.name] = step_key(step, step_inputs(step, run, files))
        files |= {name: digest_of([keys[step.name], name]) for name in step.writes}
    return keys


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        (replace(RUN, id="r2", reason="why not", commit="abc", dirty=True), None),
        (replace(RUN, snapshot="sha256:" + "3" * 64), "fetch-data"),
        (replace(RUN, definitions={"views": [1]}), "fetch-data"),
        (replace(RUN, at=RUN.at + 1), "preprocess"),
        (replace(RUN, training=replace(PLAN, window=10**12)), "preprocess"),
        (replace(RUN, training=replace(PLAN, holdout=10**12)), "preprocess"),
        (replace(RUN, code="sha256:" + "4" * 64), "train-model"),
        (replace(RUN, training=replace(PLAN, function="m:other")), "train-model"),
        (replace(RUN, training=replace(PLAN, params={**PLAN.params, "on": 1})), "train-model"),
        (replace(RUN, champion="sha256:" + "5" * 64), "validate-model"),
        (replace(RUN, training=replace(PLAN, slices=("a",))), "validate-model"),
        (replace(RUN, training=replace(PLAN, epsilons=(0.1,))), "validate-model"),
        (replace(RUN, training=replace(PLAN, confidence=0.9)), "validate-model"),
    ],
)
def test_a_change_reruns_from_the_first_step_that_it_concerns(changed: Run, first: str | None) -> None:
    before, after = _keys(RUN), _keys(changed)
    differing = [name for name in before if before[name] != after[name]]
    names = [step.name for step in STEPS]
    assert differing == ([] if first is None else names[names.index(first) :])


VALUES = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(max_size=5))


@given(params=st.dictionaries(st.text(max_size=5), VALUES, max_size=4), window=st.none() | st.integers(1, 10**15))
def test_a_run_survives_json(params: dict[str, str | int | float | bool], window: int | None) -> None:
    run = replace(RUN, training=replace(PLAN, params=params, window=window, slices=("a", "b"), epsilons=(0.5,)))
    assert canonical_json(read_run(run.to_json()).to_json()) == canonical_json(run.to_json())


def _outcome(step: str, run: Run, files: dict[str, str], made_by: str = "r0") -> Outcome:
    found = step_named(step)
    inputs = step_inputs(found, run, files)
    outputs = {name: digest_of([step_key(found, inputs), name]) for name in found.writes}
    return Outcome(step=step, key=step_key(found, inputs), inputs=inputs, outputs=outputs, seconds=2.0, run=made_by)


def _all(run: Run) -> dict[str, Outcome]:
    done: dict[str, Outcome] = {}
    for step in STEPS:
        done[step.name] = _outcome(step.name, run, files_of(list(done.values())))
    return done


def test_explain_says_reused_for_equal_inputs_and_names_the_change_else() -> None:
    done = _all(RUN)
    by_key = {outcome.key: outcome for outcome in done.values()}
    same = explain(replace(RUN, id="r9"), by_key.get, done)
    assert [item.reused_from for item in same] == ["r0"] * 5
    later = explain(replace(RUN, at=RUN.at + 1_000_000), by_key.get, done)
    assert [bool(item.reused_from) for item in later] == [True, False, False, False, False]
    assert [change.input for change in later[1].why] == ["at"]
    assert "2023-11-14T22:13:20Z -> 2023-11-14T22:13:21Z" in str(later[1])
    assert later[2].why[0].new == NOT_YET
    assert str(explain(RUN, lambda _: None, {})[0]) == "fetch-data: will run, it has not run for these inputs"


def test_an_outcome_survives_json_and_damage_is_told() -> None:
    outcome = _outcome("fetch-data", RUN, {})
    assert read_outcome(outcome.to_json()) == outcome
    for broken in ({}, {**outcome.to_json(), "schema": 2}, {**outcome.to_json(), "seconds": "x"}, {"schema": 1}):
        with pytest.raises(Damaged):
            read_outcome(broken)


def test_an_unknown_step_is_told_with_the_names() -> None:
    with pytest.raises(UnknownStep, match="fetch"):
        command("fetch", "r1")
    assert command("fetch-data", "r1") == ("step", "fetch-data", "--run", "r1")


def test_an_error_told_by_another_process_keeps_its_words_and_code() -> None:
    known = told({"code": "train.too_few_rows", "what": "only 3 rows", "fix": "add some"})
    assert isinstance(known, TooFewRows)
    other = told({"code": "feature.leak", "what": "x reads y", "fix": "don't"})
    assert isinstance(other, StepFailed)
    assert str(other) == "x reads y [feature.leak]\n  fix: don't"
