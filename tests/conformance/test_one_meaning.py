"""One meaning: reference, DuckDB build, DuckDB file and online assembly agree on random histories."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.histories import START, STEP, TYPES, definitions, histories, write_parquet

from mainspring.adapters.duckdb.session import fetch
from mainspring.adapters.duckdb.training_sets import TrainingSets
from mainspring.adapters.memory.online import OnlineStore as MemoryStore
from mainspring.adapters.memory.training_sets import TrainingSets as Reference
from mainspring.adapters.sqlite.online import OnlineStore
from mainspring.data.ports import NEVER
from mainspring.data.views import Definitions
from mainspring.flows.assemble import assemble
from mainspring.flows.materialise import materialise
from mainspring.kernel.times import HOUR, MINUTE
from mainspring.stats.columns import Columns

FOREVER = START + 1_000 * HOUR
ANY = {
    "tables": histories(),
    "window": st.sampled_from([HOUR, 3 * HOUR, 90 * MINUTE]),
    "refresh": st.sampled_from([MINUTE, 20 * MINUTE, HOUR]),
    "max_age": st.sampled_from([None, STEP, 2 * HOUR]),
    "half": st.integers(0, 40),
}
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


def same(left: Columns, right: Columns) -> None:
    """Fail unless both hold the same columns: texts and nulls equal, numbers to 1e-9."""
    assert list(left) == list(right)
    for name, values in left.items():
        if values.dtype == object or right[name].dtype == object:
            assert values.tolist() == right[name].tolist(), name
        elif values.dtype.kind == "f":
            np.testing.assert_allclose(values, right[name], rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(values, right[name], err_msg=name)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@settings(max_examples=3, deadline=None, suppress_health_check=HEALTH)
@given(**ANY)
def test_every_way_to_make_features_gives_the_same(
    connection: duckdb.DuckDBPyConnection,
    tables: dict[str, Columns],
    window: int,
    refresh: int,
    max_age: int | None,
    half: int,
) -> None:
    agree(connection, tables, definitions(window=window, refresh=refresh, max_age=max_age), half)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
@given(**ANY)
def test_every_way_to_make_features_gives_the_same_on_many_histories(
    connection: duckdb.DuckDBPyConnection,
    tables: dict[str, Columns],
    window: int,
    refresh: int,
    max_age: int | None,
    half: int,
) -> None:
    agree(connection, tables, definitions(window=window, refresh=refresh, max_age=max_age), half)


def agree(connection: duckdb.DuckDBPyConnection, tables: dict[str, Columns], defined: Definitions, half: int) -> None:
    """Fail unless all ways to make the features of these tables agree; `half` is where materialising pauses."""
    reference = Reference(tables, TYPES)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.parquet" for name in tables}
        for name, columns in tables.items():
            write_parquet(connection, name, columns, paths[name])
        sets = TrainingSets({name: [path] for name, path in paths.items()})
        asks = reference.asks(defined, NEVER, FOREVER)
        expected = reference.build(defined, asks)
        same(sets.asks(defined, NEVER, FOREVER), asks)
        same(reference.targets(defined), sets.targets(defined))
        same(sets.build(defined, asks), expected)

        sets.write(defined, Path(folder) / "features.parquet")
        written = fetch(connection, f"SELECT * FROM '{folder}/features.parquet'")
        same(written, {"key": expected["key"], "asked_at": expected["at"], **_features(expected)})

        online = OnlineStore(Path(folder) / "online.db")
        for until in (START + half * STEP, FOREVER):
            materialise(defined, sets, online, until)
        same(assemble(defined, list(asks["key"]), list(asks["at"]), {}, online), _features(expected))
        online.close()

        memory = MemoryStore()
        materialise(defined, reference, memory, FOREVER)
        same(assemble(defined, list(asks["key"]), list(asks["at"]), {}, memory), _features(expected))


def _features(columns: Columns) -> Columns:
    return {name: values for name, values in columns.items() if "." in name}
