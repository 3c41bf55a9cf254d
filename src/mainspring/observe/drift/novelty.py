"""Share of values that training never saw: levels outside the schema, numbers far outside the range.

What was usual is learnt by looking forward inside training (`references.novelty`): each week against the weeks
before it. A calendar column such as month is new every month by construction, so its usual is 1 and it never raises.
"""

from mainspring.observe.drift.detector import Detector, Kind, Measured
from mainspring.stats.columns import Array


def measure(kind: Kind, expected: Array, actual: Array) -> Measured:
    """Return the share of known values in the outer bins: beyond the widened range, or of other levels."""
    known = float(actual[:-1].sum())
    if not known:
        return Measured(value=0.0)
    outside = float(actual[-2]) + (float(actual[0]) if kind == "number" else 0.0)
    return Measured(value=min(outside / known, 1.0))


NOVELTY = Detector(name="novelty", tells="fault", kinds=("number", "string"), floor=0.1, slack=0.1, measure=measure)
