"""Release files as committed: `refs/heads/<branch>:environments/<env>/release.yaml`, never HEAD or the work tree.

Writing makes blobs, tree and commit with a private index, then moves the branch (`lines`): the compare-and-set.
Afterwards the checked-out files follow if nobody had touched them.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from mainspring.adapters.git.commands import GitFailed, checked_branch, run_git
from mainspring.adapters.git.lines import Line, LocalBranch
from mainspring.adapters.git.refresh import catch_up, refresh
from mainspring.adapters.git.repository import AUTHOR, Repository, commit_environment
from mainspring.adapters.git.texts import parse, render
from mainspring.deliver.documents import InvalidRelease, from_document, to_document
from mainspring.deliver.release import Logged, Release
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.kernel.failpoints import hit
from mainspring.kernel.ids import checked_name
from mainspring.kernel.times import Clock

_RELEASE = "release.yaml"
_TRAILER = re.compile(r"([A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*)+): (.*)")


class ReleaseFiles:
    """Reads and commits `environments/<env>/release.yaml` on one branch of the repository that `root` lies in.

    clock: whose time commits carry (git keeps seconds); None: git's own. author: (name, e-mail) of commits.
    line: where commits go: the repository's own branch, a remote's (`remotes`) or a branch to be proposed.
    """

    def __init__(
        self, root: Path, branch: str = "main", *, clock: Clock | None = None, author: tuple[str, str] = AUTHOR,
        line: Callable[[Path, str], Line] = LocalBranch,
    ) -> None:  # fmt: skip
        self._root = root
        self._line = line(root, checked_branch(branch))
        self._clock = clock
        self._author = author
        self._parsed: dict[bytes, Release] = {}
        self._last: tuple[str, str, Release | None] = ("", "", None)

    def head(self, environment: str) -> str:
        """Return the branch's commit, or "": one small file is read."""
        checked_name(environment, "environment")
        return self._line.head()

    def read(self, environment: str) -> tuple[Release | None, str]:
        """Return the release as committed, and the branch's commit it was read at."""
        checked_name(environment, "environment")
        commit = self._line.look()
        if not commit:
            return None, ""
        if self._last[:2] != (environment, commit):
            _, text = next(self._contents([f"{commit}:{self._path(environment)}"]))
            self._last = (environment, commit, None if text is None else self._release(text))
        return self._last[2], commit

    def beside(self, environment: str, name: str) -> bytes | None:
        """Return the committed content of another file beside the release file; None where there is none."""
        commit = self.head(environment)
        if not commit:
            return None
        path = self._path(environment).removesuffix(_RELEASE) + name
        return next(self._contents([f"{commit}:{path}"]))[1]

    def write(
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str],
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> str:  # fmt: skip
        """Commit `release` if the branch still stands at `expected`, else raise `Conflict`. Return the commit.

        beside: other files of the environment's folder that the same commit writes, by path below it.
        """
        path = self._path(environment)
        old = next(self._contents([f"{expected}:{path}"]))[1] if expected else None
        files = {_RELEASE: render(to_document(release), environment, old), **beside}
        return self.keep(environment, files, expected=expected, message=message, trailers=trailers)

    def keep(
        self, environment: str, files: Mapping[str, bytes], *, expected: str, message: str, trailers: Mapping[str, str]
    ) -> str:
        """Commit files of the environment's folder, by path below it, as `write` commits the release."""
        folder = self._path(environment).removesuffix(_RELEASE)
        made = {f"{folder}{name}": data for name, data in files.items()}
        self._line.check(expected)
        self.catch_up(environment)
        olds = dict(zip(made, self._contents([f"{expected}:{path}" for path in made]), strict=True)) if expected else {}
        blobs = {
            path: self._git("hash-object", "-w", "--no-filters", "--stdin", stdin=new) for path, new in made.items()
        }
        commit = self._commit(self._tree(expected, blobs), expected, _message(message, trailers))
        hit("release.commit")
        self._line.move(commit, expected, commit_environment(self._author, self._now()))
        if self._line.is_checked_out():
            for path, new in reversed(made.items()):  # the release file last: `catch_up` goes by it
                refresh(self._repository, path, old=olds.get(path, ("", None))[1], new=new, blob=blobs[path])
        return commit

    def catch_up(self, environment: str) -> None:
        """Let the checked-out files follow the newest release, if a move was interrupted after its commit."""
        if self._line.is_checked_out() and (head := self._line.head()):
            catch_up(self._repository, self._path(environment), head)

    def folder(self, environment: str, name: str) -> dict[str, bytes]:
        """Return the committed files of a folder beside the release file: name -> content; links are left out."""
        commit = self.head(environment)
        if not commit:
            return {}
        place = f"{self._path(environment).removesuffix(_RELEASE)}{checked_name(name, 'folder')}/"
        listed = self._git("ls-tree", "-z", "--full-tree", commit, "--", place).split("\0")
        entries = [entry.partition("\t") for entry in listed if entry.startswith(("100644 blob", "100755 blob"))]
        contents = self._contents([head.split(" ")[2] for head, _, _ in entries])
        return {
            path.removeprefix(place): data or b"" for (_, _, path), (_, data) in zip(entries, contents, strict=True)
        }

    def log(self, environment: str) -> list[Logged]:
        """Return the commits that changed the release file, newest first; contents that never could serve left out.

        A clone whose history was cut off is refused: who was champion before would be a guess.
        """
        head, path = self.head(environment), self._path(environment)
        if not head:
            return []
        if (self._repository.common_dir / "shallow").exists():
            raise GitFailed("the clone is shallow: the history of releases is cut off", fix="git fetch --unshallow")
        listed = self._git("rev-list", "--topo-order", head, "--", path).split()
        wanted = [name for commit in listed for name in (commit, f"{commit}:{path}")]
        found = [content for _, content in self._contents(wanted)]
        return list(self._logged(listed, found[::2], found[1::2]))

    @property
    def _repository(self) -> Repository:
        return self._line.repository

    def _path(self, environment: str) -> str:
        return f"{self._repository.prefix}environments/{checked_name(environment, 'environment')}/{_RELEASE}"

    def _git(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        return run_git(self._root, *args, stdin=stdin, env=env).decode("utf-8").strip()

    def _contents(self, names: list[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield (object id, bytes) of each named object, (``""``, None) for one that does not exist.

        `Damaged` where a tree names one that cannot be read: git calls that missing too, and nothing is as if it
        had never been.
        """
        asked = "".join(f"{name}\n" for name in names).encode("utf-8")
        answer = run_git(self._root, "cat-file", "--batch", stdin=asked)
        at = 0
        for name in names:
            end = answer.index(b"\n", at)
            head = answer[at:end].decode("utf-8", "replace").rsplit(" ", 2)
            at = end + 1
            if head[-1] == "missing":
                self._check_absent(name)
                yield "", None
                continue
            size = int(head[2])
            yield head[0], answer[at : at + size]
            at += size + 1

    def _check_absent(self, name: str) -> None:
        commit, named, path = name.partition(":")
        if not named or self._git("ls-tree", "-z", "--full-tree", commit, "--", path):
            raise Damaged(f"git cannot read {path or 'object'} of commit {commit[:12]}", fix="see `git fsck`")

    def _release(self, text: bytes) -> Release:
        if text not in self._parsed:
            self._parsed[text] = from_document(parse(text))
        return self._parsed[text]

    def _logged(self, commits: list[str], messages: list[bytes | None], texts: list[bytes | None]) -> Iterator[Logged]:
        for commit, message, text in zip(commits, messages, texts, strict=True):
            if message is None:
                raise Damaged(f"commit {commit} cannot be read", fix="see `git fsck`")
            if text is None:
                continue
            try:
                release = self._release(text)
            except (InvalidRelease, InvalidValue):
                continue
            yield Logged(commit, release, _trailers(message))

    def _tree(self, parent: str, blobs: Mapping[str, str]) -> str:
        with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
            private = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", parent or "--empty", env=private)
            for path, blob in blobs.items():
                try:
                    self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=private)
                except GitFailed as error:
                    what = f"{path} cannot be committed: something above it is a submodule, a link or a file"
                    raise GitFailed(what, fix="let it be a plain folder of this repository") from error
            return self._git("write-tree", env=private)

    def _commit(self, tree: str, parent: str, message: bytes) -> str:
        identity = commit_environment(self._author, self._now())
        parents = ("-p", parent) if parent else ()
        return self._git("commit-tree", tree, *parents, "-F", "-", stdin=message, env=identity)

    def _now(self) -> int | None:
        return self._clock.now() if self._clock else None


def _message(message: str, trailers: Mapping[str, str]) -> bytes:
    """Return a commit message. Texts are put on one line each, so none of them can pose as a trailer."""
    lines = [" ".join(message.split()) or "Change the release", ""]
    lines += [f"{name}: {' '.join(value.split())}" for name, value in trailers.items()]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8")


def _trailers(commit: bytes) -> dict[str, str]:
    """Return the trailers in the last paragraph of a raw commit's message, if it has a subject besides."""
    message = commit.decode("utf-8", "replace").partition("\n\n")[2].strip()
    subject, gap, _ = message.rpartition("\n\n")
    if not gap or not subject:
        return {}
    found = (_TRAILER.fullmatch(line) for line in message.rpartition("\n\n")[2].splitlines())
    return {match[1]: match[2] for match in found if match}
