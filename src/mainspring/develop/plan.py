"""Say before a training what will run and why: the answer to `train --explain`. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mainspring.develop.runs import Run
from mainspring.develop.steps import STEPS, Outcome, Step, step_inputs, step_key

Lookup = Callable[[str], Outcome | None]
NOT_YET = "not known yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An input that differs from the last time the step ran; `old` or `new` is "" where there is none."""

    input: str
    old: str
    new: str

    def __str__(self) -> str:
        if not self.old:
            return f"input {self.input} is new ({_short(self.new)})"
        if not self.new:
            return f"input {self.input} is gone (was {_short(self.old)})"
        return f"input {self.input} changed ({_short(self.old)} -> {_short(self.new)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One step's fate. reused_from: the run whose outcome serves, or "" where the step will run because of `why`."""

    step: str
    reused_from: str
    why: tuple[Change, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.reused_from:
            return f"{self.step}: reused, same inputs as run {self.reused_from}"
        reasons = "; ".join(str(change) for change in self.why) or "it has not run for these inputs"
        return f"{self.step}: will run, {reasons}"


def explain(run: Run, lookup: Lookup, previous: Mapping[str, Outcome]) -> list[Explanation]:
    """Tell for each step whether it is reused or why it will run.

    lookup: outcome kept under a key, or None. previous: step name to the latest outcome, to name what changed.
    Files of a step that will run are not known yet, so what reads them will run too, unless they turn out equal.
    """
    files: dict[str, str] = {}
    said: list[Explanation] = []
    for step in STEPS:
        inputs = step_inputs(step, run, files)
        found = None if NOT_YET in inputs.values() else lookup(step_key(step, inputs))
        if found is None:
            files |= dict.fromkeys(step.writes, NOT_YET)
            said.append(Explanation(step=step.name, reused_from="", why=_changes(step, previous, inputs)))
        else:
            files |= found.outputs
            said.append(Explanation(step=step.name, reused_from=found.run, seconds=found.seconds))
    return said


def _changes(step: Step, previous: Mapping[str, Outcome], inputs: Mapping[str, str]) -> tuple[Change, ...]:
    before = previous.get(step.name)
    if before is None:
        return ()
    names = [*inputs, *(name for name in before.inputs if name not in inputs)]
    pairs = ((name, before.inputs.get(name, ""), inputs.get(name, "")) for name in names)
    return tuple(Change(input=name, old=old, new=new) for name, old, new in pairs if old != new)


def _short(text: str) -> str:
    return text[:19] if text.startswith("sha256:") else text
