"""Turn a model's files into a registered version: stored, signed, numbered. Each part may be repeated safely."""

from collections.abc import Mapping
from dataclasses import dataclass

from mainspring.deliver.ports import SIGNATURE, Keys, ModelStore, Versions
from mainspring.kernel.errors import Damaged
from mainspring.kernel.failpoints import hit
from mainspring.security.manifests import Manifest, manifest_of
from mainspring.security.signing import SignatureRefused, key_id, public_of, sign, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The ports of registration."""

    models: ModelStore
    keys: Keys
    versions: Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A model that is stored, signed by `signer` (a key id) and numbered."""

    digest: str
    version: int
    signer: str


def register(model: str, files: Mapping[str, bytes], ports: Registry) -> Registered:
    """Store, sign and number a model. Killed anywhere and run again, it ends the same, with the same number."""
    digest, signer = keep_signed(model, files, ports.models, ports.keys)
    return Registered(digest=digest, version=ports.versions.assign(model, digest), signer=signer)


def keep_signed(model: str, files: Mapping[str, bytes], models: ModelStore, keys: Keys) -> tuple[str, str]:
    """Store a model and sign it with this machine's key unless that signature is there; return (digest, key id)."""
    digest, manifest = models.add(files), manifest_of(files)
    if digest != manifest.digest:
        raise Damaged(f"the model store calls {digest} what has another digest", fix="check the disk; train again")
    private = keys.signing_key()
    public = public_of(private)
    signer, bundle = key_id(public), models.evidence(digest, SIGNATURE)
    if bundle is None or not _holds(bundle, manifest, {signer: public}):
        hit("model.sign")
        models.attest(digest, SIGNATURE, sign(manifest, private, model))
    return digest, signer


def _holds(bundle: bytes, manifest: Manifest, trusted: Mapping[str, bytes]) -> bool:
    try:
        verify(bundle, manifest, trusted)
    except SignatureRefused:
        return False
    return True
