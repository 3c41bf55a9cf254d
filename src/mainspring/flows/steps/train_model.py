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
        outputs = {
            "model": ports.store.put(trained.model),
            "contract": ports.store.put(_contract(run, trained).to_bytes()),
            "profile": ports.store.put(_profile(run, training.columns, learning.result(), trained, ports)),
            "probe": probe.result(),
        }
    metrics = {"fit_seconds": round(trained.fit_seconds, 6), "inputs": float(len(trained.inputs))}
    return Made(outputs=outputs, metrics=metrics | {"model_bytes": float(len(trained.model))})


def _hidden(run: Run, trained: Trained) -> Sequence[str]:
    """Return the inputs that hold personal data."""
    return hidden_columns(views.from_json(run.definitions), run.personal, [item.name for item in trained.inputs])


def _contract(run: Run, trained: Trained) -> Contract:
    document = views.to_json(views.from_json(run.definitions))
    ask = document["ask"]
    return Contract(
        model=run.model, inputs=trained.inputs, output=trained.output,
        ask={"from": ask["source"], "key": ask["key"], "at": ask["at"]},
        definitions=document, limits={"rows": MAX_ROWS}, sample=_sample(trained),
        redact=_hidden(run, trained),
    )  # fmt: skip


def _sample(trained: Trained) -> dict[str, Any]:
    count = min(SAMPLE_ROWS, len(trained.probe_scores))
    columns = {item.name: _plain(trained.probe[item.name][:count]) for item in trained.inputs}
    return {"columns": columns, "scores": _plain(trained.probe_scores[:count])}


def _plain(values: Array) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]


def _profile(run: Run, columns: Columns, learnt: Learnt, trained: Trained, ports: StepPorts) -> bytes:
    """Return the reference profile; what no log may hold cannot be watched, and its values have no place in a file."""
    inputs = [item.name for item in trained.inputs]
    scorer = ports.scorer(trained.model, trained.inputs, run.training.trust)
    scores = _scored(scorer, {name: columns[name] for name in inputs})
    hidden = _hidden(run, trained)
    return learnt.with_scores([name for name in inputs if name not in hidden], scores).to_bytes()


def _scored(scorer: Scorer, columns: Columns) -> Floats:
    """Score block by block, two at once: a runtime works outside Python's lock, and rows do not depend on others."""
    starts = range(0, length(columns), _BLOCK)
    blocks = ({name: values[start : start + _BLOCK] for name, values in columns.items()} for start in starts)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return np.concatenate([np.zeros(0), *pool.map(scorer, blocks)])
