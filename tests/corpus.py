"""Tables of the bad-input corpus: ids begin with the number of the case, so that a missing one is seen."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def cases(table: Sequence[tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Run a test once a row, named by the row's first entry; the others go to the test's last arguments."""

    def marked(test: Any) -> Any:  # noqa: ANN401 - any test
        names = list(inspect.signature(test).parameters)[-(len(table[0]) - 1) :]
        rows = [pytest.param(*row[1:], id=row[0]) for row in table]
        return pytest.mark.parametrize(names, rows)(test)

    return marked


def numbers_of(table: Sequence[tuple[Any, ...]]) -> set[int]:
    """Return the case numbers that a table's ids begin with."""
    found = (re.match(r"\d+", row[0]) for row in table)
    return {int(match[0]) for match in found if match}


def proves(elsewhere: Mapping[int, Sequence[str]]) -> None:
    """Fail unless every test that is named for a case exists: `file`, `folder` or `file::function`."""
    for number, names in elsewhere.items():
        for name in names:
            file, _, function = name.partition("::")
            assert (ROOT / file).exists(), (number, name)
            assert not function or f"def {function}(" in (ROOT / file).read_text("utf-8"), (number, name)
