"""Whether two samples can come from one source: what a test needs of it, and no more."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence


def ks_two_samples(one: Sequence[float], two: Sequence[float]) -> float:
    """The p-value of Kolmogorov's and Smirnov's two-sample test (asymptotic, for samples of hundreds or more)."""
    first, second = sorted(one), sorted(two)
    distance = max(
        abs(bisect.bisect_right(first, value) / len(first) - bisect.bisect_right(second, value) / len(second))
        for value in (*first, *second)
    )
    return _kolmogorov(distance, len(first) * len(second) / (len(first) + len(second)))


def ks_one_sample(sample: Sequence[float], distribution: Callable[[float], float]) -> float:
    """The p-value of the one-sample test against a distribution function."""
    ordered, count = sorted(sample), len(sample)
    distance = max(
        max((place + 1) / count - distribution(value), distribution(value) - place / count)
        for place, value in enumerate(ordered)
    )
    return _kolmogorov(distance, count)


def exponential(rate: float) -> Callable[[float], float]:
    """The distribution function of a Poisson process's gaps."""
    return lambda seconds: 1.0 - math.exp(-rate * seconds)


def _kolmogorov(distance: float, size: float) -> float:
    scaled = (math.sqrt(size) + 0.12 + 0.11 / math.sqrt(size)) * distance
    if scaled < 0.3:
        return 1.0
    terms = (math.exp(-2 * (term * scaled) ** 2) * (1 if term % 2 else -1) for term in range(1, 101))
    return min(1.0, 2 * sum(terms))


def chi_square_per_degree(one: Sequence[int], two: Sequence[int]) -> float:
    """How far two histograms over the same cells differ: about 1 where they come from one source."""
    total_one, total_two = sum(one), sum(two)
    terms = []
    for left, right in zip(one, two, strict=True):
        if left + right:
            scaled = left * math.sqrt(total_two / total_one) - right * math.sqrt(total_one / total_two)
            terms.append(scaled**2 / (left + right))
    return sum(terms) / (len(terms) - 1)
