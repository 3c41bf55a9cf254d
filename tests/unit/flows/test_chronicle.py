"""The ledger as a story: what was promoted, what was left, drift once a spell, a refusal once a reason."""

from typing import Any

from mainspring.adapters.memory.ledger import Ledger
from mainspring.flows.chronicle import chronicle, drift_by_week, rollouts
from mainspring.kernel.events import Draft, Event
from mainspring.kernel.times import DAY, HOUR

START = 1_704_067_200_000_000


def named(version: int, weight: int = 0) -> dict[str, Any]:
    told = {"version": version, "digest": f"d{version}"}
    return {**told, "weight": weight, "mode": "canary"} if weight else told


def story(*told: tuple[str, dict[str, Any]], every: int = HOUR) -> list[Event]:
    ledger = Ledger()
    for place, (kind, body) in enumerate(told, start=1):
        ledger.append([Draft(kind=kind, subject="s", actor="t", body=body)], at=START + place * every)
    return ledger.read()


def moved(kind: str, champion: int, challenger: tuple[int, int] | None = None, reason: str = "why") -> tuple[str, Any]:
    body = {"champion": named(champion), "challenger": named(*challenger) if challenger else None, "reason": reason}
    return f"release.{kind}", {"environment": "local", "commit": "c", **body}


def window(
    *, drift: bool, columns: list[dict[str, Any]] | None = None, drifted: tuple[str, ...] = ()
) -> tuple[str, Any]:
    signals = ["output_drift"] if drift else []
    return "window.judged", {"signals": signals, "drifted": list(drifted), "columns": columns or []}


TRIALS = story(
    moved("promoted", 1), moved("promoted", 1, (2, 5)), moved("advanced", 1, (2, 25)),
    ("rollout.judged", {"paired": {"difference": -0.01, "low": None, "high": "0.02", "rows": 9}}),
    ("rollout.judged", {"paired": None}), moved("finished", 2), moved("promoted", 2, (3, 5)),
    moved("aborted", 2, reason="3 of 9 rows failed"), moved("rolled_back", 1), moved("promoted", 4),
)  # fmt: skip


def test_moves_are_told_with_the_version_that_moved() -> None:
    told = [(entry["kind"], entry["version"]) for entry in chronicle(TRIALS)]
    assert told == [
        ("promoted", 1), ("canary_step", 2), ("canary_step", 2), ("promoted", 2), ("canary_step", 3),
        ("rolled_back", 3), ("rolled_back", 2), ("promoted", 4),
    ]  # fmt: skip
    assert [entry["at"] for entry in chronicle(TRIALS)] == sorted(entry["at"] for entry in chronicle(TRIALS))
    assert "Version 3 rolled back" in [entry["title"] for entry in chronicle(TRIALS)]
    assert "Version 2 on 25 % of traffic" in [entry["title"] for entry in chronicle(TRIALS)]


def test_a_rollout_has_its_steps_its_evidence_and_its_end() -> None:
    second, third = rollouts(TRIALS)
    assert [step["weight"] for step in second["steps"]] == [5, 25, 100]
    assert (second["version"], second["outcome"], second["ended"]) == (2, "promoted", START + 6 * HOUR)
    assert second["paired"] == [{"at": START + 4 * HOUR, "difference": -0.01, "low": None, "high": 0.02}]
    assert (third["outcome"], third["reason"]) == ("rolled_back", "3 of 9 rows failed")
    assert [step["weight"] for step in third["steps"]] == [5, 0]


def test_a_rollout_that_goes_on_is_open() -> None:
    (trial,) = rollouts(TRIALS[:3])
    assert (trial["ended"], trial["outcome"], len(trial["steps"])) == (None, "open", 2)
    assert rollouts([]) == chronicle([]) == []


def test_drift_is_told_once_a_spell() -> None:
    calm, drifts = window(drift=False), window(drift=True, drifted=("wind", "rain"))
    told = chronicle(story(calm, drifts, drifts, calm, calm, window(drift=True), drifts))
    assert [entry["at"] for entry in told] == [START + 2 * HOUR, START + 6 * HOUR]
    assert [entry["detail"] for entry in told] == ["drifted: wind, rain", "drifted: output"]


def test_a_refusal_is_told_once_a_reason_and_again_after_a_training() -> None:
    def declined(why: str) -> tuple[str, dict[str, Any]]:
        return "retrain.declined", {"blocked_by": why, "reason": f"because of {why}"}

    cooldown, labels = declined("cooldown"), declined("labels")
    told = chronicle(story(cooldown, cooldown, labels, labels, cooldown, ("retrain.started", {}), cooldown))
    assert [entry["detail"].split()[-1] for entry in told] == ["cooldown", "labels", "cooldown", "cooldown"]


def test_trainings_and_refusals_are_told_with_their_reasons() -> None:
    reasons = [
        {"gate": "a", "passed": True, "what": "fine"},
        {"gate": "b", "passed": False, "what": "0.5 is below 0.6"},
    ]
    trained = ("run.finished", {"version": 3, "reason": "drift"})
    told = chronicle(story(trained, ("gate.refused", {"version": 3, "reasons": reasons}), ("snapshot.taken", {})))
    assert [(entry["title"], entry["detail"]) for entry in told] == [
        ("Version 3 trained", "drift"), ("Gate refused a candidate", "0.5 is below 0.6"),
    ]  # fmt: skip


def test_a_week_shows_its_last_window() -> None:
    def cell(name: str, psi: float | str | None, drifted: bool = False) -> dict[str, Any]:
        return {"name": name, "psi": psi, "drifted": drifted}

    windows = [
        window(drift=False, columns=[cell("wind", day / 10), cell("output", 0.5, day > 6)]) for day in range(1, 9)
    ]
    windows.append(window(drift=False))  # nothing judged
    windows.append(window(drift=False, columns=[cell("rain", None)]))
    found = drift_by_week(story(*windows, every=DAY), START)
    assert found["weeks"] == [START, START + 7 * DAY]
    assert found["columns"] == ["output", "rain", "wind"]
    assert found["psi"] == [[0.5, None], [None, None], [0.7, None]]
    assert found["drifted"] == [[True, False], [False, False], [False, False]]
    assert drift_by_week([], START) == {"weeks": [], "columns": [], "psi": [], "drifted": []}
