"""Signed checkpoints: "at this moment the ledger ended with this event", vouched for by a key.

A hash chain whose end was cut off is still a chain. A checkpoint names the end, so a shorter ledger is found; its
signature keeps whoever cut the ledger from writing a checkpoint that fits.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mainspring.kernel.errors import Refused
from mainspring.security.statements import StatementRefused, open_statement, sign_statement

_PURPOSE = "checkpoint"
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
    return sign_statement(_PURPOSE, asdict(checkpoint), private_pem)


def open_checkpoint(data: bytes, environment: str, trusted: Mapping[str, bytes]) -> Checkpoint:
    """Return what a trusted key signed for `environment`, else raise `CheckpointRefused`. trusted: key id -> PEM."""
    try:
        facts, _ = open_statement(data, _PURPOSE, trusted, at_most=_MAX_BYTES)
        found = Checkpoint(**facts)
    except StatementRefused as error:
        raise _refused(error.what) from error
    except TypeError as error:
        raise _refused("it cannot be read") from error
    if found.environment != environment:
        raise _refused(f"it was signed for {found.environment!r}")
    return found


def _refused(what: str) -> CheckpointRefused:
    return CheckpointRefused(f"the checkpoint is refused: {what}", fix="find out who changed it; see docs/errors.md")
