"""Release files as a list of commits."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from mainspring.deliver.release import Logged, Release
from mainspring.kernel.errors import Conflict


class ReleaseFiles:
    """Keeps one line of commits over all environments."""

    def __init__(self) -> None:
        self._commits: list[tuple[str, Logged]] = []
        self._files: dict[tuple[str, str], bytes] = {}
        self._head = ""

    def read(self, environment: str) -> tuple[Release | None, str]:
        """Return the last release of an environment and the newest commit."""
        found = self.log(environment)
        return (found[0].release if found else None), self.head(environment)

    def write(
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str],
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> str:  # fmt: skip
        """Commit `release` if the newest commit is `expected`."""
        commit = self._add(expected, f"{environment}\n{release}\n{message}")
        self._files |= {(environment, name): data for name, data in beside.items()}
        self._commits.append((environment, Logged(commit, release, dict(trailers))))
        return commit

    def keep(
        self, environment: str, files: Mapping[str, bytes], *, expected: str, message: str, trailers: Mapping[str, str]
    ) -> str:
        """Commit files if the newest commit is `expected`."""
        commit = self._add(expected, f"{environment}\n{sorted(files.items())}\n{message}\n{sorted(trailers.items())}")
        self._files |= {(environment, name): data for name, data in files.items()}
        return commit

    def folder(self, environment: str, name: str) -> dict[str, bytes]:
        """Return the files whose path begins with the folder's name."""
        found = {path: data for (place, path), data in self._files.items() if place == environment}
        return {path.removeprefix(f"{name}/"): data for path, data in found.items() if path.startswith(f"{name}/")}

    def log(self, environment: str) -> list[Logged]:
        """Return an environment's commits, newest first."""
        return [logged for name, logged in reversed(self._commits) if name == environment]

    def head(self, environment: str) -> str:
        """Return the newest commit, or ""."""
        del environment
        return self._head

    def _add(self, expected: str, content: str) -> str:
        if self._head != expected:
            raise Conflict("another release commit was first", fix="read it again, then decide again")
        self._head = hashlib.sha256(f"{expected}\n{content}".encode()).hexdigest()[:40]
        return self._head
