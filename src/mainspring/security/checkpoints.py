"""Signed checkpoints: "at this moment the ledger ended with this event", vouched for by a key.

A hash chain whose end was cut off is still a chain. A checkpoint names the end, so a shorter ledger is found; its
signature keeps whoever cut the ledger from writing a checkpoint that fits.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mainspring.kernel.digests import canonical_json
from mainspring.kernel.errors import Refused
from mainspring.security.keys import hash_for, key_id, private_key, public_key, public_of

CHECKPOINT_SCHEMA = 1
_PURPOSE = b"mainspring checkpoint 1\n"
_MAX_BYTES = 16 << 10


class CheckpointRefused(Refused):
    """A checkpoint is no checkpoint, or no trusted key signed it."""

    code = "checkpoint.refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The ledger ended with event `seq` of this hash when it was signed at `at` (UTC microseconds)."""

    environment: str
    seq: int
    hash: str
    at: int


def seal_checkpoint(checkpoint: Checkpoint, private_pem: bytes) -> bytes:
    """Return the signed checkpoint as JSON."""
    key = private_key(private_pem)
    body = asdict(checkpoint)
    signature = key.sign(_PURPOSE + canonical_json(body), ec.ECDSA(hash_for(key.public_key())))
    signed = {
        "schema": CHECKPOINT_SCHEMA, "checkpoint": body, "key": key_id(public_of(private_pem)),
        "signature": base64.b64encode(signature).decode("ascii"),
    }  # fmt: skip
    return json.dumps(signed, indent=1).encode("utf-8")


def open_checkpoint(data: bytes, environment: str, trusted: Mapping[str, bytes]) -> Checkpoint:
    """Return what a trusted key signed for `environment`, else raise `CheckpointRefused`. trusted: key id -> PEM."""
    if len(data) > _MAX_BYTES:
        raise _refused(f"it has {len(data)} bytes; at most {_MAX_BYTES} are read")
    try:
        read = json.loads(data)
        if read["schema"] != CHECKPOINT_SCHEMA:
            raise _refused(f"its schema is {read['schema']!r}, not {CHECKPOINT_SCHEMA}")
        signer, signature = str(read["key"]), base64.b64decode(read["signature"], validate=True)
        found = Checkpoint(**read["checkpoint"])
        message = _PURPOSE + canonical_json(asdict(found))
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise _refused("it cannot be read") from error
    if signer not in trusted:
        raise _refused(f"key {signer[:16]!r} signed it and is not trusted here")
    key = public_key(trusted[signer])
    try:
        key.verify(signature, message, ec.ECDSA(hash_for(key)))
    except InvalidSignature as error:
        raise _refused("its signature does not hold") from error
    if found.environment != environment:
        raise _refused(f"it was signed for {found.environment!r}")
    return found


def _refused(what: str) -> CheckpointRefused:
    return CheckpointRefused(f"the checkpoint is refused: {what}", fix="find out who changed it; see docs/errors.md")
