"""Environment locks: the packages that a step must find installed, exactly.

A lock is a requirements file of `name==version` lines (hashes and markers are the installer's business). Its *digest*
is that of the pins alone, so comments and hashes do not count; the *installed* digest is that of the same names as they
are installed. A step whose two digests differ is refused before it reads anything: it would make another model.
"""

import json
import re
from collections.abc import Callable, Mapping

from mainspring.develop.errors import LockMismatch
from mainspring.kernel.digests import canonical_json, digest_of
from mainspring.kernel.errors import Damaged, InvalidValue

Installed = Callable[[str], str]
"""Name of a distribution -> its installed version, "" if it is not installed."""
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([A-Za-z0-9.!+_-]+)\s*(;[^\\#]*)?", re.MULTILINE)
_SHOWN = 5


def pins(text: str) -> dict[str, str]:
    """Return name -> version of a lock, names as PEP 503 writes them. Lines with a marker are left to the installer."""
    found = {_plain(match[1]): match[2] for match in _PIN.finditer(text) if not match[3]}
    if not found:
        raise InvalidValue("the lock pins nothing", fix="write name==version, a line each: pip freeze, or uv export")
    return dict(sorted(found.items()))


def lock_document(pinned: Mapping[str, str]) -> bytes:
    """Return pins as they lie in the content store: the digest of these bytes is the lock's."""
    return canonical_json({"pins": dict(pinned)})


def read_lock(data: bytes) -> dict[str, str]:
    """Read what `lock_document` wrote."""
    try:
        return {str(name): str(version) for name, version in json.loads(data)["pins"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"a lock cannot be read: {error}", fix="begin the run again") from error


def check_installed(step: str, wanted: Mapping[str, str], installed: Installed) -> None:
    """Raise `LockMismatch` unless every package of a lock is installed in its version."""
    present = {name: installed(name) for name in wanted}
    locked, found = (digest_of({"pins": dict(these)}) for these in (wanted, present))
    if locked == found:
        return
    wrong = [
        f"{name} {present[name] or 'missing'}, not {wanted[name]}" for name in wanted if present[name] != wanted[name]
    ]
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    raise LockMismatch(
        f"{step} is locked to {locked[:19]} and runs among {found[:19]}: {', '.join(wrong[:_SHOWN])}{more}",
        fix="run it in the image that was built from this lock, or install the lock: pip install -r",
    )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
