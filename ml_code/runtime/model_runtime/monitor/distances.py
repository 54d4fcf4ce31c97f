"""How far two samples are apart, and how likely chance alone brings them so far.

All distances compare the counts of the same categories or ranges, or two distributions. Chance is judged by the tests
of Kolmogorov and Smirnov, and of Pearson.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import special

from model_runtime.monitor.distributions import Counts, Distribution
from model_runtime.prediction_baseline import stability_index

ROBUST_CONSTANT = 1.8
"""Deequ's: corresponds to a significance of 0.003."""
LEAST_EXPECTED = 5.0
"""W. Cochran, "Some methods for strengthening the common chi-squared tests", Biometrics 10 (1954)."""


def stability(then: npt.ArrayLike, now: npt.ArrayLike) -> float:
    """The population stability index of the counts of ranges or categories: see `prediction_baseline`.

    Those that neither sample has are left out, since half a row in each would differ by the sizes of the samples.
    """
    before, after = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    there = before + after > 0
    return stability_index(before[there], after[there])


def jensen_shannon(then: Counts, now: Counts) -> float:
    """The distance of Jensen and Shannon, from 0 to 1.

    The root of the divergence with logarithms of base 2. Source: D. Endres, J. Schindelin, "A new metric for
    probability distributions", IEEE Transactions on Information Theory 49 (2003).
    """
    p, q = then / then.sum(), now / now.sum()
    middle = (p + q) / 2
    divergence = (_entropy(middle) - (_entropy(p) + _entropy(q)) / 2) / math.log(2)
    return math.sqrt(max(float(divergence), 0.0))


def _entropy(shares: Counts) -> float:
    return float(special.entr(shares).sum())


def linf_simple(then: Distribution, now: Distribution) -> float:
    """The largest difference of the two cumulated shares: the statistic of Kolmogorov and Smirnov."""
    points = np.union1d(then.values, now.values)
    return float(np.abs(then.share_up_to(points) - now.share_up_to(points)).max())


def linf_categorical(then: Mapping[str, float], now: Mapping[str, float]) -> float:
    """The largest difference of a category's two shares."""
    whole_then, whole_now = sum(then.values()), sum(now.values())
    names = then.keys() | now.keys()
    return max(abs(then.get(name, 0) / whole_then - now.get(name, 0) / whole_now) for name in names)


def linf_robust(simple: float, rows_then: float, rows_now: float) -> float:
    """The same less what chance explains in samples of these sizes.

    Source: Deequ's analyzers/Distance.scala, by which Model Monitor compares.
    """
    return max(0.0, simple - ROBUST_CONSTANT * math.sqrt((rows_then + rows_now) / (rows_then * rows_now)))


def kolmogorov_smirnov(simple: float, rows_then: float, rows_now: float, rank_error: float = 0.0) -> float:
    """How likely two samples of one distribution are at least so far apart.

    The asymptotic distribution, which is cautious where values repeat. What sketches may have added to the distance,
    `rank_error` at most, is taken off first. Source: N. Smirnov, "Table for estimating the goodness of fit of
    empirical distributions", Annals of Mathematical Statistics 19 (1948).
    """
    surely = max(0.0, simple - rank_error)
    return float(special.kolmogorov(math.sqrt(rows_then * rows_now / (rows_then + rows_now)) * surely))


def chi_squared(then: Counts, now: Counts) -> float:
    """How likely two samples of one distribution differ at least so much in the counts of categories.

    Pearson's test of homogeneity. Categories that neither sample has are left out; 1 when fewer than two are left.
    """
    there = then + now > 0
    then, now = then[there], now[there]
    if len(then) < 2 or not then.sum() or not now.sum():
        return 1.0
    both = then + now
    statistic = 0.0
    for sample in (then, now):
        expected = both * (sample.sum() / both.sum())
        statistic += float((np.square(sample - expected) / expected).sum())
    return float(special.chdtrc(len(then) - 1, statistic))


def deequ_chi_squared(expected: Mapping[str, float], sample: Mapping[str, float]) -> float:
    """Deequ's test of a sample against expected counts: the probability of the statistic, NaN when it can't be said.

    Only categories that are expected count. The smallest expected one is merged into the next smallest until at most
    20 % of them are below 5, or both of the last two have at least 10. Source: Deequ's analyzers/Distance.scala.
    """
    total = sum(sample.get(name, 0.0) for name in expected)
    whole = sum(expected.values())
    if not total or not whole:
        return math.nan
    pairs = sorted([count / whole * total, sample.get(name, 0.0)] for name, count in expected.items())
    while len(pairs) >= 2 and not _large_enough([each[0] for each in pairs]):
        smallest = pairs.pop(0)
        pairs[0] = [pairs[0][0] + smallest[0], pairs[0][1] + smallest[1]]
        pairs.sort()
    if len(pairs) < 2:
        return math.nan
    statistic = sum((seen - wanted) ** 2 / wanted for wanted, seen in pairs)
    return float(special.chdtrc(len(pairs) - 1, statistic))


def _large_enough(expected: list[float]) -> bool:
    if len(expected) == 2:
        return min(expected) >= 2 * LEAST_EXPECTED
    return sum(each < LEAST_EXPECTED for each in expected) <= 0.2 * len(expected)


def holm(probabilities: list[float]) -> list[float]:
    """Probabilities of several tests, adjusted so that the chance of any false alarm stays below the level.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
    (1979).
    """
    adjusted = [1.0] * len(probabilities)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        largest = max(largest, min(1.0, probabilities[index] * (len(probabilities) - place)))
        adjusted[index] = largest
    return adjusted
