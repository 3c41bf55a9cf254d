"""Every online store gives back what was shown when: the newest row up to the moment asked, null without one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.redis_server import RedisServer, running

from mainspring.adapters.memory.online import OnlineStore as MemoryStore
from mainspring.adapters.redis.online import OnlineStore as RedisStore
from mainspring.adapters.sqlite.online import OnlineStore as SqliteStore
from mainspring.data.ports import ALWAYS, NEVER, OnlineStore
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.stats.columns import Columns

Make = Callable[[], OnlineStore]
FAR = 2**62
_names = count()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.tools)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """What makes empty stores of one kind."""
    if request.param == "memory":
        return MemoryStore
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / f"online-{next(_names)}" / "features.db")
    server: RedisServer = request.getfixturevalue("redis")
    return lambda: RedisStore(server.client(), f"production/model [{next(_names)}]*")


@pytest.fixture
def store(make: Make) -> OnlineStore:
    return make()


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


def put(store: OnlineStore, *cells: tuple[str, int, float | None, str | None], view: str = "sky") -> None:
    store.write(view, rows(*cells))
    store.publish({view: FAR})


def read(store: OnlineStore, keys: Sequence[str | None], at: Sequence[int], view: str = "sky") -> Columns:
    return store.read({view: keys}, at)[view]


def test_a_read_sees_the_newest_row_up_to_its_moment(store: OnlineStore) -> None:
    put(store, ("JFK", 10, 1.5, "clear"), ("JFK", 20, None, None), ("LGA", 10, 3.0, "rain"))
    found = read(store, ["JFK", "JFK", "JFK", "LGA", "EWR", None], [9, 19, 20, 99, 99, 99])
    assert found["event_time"].tolist() == [NEVER, 9, 19, 9, NEVER, NEVER]
    np.testing.assert_array_equal(found["wind"], [np.nan, 1.5, np.nan, 3.0, np.nan, np.nan])
    assert found["sky"].tolist() == [None, "clear", None, "rain", None, None]
    assert np.isnat(found["seen"]).tolist() == [True, False, False, False, True, True]
    assert found["seen"][1] == np.datetime64(10, "us")


def test_values_come_back_bit_for_bit(store: OnlineStore) -> None:
    odd = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), -float("inf"), 2.0**53 - 1, None]
    texts = ["", " ", "é\x00ü", "日本", "a\x1fb", "null", "💡" * 300, None]
    put(store, *((f"k{place}", place, odd[place], texts[place]) for place in range(8)))
    found = read(store, [f"k{place}" for place in range(8)], [99] * 8)
    wanted = np.array([np.nan if value is None else value for value in odd])
    assert found["wind"].tobytes() == wanted.tobytes()
    assert found["sky"].tolist() == texts
    assert found["seen"].astype(np.int64).tolist() == list(range(8))
    assert {name: values.dtype.kind for name, values in found.items()} == {
        "event_time": "i", "wind": "f", "sky": "O", "seen": "M",
    }  # fmt: skip


def test_writing_again_replaces_and_adds(store: OnlineStore) -> None:
    put(store, ("JFK", 10, 1.0, "clear"))
    put(store, ("JFK", 10, 2.0, "rain"), ("JFK", 11, 3.0, "fog"))
    assert read(store, ["JFK", "JFK"], [10, 11])["wind"].tolist() == [2.0, 3.0]


def test_nothing_is_seen_before_it_is_published_and_then_all_of_it(store: OnlineStore) -> None:
    for view in ("sky", "sea"):
        store.write(view, rows(("JFK", 10, 1.0, "old")))
    store.publish({"sky": 10, "sea": 10})
    for view in ("sky", "sea"):
        store.write(view, rows(("JFK", 20, 2.0, "new"), ("LGA", 20, 2.0, "new")))
        shown = store.read({"sky": ["JFK", "LGA"], "sea": ["JFK", "LGA"]}, [99, 99])
        assert [shown[name]["sky"].tolist() for name in ("sky", "sea")] == [["old", None]] * 2
    store.publish({"sky": 20, "sea": 20})
    shown = store.read({"sky": ["JFK", "LGA"], "sea": ["JFK", "LGA"]}, [99, 99])
    assert [shown[name]["sky"].tolist() for name in ("sky", "sea")] == [["new", "new"]] * 2
    store.publish({"sky": 5})
    assert store.watermark("sky") == 20


def test_a_whole_view_takes_the_place_of_what_was_there(store: OnlineStore) -> None:
    for names in (("JFK", "LGA"), ("JFK", "EWR"), ()):
        store.write("sky", rows(*((name, ALWAYS, 1.0, str(names)) for name in names)), whole=True)
        store.publish({"sky": 10})
        shown = read(store, ["JFK", "LGA", "EWR"], [5, 5, 5])["sky"].tolist()
        assert shown == [str(names) if name in names else None for name in ("JFK", "LGA", "EWR")]


def test_a_view_is_known_from_its_first_write_even_of_nothing(store: OnlineStore) -> None:
    with pytest.raises(NotFound):
        read(store, ["JFK"], [1])
    with pytest.raises(NotFound):
        store.publish({"sky": 1})
    store.write("sky", rows())
    assert read(store, ["JFK"], [1])["event_time"].tolist() == [NEVER]
    assert store.read({"sky": []}, [])["sky"]["sky"].tolist() == []


def test_a_watermark_is_kept_a_view(store: OnlineStore) -> None:
    store.write("sky", rows())
    assert store.watermark("sky") == store.watermark("other") == NEVER
    store.publish({"sky": 7})
    assert (store.watermark("sky"), store.watermark("other")) == (7, NEVER)


def test_pruning_keeps_what_later_reads_see(store: OnlineStore) -> None:
    put(store, *((key, at, float(at), "x") for key in ("A", "B") for at in (10, 20, 30)))
    store.prune("sky", 25)
    assert read(store, ["A", "A", "B", "B"], [25, 30, 29, 31])["wind"].tolist() == [20.0, 30.0, 20.0, 30.0]
    assert read(store, ["A"], [15])["event_time"].tolist() == [NEVER]


def test_other_columns_under_a_known_name_are_refused(make: Make) -> None:
    store = make()
    store.write("sky", rows())
    with pytest.raises(Damaged):
        store.write("sky", {name: values for name, values in rows().items() if name != "wind"})


def test_very_many_keys_are_read_as_few_are(store: OnlineStore) -> None:
    put(store, *((str(key), 10, float(key), str(key)) for key in range(2_500)))
    keys = [None if key % 7 == 0 else str(key) for key in range(5_000)]
    found = read(store, keys, [10] * 5_000)
    wanted = [None if key % 7 == 0 or key >= 2_500 else str(key) for key in range(5_000)]
    assert found["sky"].tolist() == wanted
    np.testing.assert_array_equal(found["wind"], [np.nan if key is None else float(key) for key in wanted])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.lists(st.tuples(st.sampled_from("ABé"), st.integers(-50, 50), st.floats(allow_nan=False)), max_size=12),
    asked=st.lists(st.tuples(st.sampled_from("ABéX"), st.integers(-60, 60)), min_size=1, max_size=8),
    until=st.integers(-60, 60),
)
def test_every_store_answers_as_memory_does(
    make: Make, written: list[tuple[str, int, float]], asked: list[tuple[str, int]], until: int
) -> None:
    memory, other = MemoryStore(), make()
    for store in (memory, other):
        store.write("v", rows(*((key, at, number, key) for key, at, number in written)))
        store.publish({"v": until})
    keys, moments = zip(*asked, strict=True)
    left, right = memory.read({"v": keys}, moments)["v"], other.read({"v": keys}, moments)["v"]
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name])


def test_another_process_sees_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    writer, reader = SqliteStore(path), SqliteStore(path)
    put(writer, ("JFK", 10, 1.0, "clear"))
    assert read(reader, ["JFK"], [10])["sky"].tolist() == ["clear"]
    assert path.stat().st_mode & 0o077 == 0
    writer.close()
    reader.close()


def test_a_file_that_is_no_database_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(Damaged):
        SqliteStore(path)
