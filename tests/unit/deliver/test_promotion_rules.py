"""What must hold before a version enters an environment: each rule, and what never counts."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.deliver.freezes import parse_freeze
from mainspring.deliver.promotion import (
    Approval,
    Entrance,
    Standing,
    Wanted,
    counted,
    entrance,
    entry_of,
    objections,
    stood,
)
from mainspring.deliver.release import (
    Champion,
    Logged,
    Plan,
    Release,
    Share,
    abort,
    finish,
    promote,
    promote_to_canary,
)
from mainspring.deliver.reports import read_report
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY, HOUR, parse_time

LADDER = ("local", "dev", "staging", "production")
NOW = parse_time("2026-11-26T12:00Z")
ONE, TWO = digest_of(1), digest_of(2)
PLAN = Plan(steps=(5, 100), hold=HOUR)
WANTED = Wanted(
    environment="production", model="m", version=1, digest=ONE, entry=1, at=NOW, movers=frozenset({"k9", "user:ann"})
)
YES = Approval(
    environment="production", model="m", version=1, digest=ONE, entry=1, at=NOW - HOUR, expires=NOW + HOUR
)  # fmt: skip
STANDING = Standing(
    environment="staging", release=Release(model="m", champion=Champion(version=1, digest=ONE)), since=NOW - 3 * DAY
)


def log_of(*releases: Release) -> list[Logged]:
    """A history, given oldest first."""
    return [Logged(str(place), release, {}) for place, release in enumerate(releases)][::-1]


@pytest.mark.parametrize(
    ("environment", "before"),
    [("local", ""), ("dev", ""), ("staging", "dev"), ("production", "staging"), ("other", "")],
)
def test_the_ladder_is_the_order_of_the_file_without_local(environment: str, before: str) -> None:
    assert entrance(LADDER, environment) == before


def test_an_entry_is_counted_by_how_often_the_digest_has_left() -> None:
    first = promote(None, "m", 1, ONE, PLAN)
    trial = promote_to_canary(first, 2, TWO)
    assert entry_of([], ONE) == 1
    assert (entry_of(log_of(first, trial), ONE), entry_of(log_of(first, trial), TWO)) == (1, 1)
    assert entry_of(log_of(first, trial, abort(trial)), TWO) == 2
    assert entry_of(log_of(first, trial, abort(trial), trial, abort(trial)), TWO) == 3
    assert (entry_of(log_of(first, trial, finish(trial)), ONE), entry_of(log_of(first, trial, finish(trial)), TWO)) == (
        2, 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "staging"}, {"model": "n"}, {"digest": TWO}, {"entry": 2}, {"expires": NOW}, {"entry": 0},
    ],
)  # fmt: skip
def test_an_approval_of_something_else_does_not_count(change: dict[str, Any]) -> None:
    assert counted(WANTED, {"bob#k1": YES}) == ("bob",)
    assert counted(WANTED, {"bob#k1": replace(YES, **change)}) == ()


def test_a_person_counts_once_and_not_for_their_own_work() -> None:
    yes = {"bob#k1": YES, "bob#k2": YES, "ann#k3": YES, "cat#k9": YES, "dan#k4": YES}
    assert counted(WANTED, yes) == ("bob", "dan")


def test_an_approval_must_last() -> None:
    with pytest.raises(InvalidValue):
        replace(YES, expires=YES.at)
    with pytest.raises(InvalidValue):
        replace(YES, digest="sha256:short")


ASKED = Entrance(environment="production", approvals=1, earlier="staging", soak=2 * DAY)


@pytest.mark.parametrize(
    ("standing", "what"),
    [
        (STANDING, []),
        (None, ["version 1 is not the champion of staging: nothing serves there yet"]),
        (replace(STANDING, release=None), ["version 1 is not the champion of staging: nothing serves there yet"]),
        (
            replace(STANDING, release=Release(model="m", champion=Champion(version=2, digest=TWO))),
            ["version 1 is not the champion of staging: version 2 answers there"],
        ),
        (replace(STANDING, since=None), ["the ledger does not say since when it answers in staging"]),
        (
            replace(STANDING, since=NOW - DAY),
            ["it has answered in staging for less than 2d: wait until 2026-11-27T12:00:00Z"],
        ),
        (replace(STANDING, troubles=("the last window in staging shows x",)), ["the last window in staging shows x"]),
    ],
)
def test_what_was_not_tested_long_and_well_is_refused(standing: Standing | None, what: list[str]) -> None:
    assert objections(ASKED, WANTED, standing, ("bob",)) == what


def test_every_objection_is_told_at_once() -> None:
    frozen = replace(ASKED, freezes=(parse_freeze("2026-11-26", "2026-11-28", "UTC", "stock-taking"),))
    found = objections(frozen, WANTED, None, ())
    assert len(found) == 3
    assert found[1].startswith(
        "it has 0 of 1 approvals: mainspring approve 1 --env production, by somebody who neither"
    )
    assert found[2] == "production is frozen until 2026-11-28T00:00:00Z: stock-taking"


@given(approvals=st.integers(0, 5), given=st.integers(0, 5))
def test_too_few_approvals_are_an_objection_and_enough_are_none(approvals: int, given: int) -> None:
    asked = Entrance(environment="dev", approvals=approvals)
    names = [f"p{number}" for number in range(given)]
    assert bool(objections(asked, WANTED, None, names)) == (given < approvals)


def moved(at: int, kind: str, champion: str, challenger: str = "") -> dict[str, Any]:
    trial = {"version": 2, "digest": challenger} if challenger else None
    return {"at": at, "kind": kind, "body": {"champion": {"digest": champion}, "challenger": trial}}


def judged(at: int, *signals: str, faults: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"at": at, "kind": "window.judged", "body": {"signals": signals, "faults": faults}}


def test_standing_begins_when_the_version_became_champion_there() -> None:
    story = [
        moved(1, "release.promoted", ONE), moved(2, "release.promoted", ONE, TWO), judged(3, "quality"),
        moved(4, "release.aborted", ONE), moved(5, "release.promoted", ONE, TWO), moved(6, "release.finished", TWO),
        judged(7), judged(8, "output_drift"),
    ]  # fmt: skip
    found = stood(story, Standing(environment="staging"), TWO)
    assert (found.since, found.windows, found.aborts, found.troubles) == (6, 2, 1, ())
    assert stood(story, Standing(environment="staging"), ONE).since is None
    sick = stood([*story, judged(9, "quality", faults=("size is null",))], Standing(environment="staging"), TWO)
    assert sick.troubles == (
        "the last window in staging shows lost quality", "the last window in staging shows size is null",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "share", "weight", "floor"),
    [
        ("canary", None, 5, 0), ("shadow", None, 0, 0), ("ab", Share(40), 40, 0), ("ab", None, 5, 0),
        ("bandit", Share(40, 10), 40, 10),
    ],
)  # fmt: skip
def test_each_mode_has_its_share(mode: Any, share: Share | None, weight: int, floor: int) -> None:  # noqa: ANN401 - a mode
    trial = promote_to_canary(promote(None, "m", 1, ONE, PLAN), 2, TWO, mode=mode, share=share).challenger
    assert trial is not None
    assert (trial.mode, trial.weight, trial.floor) == (mode, weight, floor)


@pytest.mark.parametrize(
    ("mode", "share"),
    [
        ("canary", Share(5)), ("shadow", Share(5)), ("ab", Share(0)), ("ab", Share(100)), ("ab", Share(101)),
        ("ab", Share(-1)), ("ab", Share(40, 10)), ("bandit", Share(40, 41)), ("bandit", Share(40, -1)),
    ],
)  # fmt: skip
def test_a_share_that_makes_no_sense_is_refused(mode: Any, share: Share) -> None:  # noqa: ANN401 - a mode
    with pytest.raises(InvalidValue):
        promote_to_canary(promote(None, "m", 1, ONE, PLAN), 2, TWO, mode=mode, share=share)


@pytest.mark.parametrize(
    ("kind", "text", "format", "counts"),
    [
        ("sbom", '{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{}, {}]}', "CycloneDX 1.6", 2),
        ("sbom", '{"spdxVersion": "SPDX-2.3", "packages": [{}]}', "SPDX-2.3", 1),
        ("scan", '{"version": "2.1.0", "runs": [{"results": [{"level": "error"}, {}]}]}', "SARIF", 2),
        ("scan", '{"ArtifactName": "x", "Results": [{"Vulnerabilities": [{"Severity": "HIGH"}]}, {}]}', "Trivy", 1),
        ("scan", '{"dependencies": [{"name": "a", "vulns": [{"id": "x"}]}]}', "pip-audit", 1),
    ],
)
def test_reports_are_known_by_their_form(kind: str, text: str, format: str, counts: int) -> None:
    found = read_report(kind, "r.json", text.encode())
    assert (found.format, sum(found.counts.values())) == (format, counts)


@pytest.mark.parametrize("kind", ["sbom", "scan"])
@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"runs": 1}', b'{"version": 1}'])
def test_what_is_no_report_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(InvalidValue, match=r"r\.json is not"):
        read_report(kind, "r.json", data)
