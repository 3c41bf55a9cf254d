"""What each step needs, as numbers: every step is listed, those that the file leaves out as `others` says.

And the search of parameters as a plan.
"""

from collections.abc import Mapping

from mainspring.develop.search import Dimension, SearchPlan
from mainspring.develop.steps import STEPS
from mainspring.kernel.needs import StepNeeds
from mainspring.kernel.times import SECOND, parse_duration
from mainspring.project.lower_data import Findings
from mainspring.project.models import TrainingSection
from mainspring.project.search_models import SearchSection
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
