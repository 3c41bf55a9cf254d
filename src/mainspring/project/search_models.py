"""The search of parameters as it is written: `training.search`."""

from typing import Literal

from pydantic import Field

from mainspring.project.fields import Column, Section


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
