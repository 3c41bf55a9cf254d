"""Sign and verify a model as OpenSSF Model Signing v1.0 says (github.com/ossf/model-signing-spec, spec/v1.0.md).

A bundle is a Sigstore bundle (JSON) around a DSSE envelope around an in-toto Statement v1: its predicate lists every
file with its SHA-256, its subject's digest is the SHA-256 over these digests in order. The reference tool
`model_signing` verifies our bundles and we verify its key-signed ones.

Only keys passed in as trusted count; a key inside or beside the bundle never does.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mainspring.kernel.errors import Refused
from mainspring.security.keys import hash_for, key_id, new_key, private_key, public_key, public_of
from mainspring.security.manifests import InvalidManifest, Manifest, check_names

__all__ = ["SignatureRefused", "key_id", "new_key", "public_of", "sign", "verify"]

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_MAX_BUNDLE = 4 << 20
_FIX = "register the model again with a trusted key; if you did not change it, find out who did"


class SignatureRefused(Refused):
    """A model's signature is absent, not by a trusted key, or not of these files."""

    code = "signature.refused"


def sign(manifest: Manifest, private_pem: bytes, name: str) -> bytes:
    """Return a bundle that vouches for `manifest`; `name` is informative (the model's name)."""
    key = private_key(private_pem)
    payload = _statement(manifest, name)
    signature = key.sign(_pae(payload), ec.ECDSA(hash_for(key.public_key())))
    bundle = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_id(public_of(private_pem))}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode("ascii"), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode("utf-8")


def verify(bundle: bytes, manifest: Manifest, trusted: Mapping[str, bytes]) -> str:
    """Return the id of the trusted key that signed exactly this manifest, else raise `SignatureRefused`.

    trusted: key id -> public PEM. The signature is checked before a byte of the payload is parsed.
    """
    hint, payload, signature = _opened(bundle)
    signer = _signer(hint, payload, signature, trusted)
    _compare(_resources(_json(payload, "payload")), manifest)
    return signer


def _statement(manifest: Manifest, name: str) -> bytes:
    resources = [
        {"name": entry.path, "algorithm": "sha256", "digest": entry.digest.removeprefix("sha256:")}
        for entry in manifest.entries
    ]
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _root(resources)}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": resources,
        },
    }
    return json.dumps(statement, separators=(",", ":")).encode("utf-8")


def _root(resources: list[dict[str, str]]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources)).hexdigest()


def _pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding (github.com/secure-systems-lab/dsse, v1.0.0)."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode("ascii"), len(payload), payload)


def _opened(bundle: bytes) -> tuple[str, bytes, bytes]:
    """Return (key hint or "", payload, signature) of a bundle of the one shape that is accepted."""
    if len(bundle) > _MAX_BUNDLE:
        raise _refused(f"the bundle has {len(bundle)} bytes; at most {_MAX_BUNDLE} are read")
    read = _json(bundle, "bundle")
    _expect(read.get("mediaType"), _MEDIA_TYPE, "media type")
    material, envelope = read.get("verificationMaterial"), read.get("dsseEnvelope")
    if not isinstance(material, dict) or not isinstance(envelope, dict):
        raise _refused("the bundle holds no envelope or no verification material")
    public = material.get("publicKey")
    if not isinstance(public, dict):
        raise _refused("the bundle was not signed with a key")
    _expect(envelope.get("payloadType"), _PAYLOAD_TYPE, "payload type")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        count = len(signatures) if isinstance(signatures, list) else 0
        raise _refused(f"the bundle holds {count} signatures; exactly one is accepted")
    hint = public.get("hint") or ""
    return str(hint), _decoded(envelope.get("payload"), "payload"), _decoded(signatures[0].get("sig"), "signature")


def _signer(hint: str, payload: bytes, signature: bytes, trusted: Mapping[str, bytes]) -> str:
    """Return the trusted key's id under which the signature holds. The hint only narrows the choice."""
    if hint and hint not in trusted:
        raise _refused(
            f"key {hint[:16]} signed it and is not trusted here", fix="mainspring keys trust, if it should be"
        )
    for name in [hint] if hint else sorted(trusted):
        key = public_key(trusted[name])
        if key_id(trusted[name]) != name:
            raise _refused(f"the trusted key filed under {name[:16]} is another key")
        try:
            key.verify(signature, _pae(payload), ec.ECDSA(hash_for(key)))
        except InvalidSignature:
            continue
        return name
    raise _refused("the signature does not hold under any trusted key")


def _resources(statement: dict[str, Any]) -> dict[str, str]:
    """Return name -> hex digest of a statement, every claim of the specification checked."""
    _expect(statement.get("_type"), _STATEMENT, "statement type")
    _expect(statement.get("predicateType"), _PREDICATE, "predicate type")
    try:
        serialization = statement["predicate"]["serialization"]
        _expect(serialization["method"], "files", "serialization method")
        _expect(serialization["hash_type"], "sha256", "hash")
        listed = [
            {"name": str(item["name"]), "algorithm": str(item["algorithm"]), "digest": str(item["digest"])}
            for item in statement["predicate"]["resources"]
        ]
        subjects, root = statement["subject"], _root(listed)
        _expect(subjects[0]["digest"]["sha256"] if len(subjects) == 1 else subjects, root, "subject digest")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise _refused("the signed statement is not as the specification says") from error
    return _checked(listed)


def _checked(listed: list[dict[str, str]]) -> dict[str, str]:
    names = [item["name"] for item in listed]
    try:
        check_names(names)
    except InvalidManifest as error:
        raise _refused(f"the signed list is not acceptable: {error.what}") from error
    if names not in (sorted(names), sorted(names, key=lambda name: name.split("/"))):
        raise _refused("the signed list is not sorted")
    for item in listed:
        _expect(item["algorithm"], "sha256", "hash")
    return {item["name"]: item["digest"] for item in listed}


def _compare(signed: dict[str, str], manifest: Manifest) -> None:
    found = {entry.path: entry.digest.removeprefix("sha256:") for entry in manifest.entries}
    if extra := sorted(set(found) - set(signed)):
        raise _refused(f"{extra[0]!r} is not in the signed list")
    if missing := sorted(set(signed) - set(found)):
        raise _refused(f"{missing[0]!r} is signed and missing")
    if changed := sorted(name for name in found if found[name] != signed[name]):
        raise _refused(f"{changed[0]!r} is not what was signed")


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(f"the {what} is not JSON") from error
    if not isinstance(value, dict):
        raise _refused(f"the {what} is not a JSON object")
    return value


def _decoded(value: object, what: str) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"the {what} is not base64") from error
    raise _refused(f"the bundle has no {what}")


def _expect(found: object, wanted: str, what: str) -> None:
    if found != wanted:
        raise _refused(f"the {what} is {str(found)[:80]!r}, not {wanted!r}")


def _refused(what: str, fix: str = _FIX) -> SignatureRefused:
    return SignatureRefused(what, fix=fix)
