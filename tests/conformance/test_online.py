"""Every online store gives back what was shown when: the newest row up to the moment asked, null without one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.adapters.memory.online import OnlineStore as MemoryStore
from mainspring.adapters.sqlite.online import OnlineStore as SqliteStore
from mainspring.data.ports import NEVER, OnlineStore
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.stats.columns import Columns

STORES: dict[str, Callable[[Path], OnlineStore]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "online" / "features.db"),
}


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> OnlineStore:
    return STORES[request.param](tmp_path)


def rows(*cells: tuple[str, int, float | None, str | None]) -> Columns:
    """Rows (key, at, number, text) of a stream; each happened a microsecond before it showed."""
    return {
        "key": np.array([cell[0] for cell in cells], dtype=object),
        "at": np.array([cell[1] for cell in cells], dtype=np.int64),
        "event_time": np.array([cell[1] - 1 for cell in cells], dtype=np.int64),
        "wind": np.array([np.nan if cell[2] is None else cell[2] for cell in cells], dtype=np.float64),
        "sky": np.array([cell[3] for cell in cells], dtype=object),
        "seen": np.array([np.datetime64(cell[1], "us") for cell in cells], dtype="datetime64[us]"),
    }


def test_a_read_sees_the_newest_row_up_to_its_moment(store: OnlineStore) -> None:
    store.write("sky", rows(("JFK", 10, 1.5, "clear"), ("JFK", 20, None, None), ("LGA", 10, 3.0, "rain")))
    read = store.read("sky", ["JFK", "JFK", "JFK", "LGA", "EWR", None], [9, 19, 20, 99, 99, 99])
    assert read["event_time"].tolist() == [NEVER, 9, 19, 9, NEVER, NEVER]
    np.testing.assert_array_equal(read["wind"], [np.nan, 1.5, np.nan, 3.0, np.nan, np.nan])
    assert read["sky"].tolist() == [None, "clear", None, "rain", None, None]
    assert np.isnat(read["seen"]).tolist() == [True, False, False, False, True, True]
    assert read["seen"][1] == np.datetime64(10, "us")


def test_writing_again_replaces_and_adds(store: OnlineStore) -> None:
    store.write("sky", rows(("JFK", 10, 1.0, "clear")))
    store.write("sky", rows(("JFK", 10, 2.0, "rain"), ("JFK", 11, 3.0, "fog")))
    assert store.read("sky", ["JFK", "JFK"], [10, 11])["wind"].tolist() == [2.0, 3.0]


def test_a_view_is_known_from_its_first_write_even_of_nothing(store: OnlineStore) -> None:
    with pytest.raises(NotFound):
        store.read("sky", ["JFK"], [1])
    with pytest.raises(NotFound):
        store.set_watermark("sky", 1)
    store.write("sky", rows())
    assert store.read("sky", ["JFK"], [1])["event_time"].tolist() == [NEVER]


def test_a_watermark_is_kept_a_view(store: OnlineStore) -> None:
    store.write("sky", rows())
    assert store.watermark("sky") == store.watermark("other") == NEVER
    store.set_watermark("sky", 7)
    assert (store.watermark("sky"), store.watermark("other")) == (7, NEVER)


def test_pruning_keeps_what_later_reads_see(store: OnlineStore) -> None:
    store.write("sky", rows(*((key, at, float(at), "x") for key in ("A", "B") for at in (10, 20, 30))))
    store.prune("sky", 25)
    assert store.read("sky", ["A", "A", "B", "B"], [25, 30, 29, 31])["wind"].tolist() == [20.0, 30.0, 20.0, 30.0]
    assert store.read("sky", ["A"], [15])["event_time"].tolist() == [NEVER]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.lists(st.tuples(st.sampled_from("ABé"), st.integers(-50, 50), st.floats(allow_nan=False)), max_size=12),
    asked=st.lists(st.tuples(st.sampled_from("ABéX"), st.integers(-60, 60)), min_size=1, max_size=8),
)
def test_sqlite_answers_as_memory_does(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, int, float]], asked: list[tuple[str, int]]
) -> None:
    memory, sqlite = MemoryStore(), SqliteStore(tmp_path_factory.mktemp("online") / "o.db")
    for store in (memory, sqlite):
        store.write("v", rows(*((key, at, number, key) for key, at, number in written)))
    keys, moments = zip(*asked, strict=True)
    left, right = memory.read("v", keys, moments), sqlite.read("v", keys, moments)
    sqlite.close()
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name])


def test_another_process_sees_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    writer, reader = SqliteStore(path), SqliteStore(path)
    writer.write("sky", rows(("JFK", 10, 1.0, "clear")))
    assert reader.read("sky", ["JFK"], [10])["sky"].tolist() == ["clear"]
    assert path.stat().st_mode & 0o077 == 0
    writer.close()
    reader.close()


def test_a_file_that_is_no_database_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(Damaged):
        SqliteStore(path)


def test_other_columns_under_a_known_name_are_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "online.db")
    store.write("sky", rows())
    with pytest.raises(Damaged):
        store.write("sky", {name: values for name, values in rows().items() if name != "wind"})
    store.close()
