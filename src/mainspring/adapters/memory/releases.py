"""Release files as a list of commits."""

import hashlib
from collections.abc import Mapping

from mainspring.deliver.release import Logged, Release
from mainspring.kernel.errors import Conflict


class ReleaseFiles:
    """Keeps one line of commits over all environments."""

    def __init__(self) -> None:
        self._commits: list[tuple[str, Logged]] = []

    def read(self, environment: str) -> tuple[Release | None, str]:
        """Return the last release of an environment and the newest commit."""
        found = self.log(environment)
        return (found[0].release if found else None), self.head(environment)

    def write(
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str]
    ) -> str:
        """Commit `release` if the newest commit is `expected`."""
        if self.head(environment) != expected:
            raise Conflict("another release commit was first", fix="read it again, then decide again")
        content = f"{expected}\n{environment}\n{release}\n{message}"
        commit = hashlib.sha256(content.encode()).hexdigest()[:40]
        self._commits.append((environment, Logged(commit, release, dict(trailers))))
        return commit

    def log(self, environment: str) -> list[Logged]:
        """Return an environment's commits, newest first."""
        return [logged for name, logged in reversed(self._commits) if name == environment]

    def head(self, environment: str) -> str:
        """Return the newest commit, or ""."""
        del environment
        return self._commits[-1][1].commit if self._commits else ""
