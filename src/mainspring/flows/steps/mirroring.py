"""A finished run as a tracking server shows it, made from files alone, so it can be made again at any time."""

import json
from collections.abc import Mapping
from typing import Any

from mainspring.develop.ports import Mirrored
from mainspring.develop.runs import Run
from mainspring.kernel.times import format_duration, format_time


def mirrored(run: Run, digest: str, version: int, evidence: bytes, gate: bytes) -> Mirrored:
    """Return parameters, metrics, tags and files of a run. evidence, gate: as attested beside the model."""
    found, verdict = json.loads(evidence), json.loads(gate)
    return Mirrored(
        run=run.id, model=run.model, digest=digest, version=version, params=_params(run), metrics=_metrics(found),
        files={"evidence.json": evidence, "gate.json": gate, "run.json": json.dumps(run.to_json()).encode("utf-8")},
        tags=_tags(run, digest, version, bool(verdict["passed"])),
    )  # fmt: skip


def _params(run: Run) -> dict[str, str]:
    plan = run.training
    return {
        "function": plan.function,
        "window": "all" if plan.window is None else format_duration(plan.window),
        "holdout": format_duration(plan.holdout),
        "at": format_time(run.at),
        **{f"params.{name}": str(value) for name, value in plan.params.items()},
    }


def _metrics(evidence: Mapping[str, Any]) -> dict[str, float]:
    latency = {f"latency_{name}": evidence["latency"][name] for name in ("p50_us", "p99_us")}
    paired = (evidence["champion"] or {}).get("paired", {})
    against = {f"champion_{name}": paired.get(name) for name in ("difference", "upper")}
    numbers = {"rows": evidence["rows"], **evidence["metrics"], **latency, **against}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def _tags(run: Run, digest: str, version: int, passed: bool) -> dict[str, str]:
    return {
        "mainspring.digest": digest,
        "mainspring.version": str(version),
        "mainspring.run": run.id,
        "mainspring.snapshot": run.snapshot,
        "mainspring.code": run.code,
        "mainspring.champion": run.champion,
        "mainspring.reason": run.reason,
        "mainspring.gate": "passed" if passed else "refused",
        "mlflow.source.git.commit": run.commit,
    }
