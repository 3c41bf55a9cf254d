"""Run records and the step cache below a folder: `<state>/runs/` and `<shared>/cache/`."""

from pathlib import Path

from mainspring.adapters.runs.records import Runs, StepCache
from mainspring.kernel.files import make_private, write_atomic


class Folder:
    """Keeps documents as files, private to their owner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, _limit: int, /) -> bytes | None:
        """Return a file's bytes, or None."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes, /) -> None:
        """Write a file in one step."""
        make_private((self._folder / name).parent)
        write_atomic(self._folder / name, data)


def file_runs(folder: Path) -> Runs:
    """Return the run records of one folder."""
    return Runs(Folder(folder))


def file_step_cache(folder: Path) -> StepCache:
    """Return the step cache of one folder."""
    return StepCache(Folder(folder))
