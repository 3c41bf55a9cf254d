"""Gates: every bound, both sides of it, missing evidence, and the verdict's round trip."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.deliver.gates import (
    ChampionGate,
    FairnessGate,
    FloorGate,
    Gate,
    LatencyGate,
    RobustnessGate,
    judge,
    read_verdict,
)
from mainspring.kernel.digests import canonical_json
from mainspring.kernel.errors import Damaged

GATES: tuple[Gate, ...] = (
    ChampionGate(),
    FloorGate(metric="roc_auc", bound=0.6, by="carrier"),
    FloorGate(metric="log_loss", bound=0.6),
    LatencyGate(p99_us=5000),
    FairnessGate(measure="equal_opportunity", by="carrier", gap_below=0.15),
    RobustnessGate(accuracy=0.55, epsilon=0.05),
)
GOOD: dict[str, Any] = {
    "rows": 12000,
    "days": 14,
    "metrics": {"log_loss": 0.45, "roc_auc": 0.72, "pr_auc": 0.4, "brier": 0.15, "ece": 0.01},
    "equality": {"rows": 12000, "worst": 2.4e-7},
    "latency": {"p50_us": 40.0, "p99_us": 90.0, "rows": 2000},
    "slices": {
        "carrier": {
            "UA": {"rows": 4000, "roc_auc": 0.7, "tpr": 0.30},
            "DL": {"rows": 3000, "roc_auc": 0.68, "tpr": 0.25},
            "OO": {"rows": 12, "roc_auc": None, "tpr": 0.0},
        }
    },
    "champion": {
        "digest": "sha256:" + "0" * 64,
        "paired": {"difference": -0.002, "low": -0.01, "high": 0.006, "upper": 0.004, "blocks": 14, "rows": 12000},
    },
    "robustness": {"accuracy": 0.8, "epsilon": 0.05},
}


def changed(path: str, value: object) -> dict[str, Any]:
    evidence = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    item = evidence
    for name in parents:
        item = item[name]
    item[last] = value
    return evidence


def failing(evidence: dict[str, Any]) -> list[str]:
    verdict = judge(GATES, evidence)
    failed = [reason.gate for reason in verdict.reasons if not reason.passed]
    assert verdict.passed == (not failed)
    return failed


def test_good_evidence_passes_every_gate_with_a_reason_each() -> None:
    verdict = judge(GATES, GOOD)
    assert verdict.passed
    assert [reason.gate for reason in verdict.reasons] == [
        "conversion", "sample", "champion", "floor roc_auc by carrier=DL", "floor roc_auc by carrier=UA",
        "floor log_loss", "latency", "fairness equal_opportunity by carrier", "robustness",
    ]  # fmt: skip


def test_numbers_may_travel_as_repr_strings() -> None:
    assert judge(GATES, json.loads(canonical_json(GOOD))) == judge(GATES, GOOD)


@pytest.mark.parametrize(
    ("path", "value", "gate"),
    [
        ("equality/worst", 1.1e-5, "conversion"),
        ("equality/worst", None, "conversion"),
        ("equality/rows", 0, "conversion"),
        ("equality", None, "conversion"),
        ("rows", 499, "sample"),
        ("rows", None, "sample"),
        ("champion/paired/upper", 0.0101, "champion"),
        ("champion/paired/upper", None, "champion"),
        ("champion/paired/blocks", 4, "champion"),
        ("champion/paired/confidence", 0.9, "champion"),
        ("champion/paired/metric", "brier", "champion"),
        ("champion/paired", None, "champion"),
        ("slices/carrier/DL/roc_auc", 0.59, "floor roc_auc by carrier=DL"),
        ("slices/carrier/DL/roc_auc", None, "floor roc_auc by carrier=DL"),
        ("metrics/log_loss", 0.61, "floor log_loss"),
        ("metrics/log_loss", "nan", "floor log_loss"),
        ("latency/p99_us", 5001.0, "latency"),
        ("latency", {}, "latency"),
        ("slices/carrier/DL/tpr", 0.15, "fairness equal_opportunity by carrier"),
        ("slices/carrier/DL/tpr", None, "fairness equal_opportunity by carrier"),
        ("robustness/accuracy", 0.54, "robustness"),
        ("robustness/epsilon", 0.01, "robustness"),
        ("robustness", None, "robustness"),
    ],
)
def test_one_bad_or_missing_number_fails_its_own_gate(path: str, value: object, gate: str) -> None:
    assert failing(changed(path, value)) == [gate]


def test_without_slices_what_needs_them_fails() -> None:
    assert failing(changed("slices", {})) == ["floor roc_auc by carrier", "fairness equal_opportunity by carrier"]


def test_small_slices_are_left_out_and_said_so() -> None:
    few = {name: {"rows": 10, "roc_auc": 0.1, "tpr": 0.0} for name in ("UA", "DL")}
    verdict = judge(GATES, changed("slices/carrier", few))
    assert verdict.passed
    assert any("nothing to judge" in reason.what for reason in verdict.reasons)


def test_the_first_model_passes_the_champion_gate_but_an_absent_comparison_does_not() -> None:
    assert failing(changed("champion", None)) == []
    assert any("first model" in reason.what for reason in judge(GATES, changed("champion", None)).reasons)
    without = {name: value for name, value in GOOD.items() if name != "champion"}
    assert failing(without) == ["champion"]


@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.05))
def test_the_champion_gate_passes_exactly_up_to_its_margin(upper: float, margin: float) -> None:
    verdict = judge([ChampionGate(margin=margin)], changed("champion/paired/upper", upper))
    assert verdict.passed == (upper <= margin)


def test_conversion_and_sample_are_judged_though_no_gate_is_asked_for() -> None:
    assert [reason.gate for reason in judge((), GOOD).reasons] == ["conversion", "sample"]
    assert not judge((), {}).passed


def test_a_verdict_survives_json_and_damage_is_named() -> None:
    verdict = judge(GATES, changed("rows", 3))
    assert read_verdict(json.loads(canonical_json(verdict.to_json()))) == verdict
    with pytest.raises(Damaged):
        read_verdict({"passed": True})
