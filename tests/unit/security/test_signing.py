"""A signature is accepted only from a trusted key, in the one shape of the specification, over exactly these files."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.security.keys import InvalidKey, private_key
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import SignatureRefused, key_id, new_key, public_of, sign, verify

FILES = {"model.onnx": b"weights", "contract.json": b"{}"}
MANIFEST = manifest_of(FILES)
PRIVATE = new_key()
PUBLIC = public_of(PRIVATE)
ID = key_id(PUBLIC)
TRUSTED = {ID: PUBLIC}
BUNDLE = sign(MANIFEST, PRIVATE, "m")


def test_what_was_signed_verifies_and_names_its_key() -> None:
    assert verify(BUNDLE, MANIFEST, TRUSTED) == ID
    other = public_of(new_key())
    assert verify(BUNDLE, MANIFEST, TRUSTED | {key_id(other): other}) == ID


def test_the_bundle_is_of_the_specified_shape() -> None:
    bundle = json.loads(BUNDLE)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["publicKey"] == {"hint": ID}
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert [item["name"] for item in statement["predicate"]["resources"]] == ["contract.json", "model.onnx"]


@pytest.mark.parametrize(
    "files",
    [{"model.onnx": b"weights"}, FILES | {"extra.json": b""}, FILES | {"model.onnx": b"Weights"}, {"a": b""}],
    ids=["missing", "unlisted", "changed", "another model"],
)
def test_other_files_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(SignatureRefused):
        verify(BUNDLE, manifest_of(files), TRUSTED)


def test_no_trusted_key_no_trust() -> None:
    stranger = new_key()
    for trusted in ({}, {key_id(public_of(stranger)): public_of(stranger)}, {ID: public_of(stranger)}):
        with pytest.raises(SignatureRefused):
            verify(BUNDLE, MANIFEST, trusted)


Change = Callable[[dict[str, Any]], object]


def _payload(bundle: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    """Change the statement and sign it again with the trusted key: only our own checks stand in the way."""
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    kind = b"application/vnd.in-toto+json"
    pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    envelope["payload"] = base64.b64encode(payload).decode()
    signature = private_key(PRIVATE).sign(pae, ec.ECDSA(hashes.SHA256()))
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def _resources(statement: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = statement["predicate"]["resources"]
    return found


CHANGES: dict[str, Change] = {
    "media type": lambda b: b.update(mediaType="application/x"),
    "no envelope": lambda b: b.pop("dsseEnvelope"),
    "certificate instead of a key": lambda b: b.update(verificationMaterial={"certificate": {}}),
    "payload type": lambda b: b["dsseEnvelope"].update(payloadType="application/json"),
    "no signature": lambda b: b["dsseEnvelope"].update(signatures=[]),
    "two signatures": lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
    "bad base64": lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="***"),
    "no payload": lambda b: b["dsseEnvelope"].update(payload=None),
    "key hint of another key": lambda b: b["verificationMaterial"]["publicKey"].update(hint="0" * 64),
    "predicate type": lambda b: _payload(b, lambda s: s.update(predicateType="https://model_signing/Digests/v0.1")),
    "statement type": lambda b: _payload(b, lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
    "subject digest": lambda b: _payload(b, lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
    "two subjects": lambda b: _payload(b, lambda s: s["subject"].append(s["subject"][0])),
    "unknown hash": lambda b: _payload(b, lambda s: s["predicate"]["serialization"].update(hash_type="md5")),
    "unknown hash of a file": lambda b: _payload(b, lambda s: _resources(s)[0].update(algorithm="md5")),
    "shards": lambda b: _payload(b, lambda s: s["predicate"]["serialization"].update(method="shards")),
    "unsorted": lambda b: _payload(b, lambda s: _resources(s).reverse()),
    "duplicate": lambda b: _payload(b, lambda s: _resources(s).insert(0, _resources(s)[0])),
    "empty": lambda b: _payload(b, lambda s: s["predicate"].update(resources=[])),
    "a name that leaves": lambda b: _payload(b, lambda s: _resources(s)[0].update(name="../contract.json")),
    "an absolute name": lambda b: _payload(b, lambda s: _resources(s)[0].update(name="/contract.json")),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_bundle_of_another_shape_is_refused(name: str) -> None:
    bundle = json.loads(BUNDLE)
    CHANGES[name](bundle)
    with pytest.raises(SignatureRefused):
        verify(json.dumps(bundle).encode(), MANIFEST, TRUSTED)


def test_a_key_inside_the_bundle_is_never_used() -> None:
    stranger = new_key()
    bundle = json.loads(sign(MANIFEST, stranger, "m"))
    public = public_of(stranger)
    bundle["verificationMaterial"]["publicKey"] = {"rawBytes": base64.b64encode(public).decode()}
    with pytest.raises(SignatureRefused, match="any trusted key"):
        verify(json.dumps(bundle).encode(), MANIFEST, TRUSTED)


def test_a_bundle_without_a_hint_is_tried_with_every_trusted_key() -> None:
    bundle = json.loads(BUNDLE)
    bundle["verificationMaterial"]["publicKey"] = {}
    assert verify(json.dumps(bundle).encode(), MANIFEST, TRUSTED) == ID


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(BUNDLE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_bundle_never_vouches_for_other_files(at: int, bit: int) -> None:
    broken = bytearray(BUNDLE)
    broken[at] ^= 1 << bit
    with pytest.raises(SignatureRefused):
        verify(bytes(broken), manifest_of(FILES | {"model.onnx": b"other"}), TRUSTED)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify(noise, MANIFEST, TRUSTED)


def test_deep_json_is_refused() -> None:
    with pytest.raises(SignatureRefused):
        verify(b"[" * 100_000, MANIFEST, TRUSTED)


def test_other_curves_work_and_other_kinds_of_keys_do_not() -> None:
    for curve in (ec.SECP384R1(), ec.SECP521R1()):
        private = _pem(ec.generate_private_key(curve))
        public = public_of(private)
        assert verify(sign(MANIFEST, private, "m"), MANIFEST, {key_id(public): public}) == key_id(public)
    for wrong in (
        _pem(ed25519.Ed25519PrivateKey.generate()),
        _pem(ec.generate_private_key(ec.SECP256K1())),
        b"",
        PUBLIC,
    ):
        with pytest.raises(InvalidKey):
            sign(MANIFEST, wrong, "m")


def test_a_private_key_among_the_trusted_is_refused() -> None:
    with pytest.raises(InvalidKey, match="private key"):
        verify(BUNDLE, MANIFEST, {ID: PRIVATE})


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
