"""The five steps of a run: what each reads, what each writes, and the key under which its outcome is kept.

Pure. A step's inputs are named texts: digests of files that earlier steps wrote, and the settings that matter to
it, no more. The key is the digest of them, so a step whose inputs did not change is never run again, whichever run
asks. Start at `STEPS`, then `step_inputs` and `step_key`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mainspring.develop.errors import UnknownStep
from mainspring.develop.runs import Run
from mainspring.kernel.digests import canonical_json, digest_of
from mainspring.kernel.errors import Damaged
from mainspring.kernel.times import format_duration, format_time

OUTCOME_SCHEMA = 1
Settings = Callable[[Run], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    reads: names of files that earlier steps wrote. writes: names of the files it writes.
    settings: what it takes from the run, as named texts. revision: raised when the step's own code changes meaning.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    settings: Settings
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step did.

    key: digest of its inputs. inputs: the named texts behind the key. outputs: name to digest.
    seconds: how long it took when it ran. run: the run that ran it. reused: true where that was another time.
    """

    step: str
    key: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    seconds: float
    run: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    reused: bool = False
    schema: int = OUTCOME_SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that `read_outcome` reads back."""
        return asdict(self)


def read_outcome(raw: Mapping[str, Any]) -> Outcome:
    """Read what `Outcome.to_json` wrote; raise `Damaged` for anything else."""
    try:
        if raw["schema"] != OUTCOME_SCHEMA:
            raise Damaged(f"outcome schema {raw['schema']} is not {OUTCOME_SCHEMA}", fix="upgrade mainspring")
        metrics = {name: float(value) for name, value in raw["metrics"].items()}
        return Outcome(**{**raw, "seconds": float(raw["seconds"]), "metrics": metrics})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"a step's outcome cannot be read: {error}", fix="delete it; the step runs again") from error


def _fetched(run: Run) -> Mapping[str, str]:
    return {"snapshot": run.snapshot, "definitions": digest_of(run.definitions)}


def _sliced(run: Run) -> Mapping[str, str]:
    plan = run.training
    return {
        "at": format_time(run.at),
        "window": "all" if plan.window is None else format_duration(plan.window),
        "holdout": format_duration(plan.holdout),
        "min_rows": str(plan.min_rows),
    }


def _trained(run: Run) -> Mapping[str, str]:
    settings = {f"params.{name}": _text(value) for name, value in run.training.params.items()}
    context = {"function": run.training.function, "code": run.code, "model": run.model}
    personal = {"personal": ", ".join(run.personal)} if run.personal else {}
    return settings | context | personal | {"definitions": digest_of(run.definitions)}


def _validated(run: Run) -> Mapping[str, str]:
    plan = run.training
    return {
        "champion": run.champion or "none",
        "slices": ", ".join(plan.slices),
        "epsilon": repr(max(plan.epsilons)) if plan.epsilons else "none",
        "loss": plan.loss,
        "confidence": repr(plan.confidence),
    }


def _registered(run: Run) -> Mapping[str, str]:
    return {"model": run.model}


def _text(value: object) -> str:
    return canonical_json(value).decode("utf-8")


FETCH = Step(name="fetch-data", reads=(), writes=("features", "targets"), settings=_fetched)
PREPROCESS = Step(name="preprocess", reads=("features", "targets"), writes=("rows",), settings=_sliced)
TRAIN = Step(
    name="train-model", reads=("features", "rows"), writes=("model", "contract", "profile", "probe"), settings=_trained
)
VALIDATE = Step(
    name="validate-model", reads=("features", "rows", "model", "contract", "probe"), writes=("evidence", "losses"),
    settings=_validated,
)  # fmt: skip
REGISTER = Step(
    name="register-model", reads=("model", "contract", "profile", "evidence"), writes=("registered",),
    settings=_registered,
)  # fmt: skip
STEPS: tuple[Step, ...] = (FETCH, PREPROCESS, TRAIN, VALIDATE, REGISTER)


def step_named(name: str) -> Step:
    """Return the step called `name`; `UnknownStep` lists the names."""
    for step in STEPS:
        if step.name == name:
            return step
    names = ", ".join(step.name for step in STEPS)
    raise UnknownStep(f"no step is called {name[:60]!r}", fix=f"use one of: {names}")


def step_inputs(step: Step, run: Run, files: Mapping[str, str]) -> dict[str, str]:
    """Return a step's named inputs. `files` maps the names that earlier steps wrote to digests."""
    lock = {"lock": run.locks[step.name]} if step.name in run.locks else {}
    return {name: files[name] for name in step.reads} | dict(step.settings(run)) | lock


def step_key(step: Step, inputs: Mapping[str, str]) -> str:
    """Return the digest under which the step's outcome for these inputs is kept."""
    return digest_of({"step": step.name, "revision": step.revision, "inputs": inputs})


def files_of(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return every file that these outcomes wrote, name to digest."""
    return {name: digest for outcome in outcomes for name, digest in outcome.outputs.items()}


def command(step: str, run: str) -> tuple[str, ...]:
    """Return the arguments (after the program) that run one step of a run as a process."""
    return ("step", step_named(step).name, "--run", run)
