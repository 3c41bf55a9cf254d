"""`mainspring snapshot` and `train`: data in, a judged, signed and numbered candidate out."""

from typing import TYPE_CHECKING

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.app.workspace import Workspace
    from mainspring.develop.plan import Explanation
    from mainspring.flows.train import TrainResult

_REFUSED = 3
_environment = click.option(
    "--env", "environment", default="local", show_default=True, help="Environment whose stores and champion count."
)


@click.command()
@_environment
@json_option
def snapshot(environment: str, as_json: bool) -> None:
    """Take a snapshot of every source; unchanged data makes no new version."""
    from mainspring.app.training import take_snapshot

    taken = take_snapshot(opened(environment))
    if as_json:
        present.emit({"version": taken.version, "digest": taken.digest, "new": taken.new, "rows": dict(taken.rows)})
        return
    rows = ", ".join(f"{name} {count:,}" for name, count in sorted(taken.rows.items()))
    present.say(f"snapshot {taken.version} {'taken' if taken.new else 'still holds, nothing changed'}: {rows} rows")
    for warning in taken.warnings:
        present.progress(f"warning: {warning}")


@click.command()
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Override a training parameter.")
@click.option("--at", default="", metavar="TIME", help="Look back from this time; default: the end of the data.")
@click.option("--explain", is_flag=True, help="Say why each step would run or be reused, and stop.")
@click.option("--search", is_flag=True, help="First try parameters as training.search says; train with the best.")
@click.option("--run", "run_id", default="", metavar="ID", help="Go on with a run that stopped.")
@click.option("--reason", default="asked for by hand", show_default=True, help="Why, for the ledger.")
@_environment
@json_option
def train(  # noqa: PLR0913 - one option each
    *, settings: tuple[str, ...], at: str, explain: bool, search: bool, run_id: str, reason: str, environment: str,
    as_json: bool
) -> int:  # fmt: skip
    """Train a candidate on the last snapshot and judge it against the champion (exit 3 if a gate refuses it)."""
    from mainspring.app.training import Trainer, asked_run, resumed_run
    from mainspring.kernel.times import parse_time

    if search and (explain or run_id):
        raise click.UsageError("--search goes with neither --explain nor --run")
    workspace = opened(environment)
    with Trainer(workspace, progress=present.progress) as trainer:
        if not explain:
            trainer.start()
        if run_id:
            run = resumed_run(workspace, run_id)
        else:
            run = asked_run(trainer, workspace, at=parse_time(at) if at else 0, settings=settings, reason=reason)
        if search:
            from mainspring.app.searching import search as try_out

            run = run.with_params(try_out(workspace, trainer, run, present.progress))
        if explain:
            return _explained(trainer.explain(run), as_json)
        return _trained(trainer.train(run), as_json)


@click.command()
@click.argument("version", type=int)
@_environment
@json_option
def gate(version: int, environment: str, as_json: bool) -> int:
    """Show the verdict of the gates on VERSION, with every reason (exit 3 if it was refused)."""
    from mainspring.app.training import verdict_on

    found = verdict_on(opened(environment), version)
    if as_json:
        present.emit({"version": version, **found})
    else:
        present.say(f"version {version}: {'passed' if found['passed'] else 'REFUSED'}")
        rows = [(r["gate"], "passed" if r["passed"] else "REFUSED", r["what"]) for r in found["reasons"]]
        present.table(("gate", "verdict", "why"), rows)
    return 0 if found["passed"] else _REFUSED


@click.group()
def tracking() -> None:
    """Show runs in MLflow: the embedded database, or the server that MLFLOW_TRACKING_URI names."""


@tracking.command()
@json_option
def sync(as_json: bool) -> None:
    """Make the mirror again from the evidence beside every version; aliases point at what the release file says."""
    from mainspring.app.releases import show_aliases
    from mainspring.app.training import sync_tracking
    from mainspring.app.workspace import open_workspace

    workspace = open_workspace(here())
    count = sync_tracking(workspace)
    release, _ = workspace.releases.read(workspace.environment)
    if release is not None:
        show_aliases(workspace, release, present.progress)
    if as_json:
        present.emit({"versions": count})
    else:
        present.say(f"{count} versions shown in MLflow")


def opened(environment: str) -> "Workspace":
    """Open the project for an environment that it has: a name that is mistyped must not mean this machine's stores."""
    from mainspring.app.workspace import LOCAL, open_workspace
    from mainspring.kernel.errors import NotFound

    workspace = open_workspace(here(), environment=environment)
    known = (LOCAL, *workspace.settings.environments)
    if environment not in known:
        fix = f"use one of: {', '.join(dict.fromkeys(known))}"
        raise NotFound(f"the project has no environment {environment[:60]!r}", fix=fix)
    return workspace


def _explained(steps: "list[Explanation]", as_json: bool) -> int:
    if as_json:
        found = [
            {"step": step.step, "reused_from": step.reused_from, "why": [str(w) for w in step.why]} for step in steps
        ]
        present.emit({"steps": found})
        return 0
    for step in steps:
        present.say(str(step))
    return 0


def _trained(result: "TrainResult", as_json: bool) -> int:
    metrics = {name: float(value) for name, value in result.evidence["metrics"].items()}
    reasons = [{"gate": r.gate, "passed": r.passed, "what": r.what} for r in result.verdict.reasons]
    if as_json:
        present.emit(
            {
                "run": result.run.id, "version": result.version, "digest": result.digest, "metrics": metrics,
                "passed": result.verdict.passed, "reasons": reasons, "seconds": dict(result.seconds),
                "reused": [outcome.step for outcome in result.outcomes if outcome.reused],
            }
        )  # fmt: skip
    else:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        present.say(f"version {result.version} ({present.short(result.digest)}): {shown}")
        rows = [(r["gate"], "passed" if r["passed"] else "REFUSED", r["what"]) for r in reasons]
        present.table(("gate", "verdict", "why"), rows)
    return 0 if result.verdict.passed else _REFUSED
