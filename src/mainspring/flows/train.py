"""Train a model: plan, run the steps, judge, register, number, and tell it to the ledger and the mirror.

The story in one screen is `train`. Each step runs where user code may run (`StepRunner`), or is reused; the last one
signs, so it runs here. Killed anywhere, the same call goes on where it stopped: files are content-addressed,
outcomes are kept by key, events are appended once for (run, step, key), and a digest has one version.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mainspring.deliver.gates import Gate, Verdict, judge
from mainspring.deliver.ports import Versions
from mainspring.develop.errors import StepFailed
from mainspring.develop.plan import Explanation, explain
from mainspring.develop.ports import Progress, RunMirror, Runs, StepCache, StepRunner
from mainspring.develop.runs import Run
from mainspring.develop.steps import REGISTER, STEPS, TRAIN, Outcome, Step, files_of, step_inputs, step_key
from mainspring.flows.steps.chapters import Chapters
from mainspring.flows.steps.mirroring import mirrored
from mainspring.flows.steps.perform import reusable
from mainspring.flows.steps.register_model import RegisterPorts, register_model
from mainspring.kernel.digests import canonical_json, digest_of
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.events import Event, Ledger
from mainspring.kernel.failpoints import hit
from mainspring.kernel.times import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPorts:
    """What a training needs.

    register: store, models and keys. mirror: None where nobody wants one. timer: monotonic seconds.
    """

    ledger: Ledger
    clock: Clock
    runs: Runs
    cache: StepCache
    steps: StepRunner
    register: RegisterPorts
    versions: Versions
    mirror: RunMirror | None
    progress: Progress
    timer: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished training. seconds: step -> what it cost when it ran, also where it was reused now."""

    run: Run
    outcomes: tuple[Outcome, ...]
    digest: str
    version: int
    verdict: Verdict
    evidence: Mapping[str, Any]
    seconds: Mapping[str, float]
    event: Event


OutcomeOf = Callable[[Step, Run, TrainPorts], Outcome]


def train(run: Run, gates: Sequence[Gate], ports: TrainPorts, *, actor: str, cause: Sequence[int] = ()) -> TrainResult:
    """Train, judge and register one candidate; it gets a version whether or not the gates let it through.

    Calling it again with the same run goes on where it stopped. Raises what a step raised, after a `run.failed` event.
    """
    return _whole(run, gates, _outcome, ports, actor=actor, cause=cause)


def begin(
    run: Run, ports: TrainPorts, *, actor: str, cause: Sequence[int] = (), expected_head: int | None = None
) -> Event:
    """Keep the record of a run whose steps will run elsewhere, each a process, and tell the ledger that it began.

    expected_head: where the ledger must still end, or `Conflict` is raised: what was decided by it may no longer hold.
    """
    ports.runs.save(run)
    return Chapters(run=run, actor=actor, ledger=ports.ledger, clock=ports.clock).started(cause, expected_head)


def conclude(run: Run, gates: Sequence[Gate], ports: TrainPorts, *, actor: str) -> TrainResult:
    """Judge and register a run whose steps ran elsewhere: what a cluster's last step does, where ledger and key are.

    Tells the ledger of every step what its own process wrote. May be repeated. Raises `StepFailed` for a step that has
    not finished, after a `run.failed` event.
    """
    return _whole(run, gates, _finished, ports, actor=actor)


def _whole(
    run: Run, gates: Sequence[Gate], outcome_of: OutcomeOf, ports: TrainPorts, *, actor: str, cause: Sequence[int] = ()
) -> TrainResult:
    ports.runs.save(run)
    chapters = Chapters(run=run, actor=actor, ledger=ports.ledger, clock=ports.clock)
    started = chapters.started(cause)
    try:
        outcomes = [_step(step, run, chapters, outcome_of, ports) for step in STEPS if step is not REGISTER]
        files = files_of(outcomes)
        evidence = json.loads(ports.register.store.get(files["evidence"]))
        verdict = judge(gates, evidence)
        outcomes.append(_register(run, files, verdict, ports))
        chapters.finished_step(outcomes[-1])
        digest = outcomes[-1].outputs["registered"]
        version = ports.versions.assign(run.model, digest)
        hit("version.assign")
    except MainspringError as error:
        chapters.failed(error)
        raise
    judged = chapters.judged(verdict, digest, version, (started.seq,))
    seconds = {outcome.step: outcome.seconds for outcome in outcomes}
    finished = chapters.finished(digest, version, verdict, seconds, (judged.seq,))
    result = TrainResult(
        run=run, outcomes=tuple(outcomes), digest=digest, version=version, verdict=verdict, evidence=evidence,
        seconds=seconds, event=finished,
    )  # fmt: skip
    _show(result, files, chapters, ports)
    return result


def prepare(run: Run, ports: TrainPorts, *, through: Step = TRAIN) -> None:
    """Run the steps up to one: to the fitted model none depends on a champion; a later `train` reuses them by key.

    It tells the ledger nothing: only a run that is judged and registered is a training. Raises what a step raises.
    """
    ports.runs.save(run)
    for step in STEPS[: STEPS.index(through) + 1]:
        _outcome(step, run, ports)


def explain_training(run: Run, ports: TrainPorts) -> list[Explanation]:
    """Tell for each step whether it would be reused, or why it would run, against the model's last training."""
    previous: dict[str, Outcome] = {}
    for event in ports.ledger.read(kind="step.finished"):
        found = ports.cache.get(event.body["key"]) if event.body["model"] == run.model else None
        if found is not None:
            previous[found.step] = found
    return explain(run, lambda key: reusable(key, ports.cache, ports.register.store), previous)


def _step(step: Step, run: Run, chapters: Chapters, outcome_of: OutcomeOf, ports: TrainPorts) -> Outcome:
    ports.progress(step.name)
    outcome = outcome_of(step, run, ports)
    chapters.finished_step(outcome)
    return outcome


def _finished(step: Step, run: Run, ports: TrainPorts) -> Outcome:
    """Return what the step's own process wrote into the run."""
    outcome = ports.runs.outcome(run.id, step.name)
    if outcome is None:
        raise StepFailed(
            f"{step.name} of run {run.id} has not finished", fix=f"run it: mainspring step {step.name} --run {run.id}"
        )
    return outcome


def _outcome(step: Step, run: Run, ports: TrainPorts) -> Outcome:
    """Return what the step made, now or at another time, and write it into the run."""
    before = [ports.runs.outcome(run.id, earlier.name) for earlier in STEPS[: STEPS.index(step)]]
    inputs = step_inputs(step, run, files_of([outcome for outcome in before if outcome is not None]))
    outcome = reusable(step_key(step, inputs), ports.cache, ports.register.store)
    if outcome is None:
        outcome = ports.steps.run(step.name, run.id)
    ports.runs.finish(run.id, outcome)
    return outcome


def _register(run: Run, files: Mapping[str, str], verdict: Verdict, ports: TrainPorts) -> Outcome:
    ports.progress(REGISTER.name)
    gate = verdict.to_json()
    inputs = step_inputs(REGISTER, run, files) | {"gate": digest_of(gate)}
    found = ports.cache.get(step_key(REGISTER, inputs))
    began = ports.timer()
    digest = register_model(run, files, canonical_json(gate), ports.register)
    if found is not None and found.outputs["registered"] == digest:
        outcome = replace(found, reused=True)
    else:
        outcome = Outcome(
            step=REGISTER.name, key=step_key(REGISTER, inputs), inputs=inputs, outputs={"registered": digest},
            seconds=round(ports.timer() - began, 6), run=run.id,
        )  # fmt: skip
        ports.cache.put(outcome)
        hit("step.done")
    ports.runs.finish(run.id, outcome)
    return outcome


def _show(result: TrainResult, files: Mapping[str, str], chapters: Chapters, ports: TrainPorts) -> None:
    if ports.mirror is None:
        return
    try:
        evidence = ports.register.store.get(files["evidence"])
        gate = canonical_json(result.verdict.to_json())
        shown = mirrored(result.run, result.digest, result.version, evidence, gate)
        ports.mirror.record(replace(shown, onnx=ports.register.store.get(files["model"])))
    except MainspringError as error:
        chapters.not_mirrored(error)
