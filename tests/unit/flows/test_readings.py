"""What a watch tells of its looks, as numbers: read from the ledger, nothing made up."""

from tests.unit.flows.story import ENVIRONMENT, MODEL, START, TICK, Watched, good, reversed_score, silent

from mainspring.flows.readings import COLUMNS, KINDS, Freshness, readings
from mainspring.kernel.events import Draft
from mainspring.kernel.times import DAY, HOUR, SECOND
from mainspring.observe.plans import RetrainPolicy

Told = dict[tuple[str, ...], float]


def told(watched: Watched, *fresh: Freshness) -> Told:
    """Return value by (name without prefix, label values beside model and environment)."""
    found = readings(watched.plan, watched.ledger.read(), fresh, now=watched.now)
    assert all(r.labels["model"] == MODEL and r.labels["environment"] == ENVIRONMENT for r in found)
    keys = [(r.name.removeprefix("mainspring_watch_"), *list(r.labels.values())[2:]) for r in found]
    assert len(set(keys)) == len(keys)
    return {key: reading.value for key, reading in zip(keys, found, strict=True)}


def names(found: Told) -> set[str]:
    return {key[0] for key in found}


def test_before_anything_is_known_only_the_look_itself_and_counts_of_nothing_are_told() -> None:
    found = told(Watched())
    assert names(found) == {"look_timestamp_seconds", "emergency", "events", "training_seconds"}
    assert found["look_timestamp_seconds",] == START / SECOND
    assert {key[1] for key in found if key[0] == "events"} == set(KINDS)
    assert sum(value for key, value in found.items() if key[0] == "events") == 0


def test_a_window_with_too_little_shows_neither_drift_nor_quality() -> None:
    watched = Watched()
    watched.begin()
    watched.tick()
    found = told(watched)
    assert found["window_end_timestamp_seconds",] == (START + TICK) / SECOND
    assert found["window_rows",] > 0
    assert not {"signal", "drifted_columns", "column_psi", "quality_loss"} & names(found)


def test_a_full_window_shows_every_column_and_the_loss_with_its_time() -> None:
    watched = Watched()
    watched.begin(reversed_score)
    watched.run(30)
    found = told(watched)
    body = watched.ledger.read(kind="window.judged")[-1].body
    columns = {key[1]: value for key, value in found.items() if key[0] == "column_psi"}
    assert columns == {cell["name"]: cell["psi"] for cell in body["columns"]}
    assert found["signal", "quality"] == found["signal", "output_drift"] == 1
    assert found["quality_loss",] == body["quality"]["value"]
    assert found["quality_excess_low",] > found["quality_margin",]
    assert found["window_end_timestamp_seconds",] == body["end"] / SECOND


def test_a_trial_is_told_while_it_runs_and_gone_when_it_ends() -> None:
    watched = Watched()
    watched.begin()
    watched.run(6)
    assert not any(name.startswith("trial_") for name in names(told(watched)))
    watched.try_out(good)
    found = told(watched)
    assert found["trial_weight",] == 5
    assert found["trial_patience_seconds",] == 3 * TICK / SECOND
    watched.tick()
    watched.tick()
    assert told(watched)["trial_weight",] == 100
    other = Watched()
    other.begin()
    other.run(6)
    other.try_out(silent)
    other.tick()
    gone = told(other)
    assert not any(name.startswith("trial_") for name in names(gone))
    assert gone["events", "release.aborted"] == 1


def test_another_environments_windows_and_another_models_trainings_are_not_ours() -> None:
    watched = Watched()
    watched.begin()
    watched.tick()
    before = told(watched)
    judged = watched.ledger.read(kind="window.judged")[-1]
    body = {**judged.body, "environment": "elsewhere", "rows": 1}
    foreign = [
        Draft(kind="window.judged", subject=judged.subject, actor="watch", body=body),
        Draft(kind="run.started", subject="run:x", actor="watch", body={"model": "other"}),
    ]
    watched.ledger.append(foreign, at=watched.now)
    assert told(watched) == before


def test_the_budget_counts_trainings_of_its_period() -> None:
    watched = Watched(policy=RetrainPolicy(every=2 * DAY, budget=(3, 30 * DAY)))
    watched.begin()
    watched.run(10)
    found = told(watched)
    assert found["budget_runs",] == 3
    assert found["budget_spent_runs",] == found["events", "run.started"] == 1


def test_views_tell_how_far_they_are_complete() -> None:
    found = told(Watched(), Freshness(view="lately", until=START - HOUR, limit=2 * HOUR))
    assert found["features_timestamp_seconds", "lately"] == (START - HOUR) / SECOND
    assert found["features_limit_seconds", "lately"] == 7_200


def test_of_very_many_columns_the_most_drifted_are_told() -> None:
    watched = Watched()
    watched.begin()
    watched.tick()
    judged = watched.ledger.read(kind="window.judged")[-1]
    cells = [
        {"name": f"c{n:04d}", "psi": n / 1_000, "p": 0.5, "threshold": 0.1, "drifted": n == 0} for n in range(1_000)
    ]
    body = {**judged.body, "columns": cells, "drifted": ["c0000"]}
    watched.ledger.append([Draft(kind="window.judged", subject="m", actor="watch", body=body)], at=watched.now)
    shown = {key[1] for key in told(watched) if key[0] == "column_psi"}
    assert shown == {"c0000", *(f"c{n:04d}" for n in range(801, 1_000))}
    assert len(shown) == COLUMNS
