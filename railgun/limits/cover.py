"""Bounds of cover traffic.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

FRAGMENTS_MAX: Final = 19
"""Fragments of the largest body in envelopes of 4096 bytes."""
FRAGMENT_ASSEMBLIES_MAX: Final = 64
"""Bodies half received of a room; the oldest is dropped."""
FRAGMENTED_REMEMBERED_MAX: Final = 1_024
"""Bodies that were put together lately, so that their fragments are not gathered once more."""
COVER_QUEUE_MAX: Final = 4_096
"""Bodies that wait for strict cover's ticks. Beyond it answers to others give way, then notices that nobody waits for;
messages have a bound of their own (PENDING_SENDS_MAX) and never give way."""
COVER_TRANSFERS_MAX: Final = 1_024
"""Fragmented bodies under way whose receipts are put together; the oldest is forgotten."""
