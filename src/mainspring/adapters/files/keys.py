"""Keys on disk: the signing key in the state folder, the trusted public keys committed with the project.

`<state>/keys/signing.pem` (0600, made on first use) and its public half `signing.pub`; trust is
`<project>/environments/<environment>/trust/*.pem`. The environment `local` also trusts this machine's own key.
A server needs only the public half.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.files import make_private, write_atomic
from mainspring.kernel.ids import checked_name
from mainspring.security.keys import InvalidKey, key_id, new_key, public_key, public_of

LOCAL = "local"
_MAX_PEM = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """One key: its id, where it counts (an environment, or "own"), and its public PEM."""

    id: str
    where: str
    public: bytes


class Keys:
    """Knows this machine's signing key and whom each environment trusts."""

    def __init__(self, state_dir: Path, project_root: Path, folder: Path | None = None) -> None:
        """folder: where the signing key is, if it is not in the state folder: a mounted Secret, which is only read."""
        self._folder = folder or state_dir / "keys"
        self._is_mounted = folder is not None
        self._environments = project_root / "environments"

    def signing_key(self) -> bytes:
        """Return the private key as PEM; the first call makes it. Of two first callers, both get the same."""
        place = self._folder / "signing.pem"
        if self._is_mounted:
            return _mounted(place)
        if not place.exists():
            self._create(place)
        pem = place.read_bytes()
        public = public_of(pem)
        half = self._folder / "signing.pub"
        if not half.exists() or half.read_bytes() != public:
            write_atomic(half, public)
        return pem

    def trusted(self, environment: str) -> Mapping[str, bytes]:
        """Return key id -> public PEM of every key that may vouch for a model in `environment`."""
        found: dict[str, bytes] = {}
        for path in sorted(self._trust(environment).glob("*.pem")):
            pem = _read(path)
            found[key_id(pem)] = pem
        own = self._folder / "signing.pub"
        if environment == LOCAL and own.is_file():
            pem = _read(own)
            found[key_id(pem)] = pem
        return found

    def create(self) -> str:
        """Make a new signing key in place of the old one and return its id. Models signed before need the old trust.

        The old private key is kept as `signing-<id>.pem` until its owner removes it.
        """
        place = self._folder / "signing.pem"
        if place.exists():
            old = key_id(public_of(place.read_bytes()))
            place.replace(self._folder / f"signing-{old[:16]}.pem")
        return key_id(public_of(self.signing_key()))

    def trust(self, environment: str, public_pem: bytes) -> str:
        """Let a public key vouch for models in `environment`: write it where it is to be committed. Return its id."""
        public_key(public_pem)
        name = key_id(public_pem)
        folder = self._trust(environment)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{name[:16]}.pem", public_pem, private=False)
        return name

    def list(self) -> list[KeyInfo]:
        """Return this machine's own key, if made, and every trusted key of every environment."""
        own = self._folder / "signing.pub"
        found = [KeyInfo(id=key_id(_read(own)), where="own", public=_read(own))] if own.is_file() else []
        for folder in sorted(self._environments.glob("*/trust")):
            where = folder.parent.name
            for path in sorted(folder.glob("*.pem")):
                found.append(KeyInfo(id=key_id(_read(path)), where=where, public=_read(path)))
        return found

    def _trust(self, environment: str) -> Path:
        return self._environments / checked_name(environment, "environment") / "trust"

    def _create(self, place: Path) -> None:
        make_private(self._folder)
        beside = self._folder / f".{uuid4().hex}.tmp"
        write_atomic(beside, new_key())
        try:
            os.link(beside, place)
        except FileExistsError:
            return
        finally:
            beside.unlink(missing_ok=True)


def _mounted(place: Path) -> bytes:
    try:
        pem = place.read_bytes()
    except OSError as error:
        what = f"the signing key {place} cannot be read: {error.strerror}"
        raise InvalidKey(what, fix="mount the Secret with signing.pem") from error
    public_of(pem)
    return pem


def _read(path: Path) -> bytes:
    if path.is_symlink() or path.stat().st_size > _MAX_PEM:
        raise InvalidValue(f"{path.name} is not a key file", fix="a trusted key is a small PEM file, not a link")
    pem = path.read_bytes()
    try:
        public_key(pem)
    except InvalidKey as error:
        raise InvalidKey(f"{path.name}: {error.what}", fix=error.fix) from error
    return pem
