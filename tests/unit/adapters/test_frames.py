"""Tables between steps: what is written comes back, equal columns make equal bytes, and the one join is right."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.adapters.frames.parquet import ParquetFrames
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.stats.columns import Columns

TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.lists(st.tuples(TEXTS, NUMBERS, st.integers(-(2**63), 2**63 - 1)), max_size=20)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_what_is_written_comes_back(rows: list[tuple[str | None, float, int]]) -> None:
    given_columns: Columns = {
        'a "text"': np.array([row[0] for row in rows], dtype=object),
        "v.number": np.array([row[1] for row in rows], dtype=np.float64),
        "at": np.array([row[2] for row in rows], dtype=np.int64),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it's.parquet"
        ParquetFrames().write(path, given_columns)
        found = ParquetFrames().read(path)
        ParquetFrames().write(Path(folder) / "again", found)
        assert (Path(folder) / "again").read_bytes() == path.read_bytes()
    assert list(found) == list(given_columns)
    for name, values in given_columns.items():
        assert found[name].dtype == values.dtype
        assert [repr(value) for value in found[name].tolist()] == [repr(value) for value in values.tolist()]


def test_many_distinct_texts_come_back_too(tmp_path: Path) -> None:
    texts = np.array([*(f"k{i}" for i in range(6_000)), None], dtype=object)
    frames = ParquetFrames()
    frames.write(tmp_path / "t", {"key": texts})
    assert frames.read(tmp_path / "t")["key"].tolist() == texts.tolist()


def test_a_large_table_is_kept_and_cannot_be_changed(tmp_path: Path) -> None:
    frames = ParquetFrames()
    frames.write(tmp_path / "t", {"a": np.zeros(1_000_000), "b": np.ones(1_000_000)})
    first = frames.read(tmp_path / "t")
    assert frames.read(tmp_path / "t")["a"] is first["a"]
    with pytest.raises(ValueError, match="read-only"):
        first["a"][0] = 1.0


def test_examples_take_the_last_outcome_known_by_the_end(tmp_path: Path) -> None:
    frames = ParquetFrames()
    keys = np.array(["a", "b", "c", "d", "e"], dtype=object)
    frames.write(tmp_path / "f", {"key": keys, "asked_at": np.array([5, 10, 20, 30, 40])})
    targets = [("a", 5, 1, 6), ("b", 10, 1, 12), ("b", 10, 0, 15), ("b", 10, 1, 99), ("c", 20, 1, 60), ("d", 30, 0, 50)]
    key, asked_at, value, known_at = (list(column) for column in zip(*targets, strict=True))
    frames.write(
        tmp_path / "t",
        {
            "key": np.array(key, dtype=object),
            "asked_at": np.array(asked_at),
            "value": np.array(value, dtype=np.float64),
            "known_at": np.array(known_at),
        },
    )
    found = frames.examples(tmp_path / "f", tmp_path / "t", (10, 50))
    assert {name: values.tolist() for name, values in found.items()} == {
        "row": [1, 3], "asked_at": [10, 30], "value": [0.0, 0.0], "known_at": [15, 50],
    }  # fmt: skip


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"not parquet")
    with pytest.raises(Damaged, match="not a Parquet file"):
        ParquetFrames().read(tmp_path / "f")
    with pytest.raises(InvalidValue, match="'a' has type bool"):
        ParquetFrames().write(tmp_path / "g", {"a": np.array([True])})
