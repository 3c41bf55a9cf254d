"""A lock's pins are read as an installer reads them, and a step keeps to them."""

import json

import pytest

from mainspring.develop.errors import LockMismatch, told
from mainspring.develop.locks import check_installed, lock_document, pins, read_lock
from mainspring.kernel.errors import Damaged, InvalidValue

LOCK = """\
# by hand
numpy==2.1.0 \\
    --hash=sha256:00
Scikit_Learn[extra]==1.9.0
pywin32==308 ; sys_platform == "win32"
"""


def test_pins_are_names_and_versions_without_hashes_markers_or_spelling() -> None:
    assert pins(LOCK) == {"numpy": "2.1.0", "scikit-learn": "1.9.0"}
    assert read_lock(lock_document(pins(LOCK))) == pins(LOCK)
    assert lock_document(pins(LOCK)) == lock_document(pins("scikit-learn==1.9.0\nnumpy==2.1.0"))


@pytest.mark.parametrize("text", ["", "numpy>=2", "# numpy==2.1.0"])
def test_a_lock_that_pins_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        pins(text)


def test_a_step_among_its_packages_may_run() -> None:
    check_installed("train-model", pins(LOCK), pins(LOCK).__getitem__)


def test_a_step_among_others_is_refused_by_name_and_version() -> None:
    with pytest.raises(LockMismatch, match=r"numpy 2\.2\.0, not 2\.1\.0, scikit-learn missing, not 1\.9\.0"):
        check_installed("train-model", pins(LOCK), {"numpy": "2.2.0", "scikit-learn": ""}.__getitem__)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"pins": 3}'])
def test_a_damaged_lock_is_told(data: bytes) -> None:
    with pytest.raises(Damaged):
        read_lock(data)


def test_the_refusal_keeps_its_class_between_processes() -> None:
    error = told(json.loads('{"code": "step.lock", "what": "w", "fix": "f"}'))
    assert (type(error), error.exit_code) == (LockMismatch, 2)
