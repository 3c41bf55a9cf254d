"""Sign where the ledger ends, after every move and every look, so that an end that is cut off later is found.

A checkpoint never goes back: where the ledger no longer has the event that the last one names, the last one stays,
for it is the evidence; `flows.audit` reports it.
"""

from dataclasses import dataclass

from mainspring.deliver.ports import Checkpoints, Keys
from mainspring.kernel.events import Ledger
from mainspring.security.checkpoints import Checkpoint, CheckpointRefused, open_checkpoint, seal_checkpoint

LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What signing and checking a checkpoint needs."""

    ledger: Ledger
    keys: Keys
    checkpoints: Checkpoints


def seal_ledger(environment: str, ports: Sealing, *, at: int) -> bool:
    """Sign the ledger's present end unless that is signed already; False too where the last checkpoint must stay."""
    seq, head = ports.ledger.head()
    data = ports.checkpoints.read(environment)
    if not seq or (data is not None and not _goes_on(data, environment, ports, seq)):
        return False
    found = Checkpoint(environment=environment, seq=seq, hash=head, at=at)
    ports.checkpoints.write(environment, seal_checkpoint(found, ports.keys.signing_key()))
    return True


def last_checkpoint(environment: str, data: bytes, keys: Keys) -> Checkpoint:
    """Return a verified checkpoint; raises `CheckpointRefused`. This machine's own key vouches for its own ledger."""
    return open_checkpoint(data, environment, {**keys.trusted(LOCAL), **keys.trusted(environment)})


def _goes_on(data: bytes, environment: str, ports: Sealing, head: int) -> bool:
    try:
        last = last_checkpoint(environment, data, ports.keys)
    except CheckpointRefused:
        return False
    if last.seq >= head:
        return False
    found = ports.ledger.read(after=last.seq - 1, limit=1)
    return bool(found) and (found[0].seq, found[0].hash) == (last.seq, last.hash)
