"""Secrets by reference: `secret://env/NAME` is the environment variable NAME. A value is never shown."""

import os

from mainspring.kernel.errors import NotFound

_ENV = "secret://env/"


class SecretMissing(NotFound):
    """A secret that a file refers to is not there."""

    code = "secret.missing"


def resolved(reference: str) -> str:
    """Return the secret that a reference names, without blanks around it; "" for ""."""
    if not reference:
        return ""
    name = reference.removeprefix(_ENV)
    if name == reference:
        raise SecretMissing(f"{reference[:80]} cannot be read here", fix="write secret://env/NAME")
    value = os.environ.get(name, "").strip()
    if not value:
        raise SecretMissing(f"{reference[:80]} is empty", fix=f"set the environment variable {name[:60]}")
    return value
