"""What each step of a training needs, as it is written: `training.steps`."""

from typing import Annotated, Literal

from pydantic import Field

from mainspring.project.fields import Duration, Section, Written, lock_path

StepName = Literal["fetch-data", "preprocess", "train-model", "validate-model", "register-model", "others"]
Memory = Annotated[
    str, Field(pattern=r"^[1-9][0-9]{0,6}(Mi|Gi)$", description="Mebibytes or gibibytes: 512Mi, 8Gi.", examples=["4Gi"])
]
LockPath = Annotated[str, Written(r"[^/~].*\.(txt|lock)", "ml-api/steps.lock", lock_path)]


class StepSection(Section):
    """What one step needs. A worker on this machine keeps to timeout and lock, a cluster to all of it."""

    cpu: float = Field(default=1.0, ge=0.1, le=256, description="Processors.")
    memory: Memory = Field(default="2Gi", description="Memory; a cluster ends a step that takes more.")
    gpu: int = Field(default=0, ge=0, le=16, description="Graphics processors.")
    timeout: Duration = Field(default="1h", description="Longest time; the step is ended then.")
    lock: LockPath | None = Field(
        default=None, description="Lock file of name==version lines; a step refuses to run among other packages."
    )
