"""Budgets of API keys outlive a server: what was kept is read with its age, and damage forgives nobody else."""

import json
import logging
from pathlib import Path

import pytest

from mainspring.adapters.files.budgets import BudgetFile
from mainspring.kernel.times import SECOND, FixedClock


def test_what_is_kept_comes_back_older(tmp_path: Path) -> None:
    clock = FixedClock(1_000 * SECOND)
    assert BudgetFile(tmp_path, clock).read() == {}
    BudgetFile(tmp_path, clock).write({"a": (3.5, 2.0), "": (-7.0, 0.0)})
    BudgetFile(tmp_path, clock, worker=1).write({"a": (9.0, 0.0)})
    clock.at += 60 * SECOND
    assert BudgetFile(tmp_path, clock).read() == {"a": (3.5, 62.0), "": (-7.0, 60.0)}
    assert BudgetFile(tmp_path, clock, worker=1).read() == {"a": (9.0, 60.0)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["budgets-1.json", "budgets.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": 1}', '{"a": ["x", 1]}', '{"a": [NaN, 1]}', '{"a": [1, null]}', "[" * 9_999]
)
def test_a_damaged_file_is_told_and_counts_as_nothing(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "budgets.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert BudgetFile(tmp_path, FixedClock(0)).read() == {}
    assert "budgets.json cannot be read" in caplog.text


def test_more_keys_than_there_can_be_are_damage(tmp_path: Path) -> None:
    (tmp_path / "budgets.json").write_text(json.dumps({str(number): [1, 1] for number in range(10_001)}))
    assert BudgetFile(tmp_path, FixedClock(0)).read() == {}
