"""Signing keys: elliptic curve P-256 for new ones; P-256, P-384 and P-521 are read.

A key's id is the SHA-256 of its public PEM, the hint that OpenSSF Model Signing v1.0 bundles carry.
"""

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mainspring.kernel.errors import MainspringError

_CURVES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


class InvalidKey(MainspringError):
    """A key cannot be read or is of a kind that signs no model."""

    code = "key.invalid"


def new_key() -> bytes:
    """Return a new P-256 private key as PKCS 8 PEM. Keep it readable by its owner alone."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_of(pem: bytes) -> bytes:
    """Return the public key of a private one, as PEM."""
    return _public_pem(private_key(pem).public_key())


def key_id(public_pem: bytes) -> str:
    """Return the 64 hex digits that name a public key."""
    return hashlib.sha256(_public_pem(public_key(public_pem))).hexdigest()


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key in `pem`; refuse anything that is not an elliptic curve key."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey("the private key cannot be read", fix="make one: mainspring keys create") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        raise InvalidKey("the private key is not on a P-256, P-384 or P-521 curve", fix="mainspring keys create")
    return key


def public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key in `pem`; a private key is refused, for it must not lie where public keys lie."""
    if b"PRIVATE KEY" in pem:
        raise InvalidKey("a private key lies where a public key is expected", fix="remove it, and make a new key")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey("the public key cannot be read", fix="export it again: mainspring keys list") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise InvalidKey("the public key is not on a P-256, P-384 or P-521 curve", fix="mainspring keys create")
    return key


def hash_for(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    """Return the hash that goes with the key's curve."""
    return _CURVES[key.curve.name]


def _public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
