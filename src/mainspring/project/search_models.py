"""The search of parameters as it is written, `training.search`, and as a plan."""

from typing import Literal

from pydantic import Field

from mainspring.develop.search import Dimension, SearchPlan
from mainspring.project.fields import Column, Section
from mainspring.project.lower_data import Findings


class SpaceSection(Section):
    """Where one parameter is looked for: `values`, or from `low` to `high`."""

    values: tuple[str | int | float | bool, ...] = Field(default=(), max_length=64, description="Each of these.")
    low: int | float | None = Field(default=None, description="The least.")
    high: int | float | None = Field(default=None, description="The most; whole numbers are tried if both are whole.")
    log: bool = Field(default=False, description="Even in factors, not in differences.")


class SearchSection(Section):
    """Which parameters are tried, by trials that never see the holdout."""

    space: dict[Column, SpaceSection] = Field(min_length=1, max_length=32, description="Parameter -> where to look.")
    trials: int = Field(default=8, ge=2, le=256, description="How many are tried at most.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Which points are tried.")
    metric: Literal["log_loss", "brier", "roc_auc"] = Field(
        default="log_loss", description="By which the best is chosen, on the part of history before the holdout."
    )


def lower_search(section: SearchSection | None, found: Findings) -> SearchPlan:
    """Return the plan, without a space where nothing is searched; every span that is none is told."""
    if section is None:
        return SearchPlan(space=(), trials=0, seed=0, metric="log_loss")
    for name, space in section.space.items():
        here, low, high = ("training", "search", "space", name), space.low, space.high
        texts = [value for value in space.values if isinstance(value, str)]
        if bool(space.values) == (low is not None or high is not None):
            found.add(here, "give values, or low and high", "for example {low: 10, high: 200, log: true}")
        elif not space.values and (low is None or high is None or low >= high or (space.log and low <= 0)):
            found.add(here, "this is no span", "low must be below high, and above 0 with log")
        elif any(not text or len(text.split()) != 1 or text != text.strip() for text in texts):
            found.add(here, "a value is empty or has blanks", "use one word")
    return SearchPlan(
        space=tuple(
            Dimension(
                name=name, values=space.values, low=space.low or 0.0, high=space.high or 0.0, log=space.log,
                whole=isinstance(space.low, int) and isinstance(space.high, int),
            )
            for name, space in section.space.items()
        ),
        trials=section.trials, seed=section.seed, metric=section.metric,
    )  # fmt: skip
