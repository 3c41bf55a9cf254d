"""Signed models in an object store: `sha256/ab/<64 hex>/{files/..., complete.json, model.sig, attest/...}`.

An object store puts one object at a time, so `complete.json`, which lists the files, is written last: a model without
it does not exist. What is read is verified on the very bytes returned, as on disk.
"""

import json
from collections.abc import Mapping

from mainspring.adapters.objects.bucket import Bucket
from mainspring.deliver.ports import SIGNATURE
from mainspring.kernel.digests import hex_of
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.security.artifacts import MAX_ONNX, audit
from mainspring.security.manifests import InvalidManifest, check_name, manifest_of
from mainspring.security.signing import SignatureRefused, verify

_MAX_MODEL = MAX_ONNX + (64 << 20)
_MAX_EVIDENCE = 64 << 20
_MAX_LIST = 1 << 20
_COMPLETE = "complete.json"


class ModelStore:
    """Keeps signed models below a bucket's URL. Any number of writers: equal names have equal bytes."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def add(self, files: Mapping[str, bytes]) -> str:
        """Store a model's files and return the digest of their manifest; it exists once all of them do."""
        digest = manifest_of(files).digest
        for name, data in files.items():
            audit(name, data)
        place = self._place(digest)
        for name in sorted(files):
            self._bucket.put(f"{place}/files/{name}", files[name])
        self._bucket.put(f"{place}/{_COMPLETE}", json.dumps(sorted(files)).encode())
        return digest

    def open(self, digest: str, trusted: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the files, verified on the very bytes returned: signature, digest, format."""
        place = self._place(digest)
        names = self._names(digest, place)
        bundle = self.evidence(digest, SIGNATURE)
        if bundle is None:
            raise SignatureRefused(f"model {digest} is not signed", fix="register it again")
        files = {name: self._file(digest, f"{place}/files/{name}") for name in names}
        manifest = manifest_of(files)
        verify(bundle, manifest, trusted)
        if manifest.digest != digest:
            raise SignatureRefused(f"model {digest} holds the files of {manifest.digest}", fix="register it again")
        for name, data in files.items():
            audit(name, data)
        return files

    def attest(self, digest: str, name: str, data: bytes) -> None:
        """Keep `data` beside the model, replacing what had that name."""
        path = self._evidence_path(digest, name)
        if not self.has(digest):
            raise _absent(digest)
        self._bucket.put(path, data)

    def evidence(self, digest: str, name: str) -> bytes | None:
        """Return what was attested under `name`, or None."""
        return self._bucket.get(self._evidence_path(digest, name), _MAX_EVIDENCE)

    def has(self, digest: str) -> bool:
        """Tell whether the model is here, whole."""
        return self._bucket.has(f"{self._place(digest)}/{_COMPLETE}")

    def _place(self, digest: str) -> str:
        name = hex_of(digest)
        return f"sha256/{name[:2]}/{name}"

    def _names(self, digest: str, place: str) -> list[str]:
        data = self._bucket.get(f"{place}/{_COMPLETE}", _MAX_LIST)
        if data is None:
            raise _absent(digest)
        try:
            names = json.loads(data)
            if not isinstance(names, list) or not names:
                raise ValueError("it lists no file")
            return [check_name(str(name)) for name in names]
        except ValueError as error:
            raise Damaged(f"the list of files of {digest} cannot be read: {error}", fix="register it again") from error

    def _file(self, digest: str, path: str) -> bytes:
        data = self._bucket.get(path, _MAX_MODEL)
        if data is None:
            raise Damaged(f"a file of model {digest} is gone", fix="register it again, or restore the store")
        return data

    def _evidence_path(self, digest: str, name: str) -> str:
        if "/" in check_name(name):
            raise InvalidManifest(f"evidence {name[:80]!r} has a folder", fix="use a plain name")
        return f"{self._place(digest)}/{name if name == SIGNATURE else f'attest/{name}'}"


def _absent(digest: str) -> NotFound:
    return NotFound(f"no model {digest} is here", fix="register it, or restore the model store")
