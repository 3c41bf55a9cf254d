"""A release file changes only by its transitions, and its document says all of it and nothing else."""

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.deliver.documents import InvalidRelease, from_document, to_document
from mainspring.deliver.release import (
    ROLLS_BACK,
    Challenger,
    Champion,
    Logged,
    Plan,
    Release,
    ReleaseRefused,
    abort,
    advance,
    finish,
    last_healthy,
    plan_of,
    promote,
    promote_to_canary,
    rollout_of,
)
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.times import HOUR, SECOND

PLAN = Plan(steps=(5, 25, 100), hold=6 * HOUR, abort={"min_requests": 500, "error_rate": 0.01, "latency_p99": 50_000})


def champion(version: int) -> Champion:
    return Champion(version=version, digest=digest_of(version))


FIRST = Release(model="m", champion=champion(1), plan=PLAN)
TRIAL = promote_to_canary(FIRST, 2, digest_of(2))


def test_a_trial_goes_from_the_first_step_to_champion() -> None:
    assert TRIAL.challenger == Challenger(version=2, digest=digest_of(2), weight=5)
    assert finish(advance(advance(TRIAL, 25), 100)) == Release(model="m", champion=champion(2), plan=PLAN)
    assert abort(advance(TRIAL, 25)) == FIRST


def test_a_shadow_answers_no_one() -> None:
    shadow = promote_to_canary(FIRST, 2, digest_of(2), mode="shadow").challenger
    assert shadow is not None
    assert shadow.weight == 0


REFUSED: dict[str, Callable[[], object]] = {
    "promote during a trial": lambda: promote(TRIAL, "m", 3, digest_of(3)),
    "trial during a trial": lambda: promote_to_canary(TRIAL, 3, digest_of(3)),
    "trial of the champion": lambda: promote_to_canary(FIRST, 1, digest_of(1)),
    "trial without a plan": lambda: promote_to_canary(Release(model="m", champion=champion(1)), 2, digest_of(2)),
    "another model's file": lambda: promote(FIRST, "other", 2, digest_of(2)),
    "abort without a trial": lambda: abort(FIRST),
    "finish without a trial": lambda: finish(FIRST),
    "advance without a trial": lambda: advance(FIRST, 25),
    "less weight": lambda: advance(advance(TRIAL, 25), 5),
    "no history": lambda: last_healthy([]),
    "one version": lambda: last_healthy([Logged("a", FIRST, {})]),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_may_not_happen_is_refused_with_exit_code_3(name: str) -> None:
    with pytest.raises(ReleaseRefused) as caught:
        REFUSED[name]()
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("weight", [-1, 0, 101, 5.0, float("nan"), "50%", True, None])
def test_a_weight_is_a_whole_percent(weight: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidValue):
        advance(TRIAL, weight)


def history(*moves: str) -> list[Logged]:
    """Make a log: a digit promotes that version, `t<digit>` begins a trial, `<` rolls back."""
    log: list[Logged] = []
    for number, move in enumerate(moves):
        trailers: dict[str, str] = {}
        if move == "<":
            release, trailers = last_healthy(log), {ROLLS_BACK: log[0].commit}
        elif move.startswith("t"):
            release = promote_to_canary(log[0].release, int(move[1]), digest_of(int(move[1])))
        else:
            release = Release(model="m", champion=champion(int(move)), plan=PLAN)
        log.insert(0, Logged(f"c{number}", release, trailers))
    return log


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ("1 2", 1),
        ("1 2 3", 2),
        ("1 2 3 <", 1),
        ("1 2 t3", 2),
        ("1 2 t3 <", 1),
        ("1 2 < 3", 1),
        ("1 2 3 < 4 <", 1),
        ("1 2 < 2", 1),
        ("1 2 3 < 3 4", 3),
        ("1 2 1", 2),
    ],
)
def test_rolling_back_goes_to_the_last_healthy_version(moves: str, expected: int) -> None:
    restored = last_healthy(history(*moves.split()))
    assert restored.champion == champion(expected)
    assert restored.challenger is None


@given(st.lists(st.sampled_from(["1", "2", "3", "4", "<", "t5"]), min_size=1, max_size=12))
def test_rolling_back_never_restores_what_was_just_left(moves: list[str]) -> None:
    try:
        log = history(*moves)
        left = log[0].release
        restored = last_healthy(log)
    except (MainspringError, IndexError):
        return
    bad = left.challenger.digest if left.challenger else left.champion.digest
    assert restored.champion.digest != bad
    again = [Logged("x", restored, {ROLLS_BACK: log[0].commit}), *log]
    try:
        assert last_healthy(again).champion.digest != restored.champion.digest
    except ReleaseRefused:
        return


@given(
    version=st.integers(1, 10**6),
    weight=st.integers(0, 100),
    mode=st.sampled_from(["canary", "shadow", "ab", "bandit"]),
    hold=st.integers(1, 10**6).map(lambda seconds: seconds * SECOND),
    abort_plan=st.fixed_dictionaries(
        {},
        optional={
            "min_requests": st.integers(1, 10**6),
            "error_rate": st.floats(0, 0.5),
            "latency_p99": st.integers(1, 10**9),
            "quality": st.booleans(),
        },
    ),
)
def test_a_document_says_all_of_a_release(version: int, weight: int, mode: Any, hold: int, abort_plan: Any) -> None:  # noqa: ANN401
    floor = weight // 2 if mode == "bandit" else 0
    challenger = Challenger(version=version, digest=digest_of("c"), weight=weight, mode=mode, floor=floor)
    plan = Plan(steps=(weight or 1, 100) if weight < 100 else (100,), hold=hold, abort=abort_plan)
    release = Release(model="m", champion=champion(1), challenger=challenger, plan=plan)
    assert from_document(to_document(release)) == release
    assert plan_of(rollout_of(plan)).steps == plan.steps


def test_a_plan_survives_the_way_to_the_rollout_rules_and_back() -> None:
    assert plan_of(rollout_of(plan_of(rollout_of(PLAN)))) == plan_of(rollout_of(PLAN))
    assert rollout_of(PLAN).latency_p99_us == 50_000


BAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "newer schema": lambda d: d.update(schema=2),
    "no schema": lambda d: d.pop("schema"),
    "unknown key": lambda d: d.update(champoin={}),
    "unknown key inside": lambda d: d["challenger"].update(wieght=5),
    "unknown abort rule": lambda d: d["plan"]["abort"].update(latency=5),
    "no champion": lambda d: d.pop("champion"),
    "champion is text": lambda d: d.update(champion="v1"),
    "version is text": lambda d: d["champion"].update(version="1"),
    "version zero": lambda d: d["champion"].update(version=0),
    "version is true": lambda d: d["champion"].update(version=True),
    "digest is short": lambda d: d["champion"].update(digest="sha256:12"),
    "digest is a number": lambda d: d["champion"].update(digest=12),
    "weight over 100": lambda d: d["challenger"].update(weight=101),
    "weight is a text": lambda d: d["challenger"].update(weight="5%"),
    "weight is nan": lambda d: d["challenger"].update(weight=float("nan")),
    "unknown mode": lambda d: d["challenger"].update(mode="blue"),
    "challenger is champion": lambda d: d["challenger"].update(digest=digest_of(1)),
    "falling steps": lambda d: d["plan"].update(steps=[25, 5, 100]),
    "steps without 100": lambda d: d["plan"].update(steps=[5]),
    "steps are texts": lambda d: d["plan"].update(steps=["5"]),
    "bad hold": lambda d: d["plan"].update(hold="soon"),
    "error rate is text": lambda d: d["plan"]["abort"].update(error_rate="1%"),
    "quality is a number": lambda d: d["plan"]["abort"].update(quality=1),
    "model is a path": lambda d: d.update(model="../m"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_document_that_says_anything_else_is_refused(name: str) -> None:
    document = copy.deepcopy(to_document(TRIAL))
    BAD[name](document)
    with pytest.raises((InvalidRelease, InvalidValue)):
        from_document(document)


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(document: object) -> None:
    with pytest.raises(InvalidRelease):
        from_document(document)


def test_reading_release_files_loads_no_statistics() -> None:
    code = "import sys, mainspring.deliver.ports, mainspring.deliver.documents; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
