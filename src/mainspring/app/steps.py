"""Wiring of a step process: where user code runs, so it opens neither the ledger nor a private key."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mainspring.app.engines import scorer
from mainspring.app.mounted import NOTHING, Mounted
from mainspring.app.paths import Paths
from mainspring.app.stores import Stores
from mainspring.data.ports import TrainingSets
from mainspring.data.snapshots import from_json
from mainspring.develop.steps import Outcome
from mainspring.flows.snapshot import table_paths
from mainspring.flows.steps.perform import perform
from mainspring.flows.steps.ports import StepPorts
from mainspring.kernel.files import make_private
from mainspring.kernel.stores import Store

LOCAL = "local"


def run_step(
    project: Path, state: Path | None, name: str, run_id: str, *, environment: str = LOCAL, mounted: Mounted = NOTHING
) -> Outcome:  # fmt: skip
    """Run one step of a run of the project (or, with `state`, of a replay of it) in this process.

    environment: whose stores hold the run and its files, and whose trusted keys count, unless others are mounted.
    """
    stores = replace(_stores(project, state, environment), mounted=mounted)
    return perform(name, run_id, step_ports(stores, environment))


def serve_steps(project: Path, state: Path | None, environment: str = LOCAL) -> None:
    """Take steps as JSON lines on stdin and answer on stdout until the input ends; a line may name a replay's state."""
    from mainspring.adapters.process.loop import private_stdout, serve

    own = _stores(project, state, environment)
    shared = _Shared(own, environment)

    def run(name: str, run_id: str, within: str) -> Outcome:
        there = replace(own, paths=own.paths.at(Path(within))) if within else own
        return perform(name, run_id, shared.ports(there))

    with private_stdout() as answers:
        serve(run, sys.stdin, answers)


def step_ports(stores: Stores, environment: str = LOCAL) -> StepPorts:
    """Return the ports of a process that runs steps on `stores`. environment: whose trusted keys count."""
    return _Shared(stores, environment).ports(stores)


def _stores(project: Path, state: Path | None, environment: str) -> Stores:
    """Return an environment's stores; the project file is read only where it may name others than this machine's."""
    if environment == LOCAL:
        return Stores(paths=Paths.of(project).at(state))
    from mainspring.app.workspace import open_workspace

    return open_workspace(project, environment=environment).stores


class _Shared:
    """What all workspaces of one project share in a step process: store, cache, tables read, trainer."""

    def __init__(self, stores: Stores, environment: str = LOCAL) -> None:
        from mainspring.adapters.frames.parquet import ParquetFrames
        from mainspring.adapters.sklearn.trainer import SklearnTrainer

        self._store, self._cache, self._environment = stores.content(), stores.step_cache(), environment
        self._frames, self._trainer = ParquetFrames(), SklearnTrainer(stores.paths.project, _kept)
        self._sets = _sets(self._store)

    def ports(self, stores: Stores) -> StepPorts:
        """Return the ports of one workspace."""

        return StepPorts(
            store=self._store,
            cache=self._cache,
            runs=stores.runs(),
            frames=self._frames,
            trainer=self._trainer,
            sets=self._sets,
            scorer=scorer,
            champion=_champion(stores, self._environment),
            scratch=lambda: scratch(stores.paths.shared / "tmp"),
            timer=time.perf_counter,
            installed=installed,
        )


def installed(name: str) -> str:
    """Return the version of a distribution that is installed here, or ""."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _kept(estimator: object, trust: Sequence[str]) -> bytes:
    from mainspring.adapters.skops.estimators import saved

    return saved(estimator, trust)


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


def _champion(stores: Stores, environment: str) -> Callable[[str], Mapping[str, bytes]]:
    models = stores.signed()
    return lambda digest: models.open(digest, stores.trusted(environment))
