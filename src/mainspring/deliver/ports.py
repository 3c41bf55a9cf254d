"""What deliver needs from outside: model folders, keys, version numbers and release files."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from mainspring.deliver.release import Logged, Release

SIGNATURE = "model.sig"
GATE = "gate"


class ModelStore(Protocol):
    """Keeps signed model folders by digest. Every adapter passes tests/conformance/test_model_store.py."""

    def add(self, files: Mapping[str, bytes]) -> str:
        """Store a model's files and return the digest of their manifest. All or nothing; again changes nothing.

        Files of a format that may not be parsed are refused (`security.artifacts`).
        """

    def open(self, digest: str, trusted: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the files, verified on the very bytes returned, every time: digest, signature, format.

        trusted: key id -> public PEM. `NotFound` for an unknown digest; `SignatureRefused` or `ArtifactRefused`
        for anything that is not exactly what a trusted key signed.
        """

    def attest(self, digest: str, name: str, data: bytes) -> None:
        """Keep `data` beside the model as evidence about it, replacing what had that name.

        The name `SIGNATURE` is the model's signature bundle; `GATE` the gate's verdict as JSON.
        """

    def evidence(self, digest: str, name: str) -> bytes | None:
        """Return what was attested under `name`, or None."""

    def has(self, digest: str) -> bool:
        """Tell whether the model is here (not whether it is signed)."""


class Keys(Protocol):
    """Knows the signing key of this machine and whom an environment trusts."""

    def signing_key(self) -> bytes:
        """Return the private key as PEM; it is made on first use."""

    def trusted(self, environment: str) -> Mapping[str, bytes]:
        """Return key id -> public PEM of every key that may vouch for a model in `environment`."""


class Versions(Protocol):
    """Gives a model's digests dense numbers. Every adapter passes tests/conformance/test_versions.py."""

    def assign(self, model: str, digest: str) -> int:
        """Return the version of `digest`: 1, 2, 3 ... in order of arrival; the same digest keeps its number."""

    def get(self, model: str, version: int) -> str:
        """Return the digest of a version; `NotFound` if there is none."""

    def list(self, model: str) -> Sequence[tuple[int, str]]:
        """Return every (version, digest) of a model, lowest first."""


class ReleaseFiles(Protocol):
    """Reads and commits release files. Every adapter passes tests/conformance/test_release_files.py."""

    def read(self, environment: str) -> tuple[Release | None, str]:
        """Return the release as committed (None before the first) and the commit it was read at ("" if none)."""

    def write(
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str],
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> str:  # fmt: skip
        """Commit `release` if the branch still stands at `expected`, else raise `Conflict`. Return the commit.

        beside: other files of the environment's folder that the same commit writes, by path below it.
        """

    def log(self, environment: str) -> Sequence[Logged]:
        """Return the commits that changed the release file, newest first."""

    def head(self, environment: str) -> str:
        """Return the commit that `read` would read at, in microseconds; "" if there is none."""


class Papers(Protocol):
    """The committed files beside a release file: who may approve, who did, and the evidence of each promotion.

    Every adapter passes tests/conformance/test_release_files.py.
    """

    def folder(self, environment: str, name: str) -> Mapping[str, bytes]:
        """Return the files of `environments/<environment>/<name>/` as committed: name -> content."""

    def keep(
        self, environment: str, files: Mapping[str, bytes], *, expected: str, message: str, trailers: Mapping[str, str]
    ) -> str:
        """Commit files, by path below the environment's folder, as `ReleaseFiles.write` commits a release."""


class Checkpoints(Protocol):
    """Keeps the last signed checkpoint of each environment. Adapters pass tests/conformance/test_checkpoints.py."""

    def read(self, environment: str) -> bytes | None:
        """Return the last checkpoint as it was written, or None. Its signature is the reader's business."""

    def write(self, environment: str, data: bytes) -> None:
        """Replace the last checkpoint in one step: a reader finds the old one or the new."""
