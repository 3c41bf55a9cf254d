"""Every file that any commit of a repository ever held, read without a diff: no filter or text converter can run."""

from collections.abc import Iterator
from pathlib import Path

from mainspring.adapters.git.commands import GitFailed, run_git
from mainspring.adapters.git.history import find_commit
from mainspring.adapters.git.repository import find_repository

MAX_BYTES = 1 << 20
_BATCH_BYTES = 16 << 20


def every_content(root: Path, since: str = "") -> Iterator[tuple[str, str, bytes | None]]:
    """Yield (object id, path, bytes) of each content once, oldest commits first; None: above `MAX_BYTES`, not read.

    since: a revision; what it and its ancestors hold is left out. A history that was cut off is refused.
    """
    if (find_repository(root).common_dir / "shallow").exists():
        raise GitFailed("the clone is shallow: its history is cut off", fix="git fetch --unshallow")
    known = ("--not", find_commit(root, since)) if since else ()
    asked = ("rev-list", "--objects", "--all", "--reverse", *known)
    listed = run_git(root, *asked).decode("utf-8", "replace").split("\n")
    paths = {oid: path for oid, _, path in (line.partition(" ") for line in listed) if path}
    heads = run_git(root, "cat-file", "--batch-check", stdin="".join(f"{oid}\n" for oid in paths).encode())
    batch: list[tuple[str, int]] = []
    for oid, kind, size in (line.split() for line in heads.decode("ascii").splitlines()):
        if kind == "blob" and int(size) > MAX_BYTES:
            yield oid, paths[oid], None
        elif kind == "blob":
            batch.append((oid, int(size)))
        if sum(size for _, size in batch) > _BATCH_BYTES:
            yield from _read(root, batch, paths)
            batch = []
    yield from _read(root, batch, paths)


def first_commit_with(root: Path, oid: str) -> str:
    """Return the oldest commit that a branch or tag reaches and that brought a content in."""
    asked = ("log", "--all", "--reverse", "--format=%H", "--no-ext-diff", "--no-textconv", f"--find-object={oid}", "--")
    return run_git(root, *asked).decode("ascii").partition("\n")[0]


def _read(root: Path, batch: list[tuple[str, int]], paths: dict[str, str]) -> Iterator[tuple[str, str, bytes | None]]:
    answer = run_git(root, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid, _ in batch).encode())
    at = 0
    for oid, size in batch:
        at = answer.index(b"\n", at) + 1
        yield oid, paths[oid], answer[at : at + size]
        at += size + 1
