"""What a pod mounts, laid out as the kubelet does: links into a folder that is swapped as a whole."""

import os
from collections.abc import Mapping
from pathlib import Path

from mainspring.adapters.git.texts import render
from mainspring.deliver.documents import to_document
from mainspring.deliver.release import Release
from mainspring.security.token_files import to_bytes
from mainspring.security.tokens import RANDOM_BYTES, Wanted, issue

SCRAPE = "scrape-token-of-at-least-16"


class Volume:
    """A mounted ConfigMap or Secret."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder, self._turn = folder, 0
        folder.mkdir(parents=True)
        self.put(files)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace the content in one step."""
        self._turn += 1
        fresh = self._folder / f"..turn-{self._turn}"
        fresh.mkdir()
        for name, data in files.items():
            (fresh / name).write_bytes(data)
            if not (self._folder / name).is_symlink():
                (self._folder / name).symlink_to(Path("..data") / name)
        beside = self._folder / "..data_tmp"
        beside.symlink_to(fresh.name)
        beside.replace(self._folder / "..data")
        for link in self._folder.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink()


def release_text(release: Release) -> bytes:
    """Return a release file."""
    return render(to_document(release), "production", None)


def tokens_file() -> tuple[bytes, str]:
    """Return a file of API keys with one key, and that key."""
    secret, token = issue(Wanted(name="pod"), random=os.urandom(RANDOM_BYTES), now=0)
    return to_bytes([token]), secret
