"""Decide which rows the challenger may answer: sticky by ask key, stable over weight steps. Pure.

A row's place in [0, 1) is a keyed BLAKE2b of (rollout id, ask key), so it does not move while the weight grows: rows
that the challenger answered at 5 % are among those it answers at 25 %. A row without a key uses its prediction id.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mainspring.serve.ports import Routing

_PLACES = 10_000
_PERCENT = _PLACES // 100


def places(keys: Sequence[str], rollout_id: str) -> NDArray[np.uint64]:
    """Return each key's place in 0..9,999 within a rollout; the same on every machine and in every process."""
    start = hashlib.blake2b(rollout_id.encode("utf-8") + b"\x00", digest_size=8)
    digests = []
    for key in keys:
        one = start.copy()
        one.update(key.encode("utf-8"))
        digests.append(one.digest())
    found: NDArray[np.uint64] = np.frombuffer(b"".join(digests), dtype=">u8") % np.uint64(_PLACES)
    return found


def allowed_weight(routing: Routing, aborted: bool, chosen: float | None = None) -> float:
    """Return the percent of rows that the challenger may answer: never more than the file says, 0 once aborted.

    chosen: what a bandit chose; it counts between the file's floor and weight. None: the floor.
    """
    challenger = routing.challenger
    if challenger is None or aborted or challenger.mode == "shadow":
        return 0.0
    if challenger.mode == "bandit":
        return challenger.floor if chosen is None else min(max(chosen, challenger.floor), challenger.weight)
    return challenger.weight


def chosen_rows(routing: Routing, weight: float, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which rows the challenger answers at `weight` percent; `keys` is the routing key a row."""
    if weight <= 0:
        return np.zeros(len(keys), dtype=np.bool_)
    return places(keys, routing.rollout_id) < np.uint64(round(weight * _PERCENT))
