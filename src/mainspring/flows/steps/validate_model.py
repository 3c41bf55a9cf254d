"""validate-model: gather the evidence that gates judge, on the holdout and with the exported graph.

Equality with the original comes from the probe; latency is measured on the same runtime that serves.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mainspring.develop import evidence
from mainspring.develop.evidence import Judged
from mainspring.develop.ports import Scorer
from mainspring.develop.runs import Run
from mainspring.flows.steps.ports import Made, StepPorts
from mainspring.flows.steps.tables import Part, read_holdout, write_table
from mainspring.flows.steps.train_model import CONTRACT_FILE, PROBE_SCORE
from mainspring.kernel.contract import Contract, model_of, read_contract
from mainspring.stats import metrics
from mainspring.stats.columns import Columns, Floats, take

_LATENCY_ROWS = 200
_ROUNDS = 5
_WARM_ROWS = 50
_US = 1e6


def validate_model(run: Run, files: Mapping[str, str], ports: StepPorts) -> Made:
    """Write `evidence` (JSON) and `losses` (a row each: key, asked_at, target, scores, losses)."""
    holdout = read_holdout(files, ports)
    contract = read_contract(ports.store.get(files["contract"]))
    scorer = ports.scorer(ports.store.get(files["model"]), contract.inputs, run.training.trust)
    columns = _inputs(contract, holdout.columns)
    judged = Judged(target=holdout.target, scores=scorer(columns), asked_at=holdout.asked_at)
    champion = _champion_scores(run, holdout, ports)
    losses = write_table(_losses(holdout, judged, champion), ports)
    plan = run.training
    found: dict[str, Any] = {
        "schema": 1,
        **evidence.measure(judged),
        "equality": _equality(files, scorer, ports),
        "latency": latency(scorer, columns, ports),
        "slices": evidence.slices(judged, holdout.columns, plan.slices),
        "champion": None if champion is None else _compared(run, judged, champion),
        "robustness": evidence.robustness(judged, columns, scorer, max(plan.epsilons)) if plan.epsilons else None,
        "losses": losses,
    }
    data = json.dumps(found, sort_keys=True, allow_nan=False).encode("utf-8")
    shown = {name: value for name, value in found["metrics"].items() if value is not None}
    return Made(outputs={"evidence": ports.store.put(data), "losses": losses}, metrics=shown)


def latency(scorer: Scorer, columns: Columns, ports: StepPorts) -> dict[str, Any]:
    """Return {"rows", "rounds", "p50_us", "p99_us"} of one-row calls, evenly spread over the columns.

    The best of five rounds of 200 calls after a warm-up: what the model needs, not what a busy machine adds.
    """
    total = len(next(iter(columns.values())))
    ones = [take(columns, np.array([row])) for row in np.linspace(0, total - 1, _LATENCY_ROWS).astype(np.intp)]
    for one in ones[:_WARM_ROWS]:
        scorer(one)
    rounds = [np.percentile([_took(scorer, one, ports) for one in ones], [50, 99]) for _ in range(_ROUNDS)]
    low, high = np.min(rounds, axis=0)
    return {"rows": _LATENCY_ROWS, "rounds": _ROUNDS, "p50_us": round(float(low), 1), "p99_us": round(float(high), 1)}


def _took(scorer: Scorer, one: Columns, ports: StepPorts) -> float:
    started = ports.timer()
    scorer(one)
    return (ports.timer() - started) * _US


def _inputs(contract: Contract, columns: Columns) -> Columns:
    return {item.name: columns[item.name] for item in contract.inputs}


def _champion_scores(run: Run, holdout: Part, ports: StepPorts) -> Floats | None:
    if not run.champion:
        return None
    files = ports.champion(run.champion)
    contract = read_contract(files[CONTRACT_FILE])
    evidence.require_features([item.name for item in contract.inputs], holdout.columns, run.champion)
    return ports.scorer(model_of(files), contract.inputs, run.training.trust)(_inputs(contract, holdout.columns))


def _compared(run: Run, judged: Judged, champion: Floats) -> dict[str, Any]:
    plan = run.training
    return evidence.compare(judged, champion, run.champion, loss=plan.loss, confidence=plan.confidence)


def _equality(files: Mapping[str, str], scorer: Scorer, ports: StepPorts) -> dict[str, Any]:
    probe = ports.frames.read(ports.store.path(files["probe"]))
    inputs = {name: values for name, values in probe.items() if name != PROBE_SCORE}
    return evidence.equality(probe[PROBE_SCORE], scorer(inputs))


def _losses(holdout: Part, judged: Judged, champion: Floats | None) -> Columns:
    columns: Columns = {
        "key": holdout.key,
        "asked_at": holdout.asked_at,
        "target": judged.target,
        "score": judged.scores,
        "loss": metrics.log_losses(judged.target, judged.scores),
    }
    if champion is not None:
        columns |= {"champion_score": champion, "champion_loss": metrics.log_losses(judged.target, champion)}
    return columns
