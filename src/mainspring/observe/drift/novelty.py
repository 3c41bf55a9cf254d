"""Share of values that training never saw: levels outside the schema, numbers far outside the range.

What was usual is learnt by looking forward inside training (`references.novelty`): each week against the weeks
before it. A calendar column such as month is new every month by construction, so its usual is 1 and it never raises.
"""

import numpy as np

from mainspring.observe.drift.detector import Detector, Kind, Measured
from mainspring.stats.columns import Array, Floats


def measure(kind: Kind, expected: Array, actual: Array) -> Measured:
    """Return the share of known values in the outer bins: beyond the widened range, or of other levels."""
    return Measured(value=float(each(kind, expected, actual)))


def each(kind: Kind, expected: Array, actual: Array) -> Floats:
    """Return the share of each window; 0.0 where nothing is known."""
    outside = actual[..., -2] + (actual[..., 0] if kind == "number" else 0)
    shares: Floats = np.minimum(outside / np.maximum(actual[..., :-1].sum(axis=-1), 1), 1.0)
    return shares


NOVELTY = Detector(
    name="novelty", tells="fault", kinds=("number", "string"), floor=0.1, slack=0.1, measure=measure, each=each
)  # fmt: skip
