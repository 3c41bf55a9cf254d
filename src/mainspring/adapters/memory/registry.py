"""Models, keys and version numbers in memory."""

from collections.abc import Mapping

from mainspring.deliver.ports import SIGNATURE
from mainspring.kernel.digests import checked_digest
from mainspring.kernel.errors import NotFound
from mainspring.security.artifacts import audit
from mainspring.security.manifests import check_name, manifest_of
from mainspring.security.signing import SignatureRefused, key_id, new_key, public_of, verify


class ModelStore:
    """Keeps models and evidence in dicts."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, bytes]] = {}
        self._evidence: dict[tuple[str, str], bytes] = {}

    def add(self, files: Mapping[str, bytes]) -> str:
        """Store a model's files and return the digest of their manifest."""
        digest = manifest_of(files).digest
        for name, data in files.items():
            audit(name, data)
        self._models[digest] = dict(files)
        return digest

    def open(self, digest: str, trusted: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the files, verified."""
        files = self._known(digest)
        bundle = self.evidence(digest, SIGNATURE)
        if bundle is None:
            raise SignatureRefused(f"model {digest} is not signed", fix="register it again")
        verify(bundle, manifest_of(files), trusted)
        return dict(files)

    def attest(self, digest: str, name: str, data: bytes) -> None:
        """Keep `data` beside the model."""
        self._known(digest)
        self._evidence[digest, check_name(name)] = data

    def evidence(self, digest: str, name: str) -> bytes | None:
        """Return what was attested under `name`, or None."""
        return self._evidence.get((checked_digest(digest), check_name(name)))

    def has(self, digest: str) -> bool:
        """Tell whether the model is here."""
        return checked_digest(digest) in self._models

    def _known(self, digest: str) -> dict[str, bytes]:
        if checked_digest(digest) not in self._models:
            raise NotFound(f"no model {digest} is here", fix="register it")
        return self._models[digest]


class Keys:
    """Has one key of its own, trusted in every environment."""

    def __init__(self) -> None:
        self._private = new_key()

    def signing_key(self) -> bytes:
        """Return the private key as PEM."""
        return self._private

    def trusted(self, environment: str) -> Mapping[str, bytes]:
        """Return key id -> public PEM."""
        del environment
        public = public_of(self._private)
        return {key_id(public): public}


class Versions:
    """Numbers digests in a list a model."""

    def __init__(self) -> None:
        self._digests: dict[str, list[str]] = {}

    def assign(self, model: str, digest: str) -> int:
        """Return the version of `digest`, a new one on first sight."""
        known = self._digests.setdefault(model, [])
        if checked_digest(digest) not in known:
            known.append(digest)
        return known.index(digest) + 1

    def get(self, model: str, version: int) -> str:
        """Return the digest of a version."""
        known = self._digests.get(model, [])
        if not 1 <= version <= len(known):
            raise NotFound(f"{model} has no version {version}", fix="see: mainspring status")
        return known[version - 1]

    def list(self, model: str) -> list[tuple[int, str]]:
        """Return every (version, digest), lowest first."""
        return list(enumerate(self._digests.get(model, []), start=1))
