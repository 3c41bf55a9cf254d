"""Tests that stay valid however often one looks: an abort may be decided at every tick.

`harm_evidence` is the mixture t-test martingale for Gaussian blocks of unknown variance: the likelihood ratio of the
scale-invariant data, effect sizes mixed over a half-normal prior (Robbins 1970; Lai 1976; Wang and Ramdas 2024,
"Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance"; see also Howard, Ramdas,
McAuliffe and Sekhon 2021). `rate_evidence` is its counterpart for failures: a beta mixture over rates above the
tolerated one. Both are e-processes: under "no harm" they exceed 1/alpha, ever, with chance at most alpha (Ville 1939).
"""

from collections.abc import Sequence

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array

_LARGEST = 700.0


def harm_evidence(means: Array | Sequence[float], *, margin: float = 0.0, scale: float = 1.0) -> float:
    """Return the evidence that block means lie above `margin`: 100 or more rejects at 1 %, at any time.

    means: one a block, independent and roughly Gaussian, of about equal size. scale: the prior's typical effect,
    in standard deviations of a block mean; any value is valid, a good one is fast.

    >>> bool(harm_evidence([0.02, 0.03, 0.025, 0.03, 0.02, 0.03, 0.025, 0.03]) > 100)
    True
    >>> harm_evidence([0.02, -0.03, 0.025, -0.03]) < 1.5
    True
    """
    from scipy.special import stdtr  # 0.3 s that a command without statistics need not pay

    if not scale > 0:
        raise InvalidValue(f"scale {scale} is not above zero", fix="use 1.0")
    x = np.asarray(means, np.float64) - margin
    n, total, square = len(x), float(x.sum()), float(x @ x)
    if not square:
        return 1.0
    prior = 1.0 / scale**2
    left = square - total**2 / (n + prior)
    log_two_sided = 0.5 * np.log(prior / (n + prior)) - 0.5 * n * np.log(left / square)
    side = 2.0 * float(stdtr(n, total * np.sqrt(n / ((n + prior) * left))))
    return float(np.exp(min(log_two_sided, _LARGEST))) * side


def rate_evidence(failures: int, trials: int, tolerated: float) -> float:
    """Return the evidence that the failure rate is above `tolerated`: 1,000 or more rejects at 0.1 %, at any time.

    >>> rate_evidence(1, 1, 0.01) < 1000 < rate_evidence(2, 2, 0.01)
    True
    """
    if not 0 <= failures <= trials or not 0 <= tolerated < 1:
        raise InvalidValue(f"{failures} failures of {trials} against {tolerated} cannot be", fix="count rows once")
    if not failures:
        return 1.0 if not trials else min(1.0, _rate(failures, trials, tolerated))
    return float("inf") if not tolerated else _rate(failures, trials, tolerated)


def _rate(failures: int, trials: int, tolerated: float) -> float:
    from scipy.special import betaincc, betaln

    if not tolerated:
        return 1.0 / (trials + 1)
    a, b = failures + 1.0, trials - failures + 1.0
    above = float(betaincc(a, b, tolerated))
    if above <= 0.0:
        return 0.0
    log_null = failures * np.log(tolerated) + (trials - failures) * np.log1p(-tolerated)
    log_mixed = float(betaln(a, b)) + np.log(above) - np.log1p(-tolerated)
    return float(np.exp(min(log_mixed - log_null, _LARGEST)))
