"""What a step needs of a machine: the project file says it, a step process keeps to it, a cluster is told it."""

from dataclasses import dataclass

DEFAULT_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNeeds:
    """One step's needs.

    cpu_m: thousandths of a processor. memory_mi: mebibytes. gpu: whole devices. seconds: the longest it may take.
    lock: path of a lock file, below the project's folder, whose packages must be installed as they stand there; or "".
    """

    cpu_m: int = 1000
    memory_mi: int = 2048
    gpu: int = 0
    seconds: int = DEFAULT_SECONDS
    lock: str = ""
