"""Tokens as one JSON document, read strictly: what is not exactly as written here is refused, never guessed. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.security.tokens import MAX_TOKENS, Allowance, Token, roles_of

FORMAT = "mainspring tokens 1"
_DIGEST_BYTES = 32
_KEYS = {"id", "name", "sha256", "models", "roles", "created_at", "expires_at", "revoked_at", "allowance"}


def to_bytes(tokens: Iterable[Token]) -> bytes:
    """Return the document."""
    listed = [
        {
            "id": item.id, "name": item.name, "sha256": item.digest.hex(), "models": sorted(item.models),
            "roles": sorted(item.roles), "created_at": item.created_at, "expires_at": item.expires_at,
            "revoked_at": item.revoked_at,
            "allowance": [item.allowance.rate, item.allowance.budget, item.allowance.period_s],
        }
        for item in tokens
    ]  # fmt: skip
    return json.dumps({"format": FORMAT, "tokens": listed}, indent=1).encode("utf-8")


def from_bytes(data: bytes) -> tuple[Token, ...]:
    """Return the tokens; raise `Damaged` for a document that `to_bytes` did not write."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT or len(document["tokens"]) > MAX_TOKENS:
            raise ValueError("another format, or too many")
        found = tuple(_token(item) for item in document["tokens"])
        if len({item.id for item in found}) != len(found):
            raise ValueError("an id twice")
    except (ValueError, TypeError, KeyError, RecursionError, InvalidValue) as error:
        raise Damaged("the token file is damaged", fix="restore it, or remove it and make new tokens") from error
    return found


def _token(item: dict[str, Any]) -> Token:
    digest = bytes.fromhex(item["sha256"])
    times = (item["created_at"], item["expires_at"], item["revoked_at"])
    texts = (item["id"], item["name"], *item["models"])
    if item.keys() != _KEYS or len(digest) != _DIGEST_BYTES or not all(type(one) is int and one >= 0 for one in times):
        raise ValueError("a token is not whole")
    if not all(type(one) is str and one for one in texts):
        raise ValueError("a name is not text")
    rate, budget, period_s = item["allowance"]
    return Token(
        id=item["id"], name=item["name"], digest=digest, models=frozenset(item["models"]),
        roles=roles_of(item["roles"]), created_at=times[0], expires_at=times[1], revoked_at=times[2],
        allowance=Allowance(rate=float(rate), budget=int(budget), period_s=int(period_s)),
    )  # fmt: skip
