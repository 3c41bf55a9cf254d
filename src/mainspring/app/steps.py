"""Wiring of a step process: where user code runs, so it opens neither the ledger nor a private key."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from mainspring.app.paths import Paths
from mainspring.data.ports import TrainingSets
from mainspring.data.snapshots import from_json
from mainspring.develop.steps import Outcome
from mainspring.flows.snapshot import table_paths
from mainspring.flows.steps.perform import perform
from mainspring.flows.steps.ports import StepPorts
from mainspring.kernel.files import make_private
from mainspring.kernel.stores import Store

LOCAL = "local"


def run_step(project: Path, state: Path | None, name: str, run_id: str) -> Outcome:
    """Run one step of a run of the project (or, with `state`, of a replay of it) in this process."""
    return perform(name, run_id, step_ports(Paths.of(project).at(state)))


def serve_steps(project: Path, state: Path | None) -> None:
    """Take steps as JSON lines on stdin and answer on stdout until the input ends; a line may name a replay's state."""
    from mainspring.adapters.process.loop import private_stdout, serve

    own = Paths.of(project).at(state)
    shared = _Shared(own)

    def run(name: str, run_id: str, within: str) -> Outcome:
        return perform(name, run_id, shared.ports(own.at(Path(within)) if within else own))

    with private_stdout() as answers:
        serve(run, sys.stdin, answers)


def step_ports(paths: Paths) -> StepPorts:
    """Return the ports of a process that runs steps of the workspace at `paths`."""
    return _Shared(paths).ports(paths)


class _Shared:
    """What all workspaces of one project share in a step process: store, cache, tables read, trainer."""

    def __init__(self, paths: Paths) -> None:
        from mainspring.adapters.files.store import Store as FileStore
        from mainspring.adapters.frames.parquet import ParquetFrames
        from mainspring.adapters.runs.files import FileStepCache
        from mainspring.adapters.sklearn.trainer import SklearnTrainer

        self._store = FileStore(paths.shared / "store")
        self._cache = FileStepCache(paths.shared / "cache")
        self._frames, self._trainer = ParquetFrames(), SklearnTrainer(paths.project)
        self._sets = _sets(self._store)

    def ports(self, paths: Paths) -> StepPorts:
        """Return the ports of one workspace."""
        from mainspring.adapters.onnx.scorer import Scorer
        from mainspring.adapters.runs.files import FileRuns

        return StepPorts(
            store=self._store,
            cache=self._cache,
            runs=FileRuns(paths.state / "runs"),
            frames=self._frames,
            trainer=self._trainer,
            sets=self._sets,
            scorer=Scorer,
            champion=_champion(paths),
            scratch=lambda: scratch(paths.shared / "tmp"),
            timer=time.perf_counter,
        )


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Open a new empty folder that is removed afterwards."""
    make_private(parent)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def _sets(store: Store) -> Callable[[str], TrainingSets]:
    @lru_cache(maxsize=1)
    def opened(snapshot: str) -> TrainingSets:
        from mainspring.adapters.duckdb.training_sets import TrainingSets as DuckTrainingSets

        return DuckTrainingSets(table_paths(from_json(json.loads(store.get(snapshot))), store))

    return opened


def _champion(paths: Paths) -> Callable[[str], Mapping[str, bytes]]:
    from mainspring.adapters.files.keys import Keys as FileKeys
    from mainspring.adapters.files.models import ModelStore as FileModels

    models, keys = FileModels(paths.state / "models"), FileKeys(paths.state, paths.root)
    return lambda digest: models.open(digest, keys.trusted(LOCAL))
