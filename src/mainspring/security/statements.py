"""Signed statements: a few facts as JSON that one key vouches for, for one purpose and no other.

The signature is over `mainspring <purpose> 1`, a line feed and the canonical JSON of the facts, so a checkpoint can
never be read as an approval. Checkpoints, approvals and promotion evidence are statements.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mainspring.kernel.digests import canonical_json
from mainspring.kernel.errors import InvalidValue, Refused
from mainspring.security.keys import hash_for, key_id, private_key, public_key, public_of

STATEMENT_SCHEMA = 1
MAX_BYTES = 1 << 20


class StatementRefused(Refused):
    """An approval or an evidence file is none, or no trusted key signed it."""

    code = "statement.refused"


def sign_statement(purpose: str, facts: Mapping[str, Any], private_pem: bytes) -> bytes:
    """Return the signed statement as JSON text that ends in a line feed."""
    key = private_key(private_pem)
    signature = key.sign(_message(purpose, facts), ec.ECDSA(hash_for(key.public_key())))
    signed = {
        "schema": STATEMENT_SCHEMA, purpose: dict(facts), "key": key_id(public_of(private_pem)),
        "signature": base64.b64encode(signature).decode("ascii"),
    }  # fmt: skip
    return json.dumps(signed, indent=1, ensure_ascii=False).encode("utf-8") + b"\n"


def open_statement(
    data: bytes, purpose: str, trusted: Mapping[str, bytes], *, at_most: int = MAX_BYTES
) -> tuple[dict[str, Any], str]:
    """Return (facts, id of the key that signed them), else raise `StatementRefused`. trusted: key id -> public PEM."""
    if len(data) > at_most:
        raise _refused(f"it has {len(data)} bytes; at most {at_most} are read")
    try:
        read = json.loads(data)
        if read["schema"] != STATEMENT_SCHEMA:
            raise _refused(f"its schema is {read['schema']!r}, not {STATEMENT_SCHEMA}")
        signer, signature = str(read["key"]), base64.b64decode(read["signature"], validate=True)
        facts = dict(read[purpose])
        message = _message(purpose, facts)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error, InvalidValue) as error:
        raise _refused("it cannot be read") from error
    if signer not in trusted:
        raise _refused(f"key {signer[:16]!r} signed it and is not trusted here")
    key = public_key(trusted[signer])
    try:
        key.verify(signature, message, ec.ECDSA(hash_for(key)))
    except InvalidSignature as error:
        raise _refused("its signature does not hold") from error
    return facts, signer


def signer_of_statement(data: bytes) -> str:
    """Return the id of the key that a statement says signed it, unverified; "" where it cannot be read."""
    try:
        return str(json.loads(data[:MAX_BYTES])["key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _message(purpose: str, facts: Mapping[str, Any]) -> bytes:
    return b"mainspring %s 1\n" % purpose.encode("ascii") + canonical_json(facts)


def _refused(what: str) -> StatementRefused:
    return StatementRefused(what, fix="find out who changed it; see docs/errors.md")
