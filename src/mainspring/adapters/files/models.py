"""Model folders on disk: `sha256/ab/<64 hex>/{files/..., model.sig, attest/...}`.

`files/` is exactly what was signed; the signature and the evidence lie beside it, so the `model_signing` tool can
verify the same folder: `model_signing verify key files --signature model.sig --public_key key.pem`.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from mainspring.deliver.ports import SIGNATURE
from mainspring.kernel.digests import hex_of
from mainspring.kernel.errors import NotFound
from mainspring.kernel.failpoints import hit
from mainspring.kernel.files import make_private, write_atomic
from mainspring.security.artifacts import MAX_ONNX, ArtifactRefused, audit
from mainspring.security.manifests import InvalidManifest, check_name, manifest_of
from mainspring.security.signing import SignatureRefused, verify

_MAX_MODEL = MAX_ONNX + (64 << 20)
_FIX = "register the model again; if you did not change it, find out who did"


class ModelStore:
    """Keeps signed models under `root`; nothing is parsed before it is verified."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._audited: set[tuple[str, str]] = set()

    def add(self, files: Mapping[str, bytes]) -> str:
        """Store a model's files in one step and return the digest of their manifest."""
        digest = manifest_of(files).digest
        for name, data in files.items():
            audit(name, data)
        place = self._place(digest)
        if self._is_whole(place, files):
            return digest
        make_private(place.parent)
        beside = place.parent / f".{place.name}.{uuid4().hex[:8]}.tmp"
        try:
            for name in sorted(files):
                write_atomic(beside / "files" / name, files[name])
            hit("model.store")
            if not _named(beside, place) and not self._is_whole(place, files):
                _repair(beside, place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return digest

    def open(self, digest: str, trusted: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the files, verified on the very bytes returned: signature, digest, format."""
        place = self._known(digest)
        bundle = self.evidence(digest, SIGNATURE)
        if bundle is None:
            raise SignatureRefused(f"model {digest} is not signed", fix="register it again")
        files = dict(_read_folder(place / "files"))
        manifest = manifest_of(files)
        verify(bundle, manifest, trusted)
        if manifest.digest != digest:
            raise SignatureRefused(f"model {digest} holds the files of {manifest.digest}", fix=_FIX)
        for entry in manifest.entries:
            self._audit(entry.path, entry.digest, files[entry.path])
        return files

    def attest(self, digest: str, name: str, data: bytes) -> None:
        """Keep `data` beside the model, replacing what had that name."""
        write_atomic(self._evidence_path(self._known(digest), name), data)

    def evidence(self, digest: str, name: str) -> bytes | None:
        """Return what was attested under `name`, or None."""
        try:
            return self._evidence_path(self._place(digest), name).read_bytes()
        except FileNotFoundError:
            return None

    def has(self, digest: str) -> bool:
        """Tell whether the model is here."""
        return (self._place(digest) / "files").is_dir()

    def folder(self, digest: str) -> Path:
        """Return the model's folder, for the eyes of other tools; what is read there is not verified."""
        return self._known(digest)

    def _audit(self, name: str, digest: str, data: bytes) -> None:
        """Audit bytes once a process: the digest was just computed from them, so a second look sees the same."""
        if (name, digest) not in self._audited:
            audit(name, data)
            self._audited.add((name, digest))

    def _place(self, digest: str) -> Path:
        name = hex_of(digest)
        return self._root / "sha256" / name[:2] / name

    def _known(self, digest: str) -> Path:
        if not self.has(digest):
            raise NotFound(f"no model {digest} is here", fix="register it, or restore the model store")
        return self._place(digest)

    def _evidence_path(self, place: Path, name: str) -> Path:
        if "/" in check_name(name):
            raise InvalidManifest(f"evidence {name[:80]!r} has a folder", fix="use a plain name")
        return place / name if name == SIGNATURE else place / "attest" / name

    def _is_whole(self, place: Path, files: Mapping[str, bytes]) -> bool:
        try:
            return dict(_read_folder(place / "files")) == dict(files)
        except (FileNotFoundError, InvalidManifest, ArtifactRefused):
            return False


def _named(beside: Path, place: Path) -> bool:
    """Give the finished folder its name; False if there is a folder of that name already."""
    try:
        beside.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        return False
    return True


def _repair(beside: Path, place: Path) -> None:
    """Put whole files in place of damaged ones, and keep the evidence beside them. Another writer may do the same."""
    old = place.parent / f".{place.name}.{uuid4().hex[:8]}.old"
    with suppress(FileNotFoundError):
        (place / "files").rename(old)
    try:
        (beside / "files").rename(place / "files")
    except OSError:
        if not (place / "files").is_dir():
            raise
    shutil.rmtree(old, ignore_errors=True)


def _read_folder(folder: Path, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (relative name, bytes) of plain files; refuse links, devices, deep folders and unsafe names."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = check_name(prefix + entry.name)
            if entry.is_symlink():
                raise InvalidManifest(f"{name!r} is a link", fix=_FIX)
            if entry.is_dir(follow_symlinks=False) and depth < 8:
                yield from _read_folder(Path(entry.path), f"{name}/", depth + 1)
            elif entry.is_file(follow_symlinks=False):
                yield name, _read_file(entry.path, name)
            else:
                raise InvalidManifest(f"{name!r} is not a plain file", fix=_FIX)


def _read_file(path: str, name: str) -> bytes:
    """Read a file once, through one descriptor, so that what was checked is what is used."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise InvalidManifest(f"{name!r} is not a plain file", fix=_FIX)
        if found.st_size > _MAX_MODEL:
            raise ArtifactRefused(f"{name!r} has {found.st_size} bytes; at most {_MAX_MODEL} are read", fix=_FIX)
        return stream.read(_MAX_MODEL + 1)
