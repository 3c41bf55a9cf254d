"""What came true of two versions' answers: `<state>/rewards.json`, written by a watch and read by the server."""

import json
from collections.abc import Mapping
from pathlib import Path

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.files import write_atomic
from mainspring.serve.bandit import Outcomes, Rewards

_MAX_SIZE = 65_536


class RewardFile:
    """One file of outcomes a digest. A reader sees the old or the new; what is damaged counts as nothing known."""

    def __init__(self, state: Path) -> None:
        self._path = state / "rewards.json"
        self._mark: tuple[int, int] | None = None
        self._known: Mapping[str, Outcomes] = {}

    def write(self, outcomes: Mapping[str, Outcomes]) -> None:
        """Replace what is known."""
        content = {digest: [found.right, found.wrong] for digest, found in outcomes.items()}
        write_atomic(self._path, json.dumps(content, sort_keys=True).encode("ascii"), durable=False)

    def current(self, champion: str, challenger: str) -> Rewards | None:
        """Return the outcomes of both digests, or None; parsed again only when the file changed."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        if (found.st_mtime_ns, found.st_size) != self._mark:
            self._known = self._read()
            self._mark = (found.st_mtime_ns, found.st_size)
        if champion not in self._known or challenger not in self._known:
            return None
        return Rewards(champion=self._known[champion], challenger=self._known[challenger])

    def _read(self) -> Mapping[str, Outcomes]:
        try:
            with self._path.open("rb") as stream:
                data = stream.read(_MAX_SIZE + 1)
            if len(data) > _MAX_SIZE:
                return {}
            return {digest: Outcomes(right=int(right), wrong=int(wrong)) for digest, (right, wrong) in _items(data)}
        except (OSError, ValueError, TypeError, InvalidValue):
            return {}


def _items(data: bytes) -> list[tuple[str, tuple[int, int]]]:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise TypeError("not an object")
    return list(document.items())
