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


def catch_up(repository: Repository, path: str, head: str) -> None:
    """Let work tree and index follow the newest commit of `path`, where a move was interrupted after that commit.

    Every file that the commit changed beside `path` follows, `path` as the last: the others lag only if it does. What
    is not as it was before that commit is somebody's edit and stays. The commit stands either way.
    """
    top = _top(repository)
    folder = path.rpartition("/")[0]
    try:
        repository.check_quiet()
        if path not in _listed(top, "diff-index", "--name-only", head, "--", folder):
            return
        commit = run_git(top, "rev-list", "-1", head, "--", path).decode("ascii").strip()
        changed = _listed(top, "diff-tree", "-r", "--no-commit-id", "--no-renames", commit, "--", folder)
        blobs = {name: _ids(fields) for fields, name in zip(changed[::2], changed[1::2], strict=False)}
        if path in blobs and _lags(repository, path, *blobs[path]):
            for name in sorted(blobs, key=lambda name: name == path):
                _follow(repository, name, *blobs[name])
    except (OSError, MainspringError):
        return


def _listed(top: Path, *args: str) -> list[str]:
    command, *rest = args
    return run_git(top, command, "-z", *rest, settings=filterless(top)).decode("utf-8", "replace").split("\0")


def _ids(fields: str) -> tuple[str, str]:
    """Return the object ids before and after of a line of `diff-tree`; "" where there was no file."""
    old, new = fields.split(" ")[2:4]
    return old if old.strip("0") else "", new if new.strip("0") else ""


def _lags(repository: Repository, path: str, old: str, new: str) -> bool:
    top = _top(repository)
    place = top / path
    if not new or _is_linked(place, top) or _staged(top, path) != old:
        return False
    held = _blob(repository, place.read_bytes().replace(b"\r\n", b"\n")) if place.is_file() else ""
    return held in (old, new)


def _follow(repository: Repository, path: str, old: str, new: str) -> None:
    if not _lags(repository, path, old, new):
        return
    top = _top(repository)
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(top / path, run_git(top, "cat-file", "blob", new), private=False, durable=False)
    run_git(top, "update-index", "--add", "--cacheinfo", f"100644,{new},{path}", settings=filterless(top))


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
