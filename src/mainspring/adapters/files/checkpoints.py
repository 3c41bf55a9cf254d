"""Signed checkpoints as files: `<state>/checkpoints/<environment>.json`, the last one of each environment."""

from pathlib import Path

from mainspring.kernel.files import write_atomic
from mainspring.kernel.ids import checked_name


class Checkpoints:
    """Keeps the last checkpoint of each environment. durable: False in a replay, which can be run again."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder, self._durable = folder, durable

    def read(self, environment: str) -> bytes | None:
        """Return the last checkpoint, or None."""
        try:
            return self._place(environment).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, environment: str, data: bytes) -> None:
        """Replace the last checkpoint in one step."""
        write_atomic(self._place(environment), data, durable=self._durable)

    def _place(self, environment: str) -> Path:
        return self._folder / f"{checked_name(environment, 'environment')}.json"
