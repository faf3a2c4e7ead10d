"""How much processor time this process has used.

Owns: user plus system time of all its threads. Must not know: for what.
"""

from __future__ import annotations

import resource


def processor_seconds() -> float:
    """User and system seconds since the process began."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
