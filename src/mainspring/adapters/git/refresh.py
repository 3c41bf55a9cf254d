"""Let the checked-out release file follow its branch, if nobody had touched it."""

from pathlib import Path

from mainspring.adapters.git.commands import run_git
from mainspring.adapters.git.repository import Repository, filterless
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.files import write_atomic


def refresh(repository: Repository, path: str, *, old: bytes | None, new: bytes, blob: str) -> bool:
    """Write the file and its index entry; tell whether it was done. The commit stands either way.

    path: from the repository's top. Left alone: a file, or an index entry, that differs from `old`.
    """
    top = _top(repository)
    place = top / path
    try:
        if not _is_clean(repository, place, path, top, old):
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, new, private=False, durable=False)
        run_git(top, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", settings=filterless(top))
    except (OSError, MainspringError):
        return False
    return True


def catch_up(repository: Repository, path: str, *, old: bytes, new: bytes) -> None:
    """Bring the file and its index entry to `new`, each where it still holds `old`.

    A move that was interrupted after its commit leaves them so; what holds anything else is somebody's edit and stays.
    """
    top = _top(repository)
    place = top / path
    if _is_linked(place, top) or not place.is_file():
        return
    if place.read_bytes().replace(b"\r\n", b"\n") == old:
        write_atomic(place, new, private=False, durable=False)
    if _staged(top, path) == _blob(repository, old):
        blob = _blob(repository, new)
        run_git(top, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", settings=filterless(top))


def _top(repository: Repository) -> Path:
    top = repository.root
    for _ in Path(repository.prefix).parts:
        top = top.parent
    return top


def _is_linked(place: Path, top: Path) -> bool:
    return any(folder.is_symlink() for folder in (place, *place.parents) if folder != top and top in folder.parents)


def _staged(top: Path, path: str) -> str:
    """Return the object id of a path's index entry, or ""."""
    staged = run_git(top, "ls-files", "--stage", "-z", "--", path).decode("utf-8", "replace")
    return "".join(staged.split(" ")[1:2])


def _blob(repository: Repository, data: bytes) -> str:
    return run_git(repository.root, "hash-object", "--no-filters", "--stdin", stdin=data).decode("ascii").strip()


def _is_clean(repository: Repository, place: Path, path: str, top: Path, old: bytes | None) -> bool:
    if _is_linked(place, top):
        return False
    staged = _staged(top, path)
    if old is None:
        return not staged and not place.exists()
    if not place.is_file() or place.read_bytes().replace(b"\r\n", b"\n") != old:
        return False
    return staged == _blob(repository, old)
