"""What each step needs, as numbers: every step is listed, those that the file leaves out as `others` says."""

from collections.abc import Mapping

from mainspring.develop.steps import STEPS
from mainspring.kernel.needs import StepNeeds
from mainspring.kernel.times import SECOND, parse_duration
from mainspring.project.lower_data import Findings
from mainspring.project.models import TrainingSection
from mainspring.project.step_models import StepSection

OTHERS = "others"
_MI = {"Mi": 1, "Gi": 1024}


def lower_steps(section: TrainingSection, found: Findings) -> Mapping[str, StepNeeds]:
    """Return the needs of the five steps, and under `others` those of everything else that runs beside them."""
    written: dict[str, StepSection] = {str(name): needs for name, needs in section.steps.items()}
    others = written.get(OTHERS, StepSection())
    names = [*(step.name for step in STEPS), OTHERS]
    return {name: _needs(name, written.get(name, others), found) for name in names}


def _needs(name: str, section: StepSection, found: Findings) -> StepNeeds:
    seconds = parse_duration(section.timeout) // SECOND
    if seconds < 1:
        found.add(
            ("training", "steps", name, "timeout"), f"{section.timeout} is less than a second", "give it 1s or more"
        )
    return StepNeeds(
        cpu_m=round(section.cpu * 1000), memory_mi=int(section.memory[:-2]) * _MI[section.memory[-2:]],
        gpu=section.gpu, seconds=seconds, lock=section.lock or "",
    )  # fmt: skip
