"""The present at a glance."""

from tests.unit.flows.story import ENVIRONMENT, MODEL, START, TICK, Watched, good, silent

from mainspring.flows.status import Status, status


def now(watched: Watched) -> Status:
    return status(MODEL, ENVIRONMENT, every=TICK, ledger=watched.ledger, files=watched.release.files)


def test_before_anything_happened_there_is_nothing_to_show() -> None:
    found = now(Watched())
    assert (found.release, found.commit, found.windows, found.decisions) == (None, "", (), ())
    assert (found.next_check, found.events) == (0, 0)
    assert found.to_json()["release"] is None


def test_the_last_windows_and_decisions_come_newest_first() -> None:
    watched = Watched()
    watched.begin()
    watched.run(6)
    watched.try_out(silent)
    watched.tick()
    found = now(watched)
    assert [window["end"] for window in found.windows] == [START + n * TICK for n in (7, 6, 5, 4, 3)]
    assert found.next_check == START + 8 * TICK
    assert [one["kind"] for one in found.decisions] == ["rolled_back", "canary_step", "promoted"]
    assert found.events == watched.ledger.head()[0]


def test_a_running_trial_is_shown_as_committed() -> None:
    watched = Watched()
    watched.begin()
    digest = watched.try_out(good)
    found = now(watched)
    assert found.commit == watched.release.files.head(ENVIRONMENT)
    assert found.release is not None
    assert found.release.challenger is not None
    assert found.release.challenger.digest == digest
    shown = found.to_json()["release"]
    assert (shown["challenger"]["weight"], shown["plan"]["hold"]) == (5, TICK)
