"""Wiring of a search: trials planned, run here or by pods, the best of them told to the ledger."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from mainspring.app.training import Trainer, asked_run, take_snapshot
from mainspring.app.workspace import Workspace
from mainspring.data.expectations import SourceMissing
from mainspring.develop.runs import Run
from mainspring.develop.search import SearchPlan, Value, best_of, trial_runs
from mainspring.develop.steps import VALIDATE
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.events import Draft

_KEPT = "-search"  # the workflow's own name is the run of the candidate that follows


def search(workspace: Workspace, trainer: Trainer, whole: Run, say: Callable[[str], None]) -> dict[str, Value]:
    """Try parameters for a run here, and return the best; steps that were done before are not done again."""
    trials = trial_runs(whole, plan_of(workspace))
    for number, trial in enumerate(trials, 1):
        say(f"trial {number} of {len(trials)}: {settings_of(_tried(workspace, trial))}")
        try:
            trainer.prepare(trial, through=VALIDATE)
        except MainspringError as error:
            say(f"  it failed: {error.what}")
    best = _chosen(workspace, whole, trials)
    say(f"best by {plan_of(workspace).metric}: {settings_of(best)}")
    return best


def begin_search(workspace: Workspace, run_id: str, *, at: int, settings: Sequence[str]) -> list[Run]:
    """Keep the records of the trials of a search whose steps run elsewhere; may be repeated on the same snapshot."""
    plan_of(workspace)
    with suppress(SourceMissing):  # the last one holds; without any, the next line says so
        take_snapshot(workspace)
    with Trainer(workspace, mirror=False) as trainer:
        whole = asked_run(trainer, workspace, at=at, settings=settings, reason="a search", name=run_id + _KEPT)
    runs, trials = workspace.stores.runs(), trial_runs(whole, plan_of(workspace))
    for run in (whole, *trials):
        runs.save(run)
    return trials


def choose(workspace: Workspace, run_id: str) -> dict[str, Value]:
    """Return the parameters of the best trial of a search whose steps ran elsewhere, and tell the ledger."""
    whole = workspace.stores.runs().load(run_id + _KEPT)
    return _chosen(workspace, whole, trial_runs(whole, plan_of(workspace)))


def settings_of(params: dict[str, Value]) -> str:
    """Return parameters as `--set` takes them, blanks between."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in params.items()}
    return " ".join(f"{name}={text}" for name, text in texts.items())


def plan_of(workspace: Workspace) -> SearchPlan:
    """Return what the project file says of searching."""
    if not workspace.settings.search.space:
        raise InvalidValue("the project file has no training.search", fix="add training.search with space and trials")
    return workspace.settings.search


def _chosen(workspace: Workspace, whole: Run, trials: Sequence[Run]) -> dict[str, Value]:
    plan, runs = plan_of(workspace), workspace.stores.runs()
    outcomes = [runs.outcome(trial.id, VALIDATE.name) for trial in trials]
    place = best_of(plan, [outcome.metrics if outcome else None for outcome in outcomes])
    if not any(event.kind == "search.finished" for event in workspace.ledger.read(run=whole.id)):
        table = [
            {"run": trial.id, "params": _tried(workspace, trial), plan.metric: outcome and outcome.metrics[plan.metric],
             "evidence": outcome and outcome.outputs["evidence"]}
            for trial, outcome in zip(trials, outcomes, strict=True)
        ]  # fmt: skip
        body = {
            "model": whole.model, "metric": plan.metric, "until": trials[0].at, "trials": table,
            "best": trials[place].id, "params": _tried(workspace, trials[place]),
        }  # fmt: skip
        draft = Draft(
            kind="search.finished", subject=f"run:{whole.id}", actor=workspace.actor, run=whole.id, body=body
        )  # fmt: skip
        workspace.ledger.append([draft], at=workspace.clock.now())
    return _tried(workspace, trials[place])


def _tried(workspace: Workspace, trial: Run) -> dict[str, Value]:
    return {one.name: trial.training.params[one.name] for one in plan_of(workspace).space}
