"""A small project for training stories: 3,000 visits in 60 days, one string, two numbers, one window."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from mainspring.adapters.duckdb.reader import SourceReader
from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.models import ModelStore
from mainspring.adapters.memory.ledger import Ledger as MemoryLedger
from mainspring.adapters.sql.versions import Versions
from mainspring.app.paths import Paths
from mainspring.app.steps import step_ports
from mainspring.app.stores import Stores
from mainspring.data import views
from mainspring.data.views import Ask, Definitions, RowView, Source, Target, WindowView
from mainspring.develop.ports import RunMirror, StepRunner
from mainspring.develop.runs import Run, TrainingPlan
from mainspring.develop.steps import Outcome
from mainspring.flows.snapshot import SnapshotPorts, take
from mainspring.flows.steps.perform import perform
from mainspring.flows.steps.ports import StepPorts
from mainspring.flows.steps.register_model import RegisterPorts
from mainspring.flows.train import TrainPorts
from mainspring.kernel.events import Ledger
from mainspring.kernel.times import DAY, HOUR, FixedClock, parse_time

START = parse_time("2024-01-01")
ROWS = 6_000
CODE = """
from pathlib import Path
from typing import Any
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

COUNTER = Path(__file__).parent.parent / "fits.txt"

def fit(frame, target, params):
    with COUNTER.open("a") as file:
        file.write("fit\\n")
    print("user code may print")
    encode = ColumnTransformer([
        ("kind", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["visit.kind"]),
        ("numbers", "passthrough", ["visit.size", "visit.hour", "lately.bad_share"]),
    ])
    native = [0] if params.get("native") else None
    trees = HistGradientBoostingClassifier(
        max_iter=int(params.get("max_iter", 15)), min_samples_leaf=20, random_state=0, categorical_features=native)
    return Pipeline([("encode", encode), ("trees", trees)]).fit(frame, target)

def fails(frame, target, params):
    raise ValueError("no such column")

def no_classifier(frame, target, params):
    return object()
"""
DEFINITIONS = Definitions(
    sources=(
        Source(
            name="visits", uri="data/visits.parquet", key="id", event_time="starts",
            known=(("starts", ("kind", "size")), ("ends", None)),
        ),
    ),
    ask=Ask(source="visits", key="id", at="starts"),
    target=Target(name="bad", source="visits", expression="outcome >= 1"),
    views=(
        RowView(name="visit", source="visits", columns=("kind", "size"), derive=(("hour", "hour(starts)"),)),
        WindowView(
            name="lately", source="visits", by=("kind",), window=7 * DAY, refresh=HOUR,
            aggregates=(("bad_share", "avg(bad)"),),
        ),
    ),
)  # fmt: skip


class InProcess:
    """Runs steps here; counts them."""

    def __init__(self, ports: StepPorts) -> None:
        self.ports = ports
        self.ran: list[str] = []

    def run(self, step: str, run_id: str) -> Outcome:
        self.ran.append(step)
        return perform(step, run_id, self.ports)


def make_project(root: Path, rows: int = ROWS) -> Path:
    (root / "src" / "small").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "src" / "small" / "__init__.py").write_text("")
    (root / "src" / "small" / "train.py").write_text(CODE)
    random = np.random.default_rng(0)
    starts = np.sort(START + random.integers(0, 60 * DAY, rows))
    kind = np.array(["walk", "bus", "car", None], dtype=object)[random.integers(0, 4, rows)]
    size = np.round(random.normal(3, 1, rows), 2)
    chance = 1 / (1 + np.exp(-(size - 3 + (kind == "bus") - 0.5)))
    table = {
        "id": np.array([f"v{i:05d}" for i in range(rows)], dtype=object),
        "starts": starts,
        "ends": starts + random.integers(HOUR, 5 * HOUR, rows),
        "kind": kind,
        "size": size,
        "outcome": (random.random(rows) < chance).astype(np.float64),
    }
    with duckdb.connect() as connection:
        connection.register("given", table)
        times = "make_timestamp(starts)::TIMESTAMPTZ AS starts, make_timestamp(ends)::TIMESTAMPTZ AS ends"
        target = root / "data" / "visits.parquet"
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY (SELECT * REPLACE ({times}) FROM given) TO '{target}' (FORMAT parquet)")
    return root


class Small:
    """The project with its ports."""

    def __init__(self, root: Path, *, runner: StepRunner | None = None, mirror: RunMirror | None = None) -> None:
        self.root, state = root, root / ".mainspring"
        self.steps = step_ports(Stores(paths=Paths.of(root)))
        self.ledger: Ledger = MemoryLedger()
        self.in_process = InProcess(self.steps)
        self.models = ModelStore(state / "models")
        self.keys = Keys(state, root)
        self.ports = TrainPorts(
            ledger=self.ledger, clock=FixedClock(START), runs=self.steps.runs, cache=self.steps.cache,
            steps=runner or self.in_process, mirror=mirror, progress=lambda _: None,
            register=RegisterPorts(store=self.steps.store, models=self.models, keys=self.keys),
            versions=Versions(f"sqlite:///{(state / 'versions.db').as_posix()}"),
        )  # fmt: skip
        reader = SourceReader(root)
        wanted = SnapshotPorts(ledger=self.ledger, store=self.steps.store, reader=reader)
        self.snapshot = take(DEFINITIONS.sources, {}, wanted, at=START, actor="user:test").digest

    def run(self, run_id: str = "r1", *, day: int = 50, champion: str = "", **plan: Any) -> Run:  # noqa: ANN401 - fields of TrainingPlan
        settings: dict[str, Any] = {"function": "small.train:fit", "window": None, "holdout": 10 * DAY, **plan}
        return Run(
            id=run_id, model="small", at=START + day * DAY, snapshot=self.snapshot, champion=champion,
            definitions=views.to_json(DEFINITIONS), code="sha256:" + "1" * 64, reason="a test",
            training=TrainingPlan(**settings),
        )  # fmt: skip

    def fits(self) -> int:
        counted = self.root / "src" / "fits.txt"
        return len(counted.read_text().splitlines()) if counted.exists() else 0
