"""Percentiles of what was measured.

Owns: the nearest-rank rule. Must not know: what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ascending: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least ``percent`` % of all values do not exceed; None of nothing."""
    if not ascending:
        return None
    rank = math.ceil(len(ascending) * percent / 100)
    return ascending[max(rank, 1) - 1]
