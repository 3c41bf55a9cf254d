"""develop: turn a snapshot into a candidate model, in five steps that never run twice for the same inputs.

    fetch-data -> preprocess -> train-model -> validate-model -> register-model

`runs` says what a training is asked to do. `steps` says what each step reads, writes and depends on, and the key
under which its outcome is kept; `plan` explains from these what will run and why. `examples` chooses the rows to
learn from and to judge on; `evidence` measures a candidate for the gates. All of it is pure. `ports` names what is
needed from outside: a trainer, tables, and keepers of runs and outcomes. The bodies of the steps, which join this
layer with the others, are in `flows.steps`; the story of one training is `flows.train`.

Words: a *run* is one training as of one moment; an *outcome* is what a step did; the *holdout* is the last stretch
before the run's moment; the *probe* is the original estimator's answers that the exported model is held to.
"""

from mainspring.develop.plan import Explanation, explain
from mainspring.develop.runs import Run, TrainingPlan, read_run
from mainspring.develop.steps import STEPS, Outcome, Step, command, step_inputs, step_key

__all__ = [
    "STEPS", "Explanation", "Outcome", "Run", "Step", "TrainingPlan", "command", "explain", "read_run", "step_inputs",
    "step_key",
]  # fmt: skip
