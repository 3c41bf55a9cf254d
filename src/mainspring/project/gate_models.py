"""Gates as written: a list of one-key mappings, told apart by the key so that one bad gate hides nothing."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mainspring.project.fields import Duration, FeatureColumn, Section, Share

Positive = Annotated[float, Field(gt=0)]


class ChampionSection(Section):
    """Not worse than the champion, on the same rows."""

    metric: Literal["log_loss", "brier"] = Field(default="log_loss", description="Loss that is compared.")
    margin: Share = Field(default=0.01, description="How much worse still passes.")
    confidence: float = Field(default=0.95, ge=0.5, lt=1, description="Confidence of the one-sided bound.")


class FloorSection(Section):
    """A metric that must be reached, overall or in every slice."""

    metric: Literal["log_loss", "roc_auc", "pr_auc", "brier"] = Field(description="Metric computed on the holdout.")
    by: FeatureColumn | None = Field(default=None, description="Feature column whose values are the slices.")
    at_least: Share | None = Field(default=None, description="Lowest value that passes; for roc_auc and pr_auc.")
    at_most: Positive | None = Field(default=None, description="Highest value that passes; for log_loss and brier.")
    min_rows: int = Field(default=500, ge=1, description="Slices with fewer rows are not judged.")


class LatencySection(Section):
    """Speed of the exported model."""

    p99: Duration = Field(description="Slowest 99th percentile of one row that passes.")


class FairnessSection(Section):
    """Equal treatment of groups."""

    measure: Literal["equal_opportunity", "demographic_parity"] = Field(description="What must be equal.")
    by: FeatureColumn = Field(description="Feature column whose values are the groups.")
    gap_below: Share = Field(description="Largest gap that passes.")
    min_rows: int = Field(default=500, ge=1, description="Groups with fewer rows are not judged.")


class RobustnessSection(Section):
    """Stability under small changes of the numbers."""

    accuracy: Share = Field(description="Lowest accuracy that passes.")
    epsilon: Positive = Field(description="Size of the changes, in standard deviations.")


class ChampionEntry(Section):
    """`- champion: {...}`."""

    champion: ChampionSection = Field(description="Not worse than the champion on the same rows.")


class FloorEntry(Section):
    """`- floor: {...}`."""

    floor: FloorSection = Field(description="A metric that must be reached, overall or in every slice.")


class LatencyEntry(Section):
    """`- latency: {...}`."""

    latency: LatencySection = Field(description="Speed of the exported model.")


class FairnessEntry(Section):
    """`- fairness: {...}`."""

    fairness: FairnessSection = Field(description="Equal treatment of groups.")


class RobustnessEntry(Section):
    """`- robustness: {...}`."""

    robustness: RobustnessSection = Field(description="Stability under small changes.")


KINDS = ("champion", "floor", "latency", "fairness", "robustness")


def _kind(value: object) -> str:
    """Return the tag of a gate: its only key."""
    if isinstance(value, dict) and len(value) == 1:
        return f"<{next(iter(value))}>"
    return "<none>"


GateEntry = Annotated[
    Annotated[ChampionEntry, Tag("<champion>")]
    | Annotated[FloorEntry, Tag("<floor>")]
    | Annotated[LatencyEntry, Tag("<latency>")]
    | Annotated[FairnessEntry, Tag("<fairness>")]
    | Annotated[RobustnessEntry, Tag("<robustness>")],
    Discriminator(_kind, custom_error_type="project_gate", custom_error_message="is not one gate"),
]
