"""Every adapter that keeps signed checkpoints."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring.adapters.files.checkpoints import Checkpoints as FileCheckpoints
from mainspring.adapters.memory.checkpoints import Checkpoints as MemoryCheckpoints
from mainspring.deliver.ports import Checkpoints
from mainspring.kernel.errors import InvalidValue

MAKERS: dict[str, Callable[[Path], Checkpoints]] = {
    "files": lambda folder: FileCheckpoints(folder / "checkpoints"),
    "files of a replay": lambda folder: FileCheckpoints(folder / "checkpoints", durable=False),
    "memory": lambda _: MemoryCheckpoints(),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_the_last_one_of_each_environment_is_kept(make: Callable[[Path], Checkpoints], tmp_path: Path) -> None:
    kept = make(tmp_path)
    assert kept.read("local") is None
    kept.write("local", b"one")
    kept.write("staging", b"two")
    kept.write("local", b"three")
    assert (kept.read("local"), kept.read("staging")) == (b"three", b"two")


def test_files_are_private_and_no_environment_names_another_place(tmp_path: Path) -> None:
    kept = FileCheckpoints(tmp_path / "checkpoints")
    kept.write("local", b"one")
    assert (tmp_path / "checkpoints" / "local.json").stat().st_mode & 0o077 == 0
    with pytest.raises(InvalidValue, match="environment"):
        kept.write("../../escaped", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
