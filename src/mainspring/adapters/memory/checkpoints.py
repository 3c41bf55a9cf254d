"""Signed checkpoints in a dict."""


class Checkpoints:
    """Keeps the last checkpoint of each environment."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def read(self, environment: str) -> bytes | None:
        """Return the last checkpoint, or None."""
        return self._kept.get(environment)

    def write(self, environment: str, data: bytes) -> None:
        """Replace the last checkpoint."""
        self._kept[environment] = data
