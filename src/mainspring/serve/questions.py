"""What every protocol reduces a request to, and what it makes an answer from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.serve.tensors import Tensor
from mainspring.stats.columns import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request of `rows` rows, checked for form but not yet against a model.

    tensors: feature columns by name; empty in entity mode, then `keys` say who is asked about.
    keys: the ask key a row, or empty. asked_at: UTC microseconds a row, or None for now.
    id: the client's own id, returned as it came. outputs: output names asked for; empty means all.
    binary: answer with binary tensors.
    """

    rows: int
    tensors: Mapping[str, Tensor]
    keys: list[str]
    asked_at: NDArray[np.int64] | None
    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Scores for one request: n float64, with the version number that gave each, and where they came from.

    request_id: row i's prediction id is this plus `.i`. release: the commit that routed it.
    """

    request_id: str
    model: str
    output: str
    release: str
    scores: Floats
    versions: list[int]
