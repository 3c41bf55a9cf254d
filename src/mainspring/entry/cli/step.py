"""`mainspring step`: one step of a run as a process; `--worker` keeps the process and takes steps as JSON lines."""

from pathlib import Path

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option


@click.command()
@click.argument("name", default="")
@click.option("--run", "run_id", default="", metavar="ID", help="The run whose step is meant.")
@click.option("--worker", is_flag=True, help="Take steps as JSON lines on stdin, answer on stdout.")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="State folder of a replay.")
@json_option
def step(*, name: str, run_id: str, worker: bool, state: Path | None, as_json: bool) -> None:
    """Run one step of a run as a process: fetch-data, preprocess, train-model or validate-model."""
    if worker == bool(name or run_id) or (not worker and not (name and run_id)):
        raise click.UsageError("give a step's name and --run ID, or --worker alone")
    from mainspring.app import steps

    if worker:
        steps.serve_steps(here(), state)
        return
    outcome = steps.run_step(here(), state, name, run_id)
    if as_json:
        present.emit(outcome.to_json())
        return
    how = f"reused from run {outcome.run}" if outcome.reused else f"done in {outcome.seconds:.1f} s"
    present.say(f"{outcome.step}: {how}")


command = step
