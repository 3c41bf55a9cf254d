"""The rows of a run as the later steps take them: features with their targets, by part."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mainspring.develop.examples import holdout_rows, training_rows
from mainspring.flows.steps.ports import StepPorts
from mainspring.stats.columns import Array, Columns, Floats, take

ROW_NAMES = ("key", "asked_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some rows: features by name, 0/1 target, the time asked (int64 us) and the ask's key."""

    columns: Columns
    target: Floats
    asked_at: Array
    key: Array


def read_parts(files: Mapping[str, str], ports: StepPorts) -> tuple[Part, Part]:
    """Return (training, holdout). Arrays are copies."""
    table = ports.frames.read(ports.store.path(files["features"]))
    rows = ports.frames.read(ports.store.path(files["rows"]))
    return _part(table, training_rows(rows)), _part(table, holdout_rows(rows))


def read_holdout(files: Mapping[str, str], ports: StepPorts) -> Part:
    """Return the holdout alone."""
    table = ports.frames.read(ports.store.path(files["features"]))
    return _part(table, holdout_rows(ports.frames.read(ports.store.path(files["rows"]))))


def write_table(columns: Columns, ports: StepPorts) -> str:
    """Store columns as one Parquet file and return its digest."""
    with ports.scratch() as folder:
        ports.frames.write(folder / "table.parquet", columns)
        return ports.store.put_file(folder / "table.parquet")


def _part(table: Columns, rows: Columns) -> Part:
    index = rows["row"].astype(np.intp)
    features = {name: values for name, values in table.items() if name not in ROW_NAMES}
    return Part(
        columns=take(features, index), target=rows["target"].astype(np.float64),
        asked_at=table["asked_at"][index], key=table["key"][index],
    )  # fmt: skip
