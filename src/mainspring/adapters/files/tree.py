"""A project's folder as rendering sees it: plain files below it, and nothing that a link leads to."""

from pathlib import Path, PurePosixPath

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.files import write_atomic

_MAX_BYTES = 8 << 20


class Tree:
    """Reads and writes files below `root`; paths have forward slashes."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, path: str) -> bytes | None:
        """Return the file's bytes, or None where there is none."""
        place = self._place(path)
        if not place.exists():
            return None
        if not place.is_file() or place.stat().st_size > _MAX_BYTES:
            raise InvalidValue(f"{path} is not a file of this project", fix="move it away")
        return place.read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Write one file in one step; folders are made."""
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, data, private=False, durable=False)

    def remove(self, path: str) -> None:
        """Remove one file, and the folders that it leaves empty."""
        place = self._place(path)
        place.unlink(missing_ok=True)
        for folder in place.parents:
            if folder == self._root or any(folder.iterdir()):
                return
            folder.rmdir()

    def _place(self, path: str) -> Path:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise InvalidValue(f"{path!r} is not below the project's folder", fix="report it: a renderer is wrong")
        place = self._root.joinpath(*pure.parts)
        for part in (place, *place.parents):
            if part == self._root:
                return place
            if part.is_symlink():
                raise InvalidValue(f"{path} lies behind a symbolic link", fix="replace the link by a folder")
        return place
