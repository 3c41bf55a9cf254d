"""Expectations: what a source promises, and what a broken promise says."""

from pathlib import Path

import pytest

from mainspring.adapters.duckdb.reader import SourceReader
from mainspring.adapters.memory.store import Store
from mainspring.data.expectations import (
    ColumnRule,
    DataRefused,
    Expectations,
    Finding,
    Violation,
    judge,
    refuse,
    warnings,
)
from mainspring.data.snapshots import ColumnInfo, Partition, SourceTable
from mainspring.data.views import Source
from mainspring.kernel.errors import InvalidValue

ROWS = "id,at,n,x,word\na,2013-01-01T00:00:00Z,1,0.5,AA\nb,2013-01-02T00:00:00Z,2,1.5,B\nc,2013-01-03T00:00:00Z,9,,AA\n"
SOURCE = Source(name="t", uri="t.csv", key="id", event_time="at")


def findings(folder: Path, *rules: ColumnRule, min_rows: int = 1) -> list[str]:
    (folder / "t.csv").write_text(ROWS)
    store = Store()
    try:
        SourceReader(folder).ingest(SOURCE, Expectations(source="t", columns=rules, min_rows=min_rows), store)
    except DataRefused as error:
        return [str(finding) for finding in error.findings]
    return []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (ColumnRule(column="n", between=(1, 5)), "t.n: 1 value outside [1, 5]; first at row 3 (key c): '9'"),
        (
            ColumnRule(column="word", pattern="[A-Z]{2}"),
            "t.word: 1 value not of the form [A-Z]{2}; first at row 2 (key b): 'B'",
        ),
        (ColumnRule(column="word", allowed=("AA",)), "t.word: 1 value not among AA; first at row 2 (key b): 'B'"),
        (ColumnRule(column="n", allowed=(1, 2)), "t.n: 1 value not among 1, 2; first at row 3 (key c): '9'"),
        (ColumnRule(column="x", nulls=0.3), "t.x: 1 of 3 values are missing, more than 30.00%; first at row 3 (key c)"),
        (
            ColumnRule(column="word", unique=True),
            "t.word: 1 value that another row has too; first at row 3 (key c): 'AA'",
        ),
        (ColumnRule(column="x", type="int64"), "t.x: 2 values not of type int64; first at row 1 (key a): '0.5'"),
        (ColumnRule(column="word", type="number"), "t.word: 3 values are not numbers; first at row 1 (key a): 'AA'"),
    ],
)
def test_a_broken_promise_names_column_count_row_key_and_value(tmp_path: Path, rule: ColumnRule, message: str) -> None:
    assert findings(tmp_path, rule) == [message]


@pytest.mark.parametrize(
    "rule",
    [
        ColumnRule(column="n", between=(1, 9), type="int64", nulls=0, unique=True),
        ColumnRule(column="word", pattern="A?[AB]", allowed=("AA", "B")),
        ColumnRule(column="x", nulls=0.34, type="double", between=(0.5, 1.5)),
        ColumnRule(column="at", type="time"),
    ],
)
def test_a_kept_promise_is_silent(tmp_path: Path, rule: ColumnRule) -> None:
    assert findings(tmp_path, rule) == []


def test_every_broken_promise_is_told_at_once(tmp_path: Path) -> None:
    rules = (ColumnRule(column="n", between=(5, 6)), ColumnRule(column="word", allowed=("Z",)))
    assert len(findings(tmp_path, *rules)) == 2


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    assert findings(tmp_path, min_rows=4) == ["t: 3 rows, expected at least 4"]


def test_a_missing_column_that_a_rule_names_is_refused(tmp_path: Path) -> None:
    assert findings(tmp_path, ColumnRule(column="words")) == ["t.words: t.csv has no such column"]


def test_a_key_that_is_asked_about_has_one_event_time(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,at\na,2013-01-01T00:00:00Z\na,2013-01-02T00:00:00Z\n")
    reader, rules = SourceReader(tmp_path), Expectations(source="t")
    assert reader.ingest(SOURCE, rules, Store()).rows == 2
    with pytest.raises(DataRefused, match="1 key has more than one at"):
        reader.ingest(SOURCE, rules, Store(), one_time_a_key=True)


@pytest.mark.parametrize(
    "rule",
    [{"type": "int"}, {"between": (2, 1)}, {"nulls": 1.5}, {"nulls": -0.1}, {"pattern": "a" * 501}],
)
def test_an_impossible_rule_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        ColumnRule(column="n", **rule)  # type: ignore[arg-type]


def test_nulls_are_judged_by_share() -> None:
    rule = ColumnRule(column="x", nulls=0.5)
    assert judge("t", [Violation(rule=rule, check="nulls", count=5, rows=10)]) == []
    assert len(judge("t", [Violation(rule=rule, check="nulls", count=6, rows=10)])) == 1


def test_a_long_list_of_findings_is_cut_and_counted() -> None:
    many = [Finding(source="t", column=f"c{i}", what="is odd", fix="mend it") for i in range(50)]
    with pytest.raises(DataRefused, match="and 30 more") as refused:
        refuse(many)
    assert len(refused.value.findings) == 50
    assert refused.value.fix == "mend it"


def column(
    name: str, low: float | str | None, high: float | str | None, nulls: int = 0, kind: str = "number"
) -> ColumnInfo:
    return ColumnInfo(name=name, type=kind, nulls=nulls, low=low, high=high, distinct=1)  # type: ignore[arg-type]


def test_empty_constant_and_future_columns_are_warned_about() -> None:
    found = warnings(
        SourceTable(
            name="t", fingerprint="", spec="", partitions=(Partition(digest="", rows=2, start=0, end=1),),
            columns=(
                column("a", None, None, 2), column("b", 1.0, 1.0),
                column("c", 1, 9, kind="time"), column("d", 1.0, 2.0),
            ),
        ),
        at=5,
    )  # fmt: skip
    assert [str(finding) for finding in found] == [
        "t.a: every value is missing",
        "t.b: every value is 1.0",
        "t.c: holds times in the future, up to 1970-01-01T00:00:00.000009Z",
    ]
