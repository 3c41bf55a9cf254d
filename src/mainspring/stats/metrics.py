"""Metrics of a binary classifier that answers a probability.

`target` is 0 or 1 a row (float or int), `scores` the probability of 1, both 1-D and of one length. Every function
equals scikit-learn's of the same meaning to 1e-12 (a test compares them). A metric that is undefined, for example
the AUC of one class or anything of no rows, is NaN.
"""

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array, Floats

CLIP = float(np.finfo(np.float64).eps)


def log_losses(target: Array, scores: Array) -> Floats:
    """Return the log loss of each row, in nats.

    Scores are clipped to [2.2e-16, 1 - 2.2e-16] first, as scikit-learn does, so a row costs 36.04 at most.

    >>> log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.0])).round(6).tolist()
    [0.693147, 0.0]
    """
    target, scores = _checked(target, scores)
    clipped = np.clip(scores, CLIP, 1.0 - CLIP)
    losses: Floats = -np.log(np.where(target > 0, clipped, 1.0 - clipped))
    return losses


def brier_losses(target: Array, scores: Array) -> Floats:
    """Return the squared error of each row's probability."""
    target, scores = _checked(target, scores)
    losses: Floats = (scores - target) ** 2
    return losses


def log_loss(target: Array, scores: Array) -> float:
    """Return the mean log loss; lower is better.

    >>> round(log_loss(np.array([1, 0, 0]), np.array([0.9, 0.2, 0.1])), 6)
    0.144622
    """
    return _mean(log_losses(target, scores))


def brier(target: Array, scores: Array) -> float:
    """Return the mean squared error of the probability; lower is better."""
    return _mean(brier_losses(target, scores))


def roc_auc(target: Array, scores: Array) -> float:
    """Return the chance that a random 1 scores above a random 0, ties counting half (Mann and Whitney 1947).

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    target, scores = _checked(target, scores)
    ones = int((target > 0).sum())
    zeros = len(target) - ones
    if not ones or not zeros:
        return float("nan")
    _, level, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2.0
    total = float(rank[level[target > 0]].sum())
    return (total - ones * (ones + 1) / 2.0) / (ones * zeros)


def pr_auc(target: Array, scores: Array) -> float:
    """Return average precision: precision at every distinct score, weighted by the recall it adds.

    >>> round(pr_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 6)
    0.833333
    """
    target, scores = _checked(target, scores)
    ones = float((target > 0).sum())
    if not ones:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(target[order] > 0)[last]
    added = np.diff(hits, prepend=0) / ones
    return float((added * hits / (last + 1.0)).sum())


def calibration_error(target: Array, scores: Array, bins: int = 10) -> float:
    """Return the expected calibration error over `bins` equal-width bins of the score (Naeini et al. 2015).

    A bin is (low, high] and weighs by its rows; its gap is |share of ones - mean score|.
    """
    target, scores = _checked(target, scores)
    if not len(target):
        return float("nan")
    edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    place = np.searchsorted(edges, scores)
    gap = np.bincount(place, weights=target - scores, minlength=bins)
    return float(np.abs(gap).sum() / len(target))


def _mean(losses: Floats) -> float:
    return float(losses.mean()) if len(losses) else float("nan")


def _checked(target: Array, scores: Array) -> tuple[Floats, Floats]:
    target, scores = np.asarray(target, np.float64), np.asarray(scores, np.float64)
    if target.shape != scores.shape or target.ndim != 1:
        raise InvalidValue(
            f"{target.shape} targets and {scores.shape} scores do not pair", fix="give one of each a row"
        )
    if not bool(((target == 0) | (target == 1)).all()):
        raise InvalidValue("a target is neither 0 nor 1", fix="leave rows without a known outcome out")
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise InvalidValue("a score is not a probability", fix="count NaN and values outside 0..1 as errors first")
    return target, scores
