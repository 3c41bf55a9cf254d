"""Which parameters to try, and which was best: points that fill a space evenly, the same ones for the same seed.

A trial is a run that looks back from one holdout earlier: it is judged on the part of history just before the holdout
(the validation split), which the candidate that follows learns from; the holdout itself has no say in the choice.
Sobol' points, scrambled (Owen 1998; scipy.stats.qmc): any first n of them lie evenly.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from mainspring.develop.errors import StepFailed
from mainspring.develop.runs import Run

Value = str | int | float | bool
Metric = Literal["log_loss", "brier", "roc_auc"]
_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter: values, or the span from low to high. whole: only whole numbers. log: even in factors."""

    name: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def at(self, share: float) -> Value:
        """Return the value at a share of the way, 0.0 to below 1.0."""
        if self.values:
            return self.values[int(share * len(self.values))]
        low, high = self.low, self.high + (1 if self.whole else 0)
        found = math.exp(math.log(low) + share * math.log(high / low)) if self.log else low + share * (high - low)
        return min(math.floor(found), int(self.high)) if self.whole else float(f"{found:.{_DIGITS}g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """What is tried. trials: points, fewer where all combinations are fewer. metric: by which the best is found."""

    space: tuple[Dimension, ...]
    trials: int
    seed: int
    metric: Metric


def points(plan: SearchPlan) -> list[dict[str, Value]]:
    """Return the parameters of each trial: every combination where that many are asked for, else even points."""
    sizes = [len(one.values) or math.inf for one in plan.space]
    if math.prod(sizes) <= plan.trials:
        every = product(*(one.values for one in plan.space))
        return [dict(zip((one.name for one in plan.space), values, strict=True)) for values in every]
    from scipy.stats import qmc

    rows = qmc.Sobol(len(plan.space), scramble=True, rng=plan.seed).random_base2(math.ceil(math.log2(plan.trials)))
    found = [{one.name: one.at(float(share)) for one, share in zip(plan.space, row, strict=True)} for row in rows]
    return [point for place, point in enumerate(found[: plan.trials]) if point not in found[:place]]


def trial_runs(whole: Run, plan: SearchPlan) -> list[Run]:
    """Return the runs that are tried for a search, each with a name of its own below the search's."""
    trial = replace(
        whole, at=whole.at - whole.training.holdout, champion="", reason=f"trial of {whole.id}",
        training=replace(whole.training, epsilons=(), slices=()),
    )  # fmt: skip
    return [replace(trial.with_params(point), id=f"{whole.id}-t{number}") for number, point in enumerate(points(plan))]


def best_of(plan: SearchPlan, found: Sequence[Mapping[str, float] | None]) -> int:
    """Return the place of the best trial, the first of equals. found: each one's metrics, None where it failed."""
    sign = -1.0 if plan.metric == "roc_auc" else 1.0
    judged = [(sign * one[plan.metric], place) for place, one in enumerate(found) if one and plan.metric in one]
    if not judged:
        raise StepFailed(
            f"none of {len(found)} trials gave a {plan.metric}", fix="see the trials' logs, or narrow space"
        )
    return min(judged)[1]
