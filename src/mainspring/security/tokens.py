"""API keys: what one is, what it may do, and how a presented secret is judged. Pure.

A secret reads `mst_<id>_<43 characters>`: a prefix that scanners recognise, an id that is not secret, and 256 random
bits. Only the SHA-256 of the whole is kept; a hash made for passwords would add nothing, for nobody guesses 256 bits
(OWASP Password Storage and NIST SP 800-63B 5.1.2 ask for slow hashes of secrets that people choose). The id finds the
record, then the digests are compared in constant time.

Start at `Token`, then read `issue` and `judge`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from mainspring.kernel.errors import Conflict, InvalidValue, NotFound
from mainspring.kernel.ids import checked_name

Role = Literal["predict", "label", "metadata", "metrics", "admin"]
Verdict = Literal["good", "unknown", "revoked", "expired"]
ROLES: tuple[Role, ...] = get_args(Role)
ANY_MODEL = "*"
MAX_TOKENS = 1_000
MAX_MODELS = 100
PREFIX = "mst_"
RANDOM_BYTES = 37  # 5 for the id, 32 for the secret
_ID_BYTES = 5
_SECRET = re.compile(rb"mst_([a-z2-7]{8})_([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"nobody").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much one key may ask. 0 means no limit.

    rate: requests a second, over a second's burst. budget: rows in any `period_s` seconds.
    """

    rate: float = 0.0
    budget: int = 0
    period_s: int = 86_400

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1e6 or not 0 <= self.budget <= 10**12 or not 1 <= self.period_s <= 366 * 86_400:
            raise InvalidValue(f"{self} is not an allowance", fix="use a rate up to 1e6/s, a period up to 366d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One key, without its secret.

    id: public, in the secret's text. digest: SHA-256 of the secret, 32 bytes. models: names, or `*` for every model.
    Times in UTC microseconds; expires_at and revoked_at 0 for never.
    """

    id: str
    name: str
    digest: bytes
    models: frozenset[str]
    roles: frozenset[Role]
    created_at: int
    expires_at: int = 0
    revoked_at: int = 0
    allowance: Allowance = field(default_factory=Allowance)

    def allows(self, role: Role, model: str = "") -> bool:
        """Tell whether the key may do `role`; with a model's name, whether it may on that model."""
        return role in self.roles and (not model or model in self.models or ANY_MODEL in self.models)

    def state(self, now: int) -> Verdict:
        """Return `good`, `revoked` or `expired` at `now`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and now >= self.expires_at else "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a new key shall be. name: for people, unique among keys that count. expires_at: 0 for never."""

    name: str
    models: Sequence[str] = (ANY_MODEL,)
    roles: Sequence[str] = ("predict", "metadata")
    expires_at: int = 0
    allowance: Allowance = field(default_factory=Allowance)


def issue(wanted: Wanted, *, random: bytes, now: int) -> tuple[str, Token]:
    """Return (secret, token); the secret exists nowhere else. random: `RANDOM_BYTES` bytes from the system."""
    if len(random) != RANDOM_BYTES:
        raise InvalidValue(f"{len(random)} random bytes", fix=f"give {RANDOM_BYTES}")
    checked_name(wanted.name, "token")
    if wanted.expires_at and wanted.expires_at <= now:
        raise InvalidValue("the token would be expired already", fix="choose a later time")
    name = base64.b32encode(random[:_ID_BYTES]).decode("ascii").lower()
    secret = f"{PREFIX}{name}_{base64.urlsafe_b64encode(random[_ID_BYTES:]).decode('ascii').rstrip('=')}"
    token = Token(
        id=name, name=wanted.name, digest=hashlib.sha256(secret.encode("ascii")).digest(),
        models=_models(wanted.models), roles=roles_of(wanted.roles), created_at=now, expires_at=wanted.expires_at,
        allowance=wanted.allowance,
    )  # fmt: skip
    return secret, token


def with_token(tokens: Sequence[Token], token: Token) -> tuple[Token, ...]:
    """Return the tokens and one more; refuse a name in use, and more than `MAX_TOKENS`."""
    if any(item.id == token.id or (item.name == token.name and not item.revoked_at) for item in tokens):
        raise Conflict(f"a token is called {token.name!r} already", fix="choose another name, or revoke that one")
    if len(tokens) >= MAX_TOKENS:
        raise InvalidValue(f"there are {len(tokens)} tokens", fix="revoke, then prune what is no longer used")
    return (*tokens, token)


def revoked(tokens: Sequence[Token], which: str, now: int) -> tuple[Token, ...]:
    """Return the tokens with the one of that id or name revoked from `now` on; safe to repeat."""
    found = [item for item in tokens if which in (item.id, item.name)]
    if not found:
        raise NotFound(f"no token is called {which[:80]!r}", fix="see mainspring tokens list")
    chosen = next((item for item in found if not item.revoked_at), found[-1])
    return tuple(replace(item, revoked_at=item.revoked_at or now) if item is chosen else item for item in tokens)


def pruned(tokens: Sequence[Token], now: int) -> tuple[Token, ...]:
    """Return the tokens that still count at `now`."""
    return tuple(item for item in tokens if item.state(now) == "good")


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles of their names; refuse an unknown one, and none at all."""
    found: frozenset[Role] = frozenset(role for role in ROLES for name in names if name == role)
    if not found or len(found) != len(set(names)):
        raise InvalidValue(f"roles {sorted(names)} are not known", fix=f"use some of: {', '.join(ROLES)}")
    return found


class TokenBook:
    """Judges secrets against tokens. The same bytes are hashed once: what was good is remembered until the book is
    replaced, under Python's keyed hash, so that the look-up tells a guesser no more than the comparison did.
    """

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._tokens: Mapping[str, Token] = {item.id: item for item in tokens}
        self._good: dict[bytes, Token] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def holds(self, role: Role, now: int) -> bool:
        """Tell whether any token that counts at `now` may do `role`."""
        return any(role in item.roles and item.state(now) == "good" for item in self._tokens.values())

    def judge(self, secret: bytes, now: int) -> tuple[Verdict, Token | None]:
        """Return the verdict on a presented secret, and whose it is: the token for every verdict but `unknown`."""
        known = self._good.get(secret)
        if known is not None:
            return known.state(now), known
        found = _SECRET.fullmatch(secret)
        token = self._tokens.get(found[1].decode("ascii")) if found else None
        digest = token.digest if token else _NOBODY
        if not hmac.compare_digest(hashlib.sha256(secret).digest(), digest) or token is None:
            return "unknown", None
        self._good[bytes(secret)] = token
        return token.state(now), token


def _models(names: Sequence[str]) -> frozenset[str]:
    if not 0 < len(names) <= MAX_MODELS:
        raise InvalidValue(f"{len(names)} models", fix=f"name 1 to {MAX_MODELS} models, or * for every one")
    return frozenset(name if name == ANY_MODEL else checked_name(name, "model") for name in names)
