"""fetch-data: the whole point-in-time table of a snapshot, and every version of every outcome.

Depends on nothing but the snapshot and the definitions, so all trainings on one snapshot share it.
"""

from collections.abc import Mapping

from mainspring.data import views
from mainspring.develop.runs import Run
from mainspring.flows.steps.ports import Made, StepPorts
from mainspring.stats.columns import length


def fetch_data(run: Run, files: Mapping[str, str], ports: StepPorts) -> Made:
    """Write `features` (key, asked_at, features...) and `targets` (key, asked_at, value, known_at)."""
    definitions = views.from_json(run.definitions)
    sets = ports.sets(run.snapshot)
    with ports.scratch() as folder:
        features, outcomes = folder / "features.parquet", folder / "targets.parquet"
        sets.write(definitions, features)
        targets = sets.targets(definitions)
        ports.frames.write(outcomes, targets)
        outputs = {"features": ports.store.put_file(features), "targets": ports.store.put_file(outcomes)}
    return Made(outputs=outputs, metrics={"outcomes": float(length(targets))})
