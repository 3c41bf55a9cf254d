"""train-model: fit with the user's function and write the model in its final form.

Four files leave the step and no Python object: the ONNX graph, its contract, the reference profile that watching
compares with, and the probe, the original estimator's answers that validate-model holds the graph to.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mainspring.data import views
from mainspring.data.personal import hidden_columns
from mainspring.develop.ports import Scorer, Trained, TrainingJob
from mainspring.develop.runs import Run
from mainspring.flows.steps.ports import Made, StepPorts
from mainspring.flows.steps.tables import read_parts, write_table
from mainspring.kernel.contract import Contract
from mainspring.observe.references import Learnt, learn
from mainspring.stats.columns import Array, Columns, Floats, length

CONTRACT_FILE, PROFILE_FILE = "contract.json", "profile.json"
MAX_ROWS = 50_000
SAMPLE_ROWS = 5
PROBE_SCORE = "score"
_BLOCK, _AT_ONCE = 20_000, 2


def train_model(run: Run, files: Mapping[str, str], ports: StepPorts) -> Made:
    """Write `model`, `contract`, `profile` and `probe`. Raises what the trainer raises."""
    training, holdout = read_parts(files, ports)
    plan = run.training
    with ThreadPoolExecutor(1) as beside:  # what is usual of the inputs needs no model: the other core learns it
        learning = beside.submit(learn, training.columns, training.asked_at)
        trained = ports.trainer.train(
            TrainingJob(
                function=plan.function, columns=training.columns, target=training.target, holdout=holdout.columns,
                params=plan.params, runtime=plan.runtime, trust=plan.trust,
            )
        )  # fmt: skip
        probe = beside.submit(write_table, {**trained.probe, PROBE_SCORE: trained.probe_scores}, ports)
        scorer = ports.scorer(trained.model, trained.inputs, plan.trust)
        hidden = hidden_columns(views.from_json(run.definitions), run.personal, [item.name for item in trained.inputs])
        outputs = {
            "model": ports.store.put(trained.model),
            "contract": ports.store.put(_contract(run, trained, hidden, scorer).to_bytes()),
            "profile": ports.store.put(_profile(training.columns, learning.result(), trained, hidden, scorer)),
            "probe": probe.result(),
        }
    metrics = {"fit_seconds": round(trained.fit_seconds, 6), "inputs": float(len(trained.inputs))}
    return Made(outputs=outputs, metrics=metrics | {"model_bytes": float(len(trained.model))})


def _contract(run: Run, trained: Trained, hidden: Sequence[str], scorer: Scorer) -> Contract:
    document = views.to_json(views.from_json(run.definitions))
    ask = document["ask"]
    return Contract(
        model=run.model, inputs=trained.inputs, output=trained.output,
        ask={"from": ask["source"], "key": ask["key"], "at": ask["at"]},
        definitions=document, limits={"rows": MAX_ROWS}, sample=_sample(trained, hidden, scorer), redact=hidden,
    )  # fmt: skip


def _sample(trained: Trained, hidden: Sequence[str], scorer: Scorer) -> dict[str, Any]:
    """Return rows and their scores; personal values have no place in a file that travels, so theirs are blank."""
    count = min(SAMPLE_ROWS, len(trained.probe_scores))
    columns = {item.name: trained.probe[item.name][:count] for item in trained.inputs}
    scores = trained.probe_scores[:count]
    if hidden:
        blank = {name: np.full_like(columns[name], "" if columns[name].dtype == object else 0) for name in hidden}
        columns = {name: blank.get(name, values) for name, values in columns.items()}
        scores = scorer(columns)
    return {"columns": {name: _plain(values) for name, values in columns.items()}, "scores": _plain(scores)}


def _plain(values: Array) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]


def _profile(
    columns: Columns, learnt: Learnt, trained: Trained, hidden: Sequence[str], scorer: Scorer
) -> bytes:  # fmt: skip
    """Return the reference profile; what no log may hold cannot be watched, and its values have no place in a file."""
    inputs = [item.name for item in trained.inputs]
    scores = _scored(scorer, {name: columns[name] for name in inputs})
    return learnt.with_scores([name for name in inputs if name not in hidden], scores).to_bytes()


def _scored(scorer: Scorer, columns: Columns) -> Floats:
    """Score block by block, two at once: a runtime works outside Python's lock, and rows do not depend on others."""
    starts = range(0, length(columns), _BLOCK)
    blocks = ({name: values[start : start + _BLOCK] for name, values in columns.items()} for start in starts)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return np.concatenate([np.zeros(0), *pool.map(scorer, blocks)])
