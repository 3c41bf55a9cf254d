"""Run one step of a saved run, or reuse what an earlier run made of the same inputs.

Crash-safe without locks: files are content-addressed, the outcome is kept under its key before the run is told, so
after a kill at any point the step is either found finished or runs again to the same files.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mainspring.develop.errors import StepFailed
from mainspring.develop.locks import check_installed, read_lock
from mainspring.develop.ports import StepCache
from mainspring.develop.runs import Run
from mainspring.develop.steps import STEPS, Outcome, Step, files_of, step_inputs, step_key, step_named
from mainspring.flows.steps.fetch_data import fetch_data
from mainspring.flows.steps.ports import Made, StepPorts
from mainspring.flows.steps.preprocess import preprocess
from mainspring.flows.steps.train_model import train_model
from mainspring.flows.steps.validate_model import validate_model
from mainspring.kernel.failpoints import hit
from mainspring.kernel.stores import Store

Body = Callable[[Run, Mapping[str, str], StepPorts], Made]
BODIES: Mapping[str, Body] = {
    "fetch-data": fetch_data,
    "preprocess": preprocess,
    "train-model": train_model,
    "validate-model": validate_model,
}


def perform(step_name: str, run_id: str, ports: StepPorts) -> Outcome:
    """Run (or reuse) one step and write its outcome into the run.

    Raises `LockMismatch` among other packages than the run's, `StepFailed` when an earlier step of the run has not
    finished, and what the body raises.
    """
    step = step_named(step_name)
    run = ports.runs.load(run_id)
    if step.name in run.locks:
        check_installed(step.name, read_lock(ports.store.get(run.locks[step.name])), ports.installed)
    files = _files_before(step, run_id, ports)
    inputs = step_inputs(step, run, files)
    outcome = reusable(step_key(step, inputs), ports.cache, ports.store)
    if outcome is None:
        outcome = _run(step, run, inputs, files, ports)
        ports.cache.put(outcome)
        hit("step.done")
    ports.runs.finish(run_id, outcome)
    return outcome


def reusable(key: str, cache: StepCache, store: Store) -> Outcome | None:
    """Return the outcome kept under a key, marked as reused, if every file it wrote is still in the store."""
    found = cache.get(key)
    if found is None or not all(store.has(digest) for digest in found.outputs.values()):
        return None
    return replace(found, reused=True)


def _files_before(step: Step, run_id: str, ports: StepPorts) -> dict[str, str]:
    done = [ports.runs.outcome(run_id, earlier.name) for earlier in STEPS[: STEPS.index(step)]]
    files = files_of([outcome for outcome in done if outcome is not None])
    missing = [name for name in step.reads if name not in files]
    if missing:
        raise StepFailed(
            f"{step.name} of run {run_id} needs {', '.join(missing)}, which no finished step has written",
            fix=f"run the steps before it, or all of them: mainspring train --run {run_id}",
        )
    return files


def _run(step: Step, run: Run, inputs: Mapping[str, str], files: Mapping[str, str], ports: StepPorts) -> Outcome:
    body = BODIES.get(step.name)
    if body is None:
        raise StepFailed(
            f"{step.name} signs, so it does not run as a bare step",
            fix=f"finish the run where the key is: mainspring train --run {run.id}",
        )
    started = ports.timer()
    made = body(run, files, ports)
    return Outcome(
        step=step.name, key=step_key(step, inputs), inputs=dict(inputs), outputs=dict(made.outputs),
        seconds=round(ports.timer() - started, 6), run=run.id, metrics=dict(made.metrics), note=made.note,
    )  # fmt: skip
