"""Bring a signed model to where an environment's servers load it: files, signature and evidence, from store to store.

The bytes are verified when they leave, by the keys that the destination trusts, and again at every load. The signature
is written after the files and the evidence before it, so a reader never sees a signed model without its gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mainspring.deliver.ports import GATE, SIGNATURE, ModelStore
from mainspring.flows.adopt import IMPORT
from mainspring.flows.steps.register_model import EVIDENCE, RUN
from mainspring.kernel.errors import Damaged

KNOWN = (GATE, EVIDENCE, RUN, IMPORT)
"""Evidence that registration keeps; other flows name theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What happened. copied: names of what the destination did not have, or had otherwise; () if it had everything."""

    digest: str
    copied: tuple[str, ...]


def publish(
    digest: str, source: ModelStore, target: ModelStore, trusted: Mapping[str, bytes], names: Sequence[str] = KNOWN
) -> Published:
    """Copy a model that a trusted key signed. Safe to repeat: what is there already is left alone.

    trusted: key id -> public PEM of who may vouch for it at the destination. names: evidence to take along.
    Raises `NotFound` or `SignatureRefused` before anything is written.
    """
    files = source.open(digest, trusted)
    copied: list[str] = []
    if not target.has(digest):
        if target.add(files) != digest:
            raise Damaged(f"the destination calls {digest} by another name", fix="check the store; publish again")
        copied.append("files")
    for name in (*names, SIGNATURE):
        data = source.evidence(digest, name)
        if data is not None and target.evidence(digest, name) != data:
            target.attest(digest, name, data)
            copied.append(name)
    return Published(digest=digest, copied=tuple(copied))
