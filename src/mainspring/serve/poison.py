"""Remember calls that ended the process of a model, so that the same call does not end it again."""

from collections import OrderedDict

from mainspring.kernel.digests import digest_bytes

KEPT = 1_024


class PoisonList:
    """Digests of calls, the newest 1,024. Calls are compared by their bytes."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._found: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def add(self, call: bytes) -> None:
        """Remember a call."""
        self._found[digest_bytes(call)] = None
        while len(self._found) > self._kept:
            self._found.popitem(last=False)

    def __contains__(self, call: bytes) -> bool:
        return bool(self._found) and digest_bytes(call) in self._found
