"""Bounds of the directory, committees, and what is held against relays.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

# --- directory -------------------------------------------------------------------------------
AD_CORE_BYTES_MAX: Final = 300
AD_EXTRAS_BYTES_MAX: Final = 2_048
ADS_MAX: Final = 20_000
"""Nodes in one directory; overflow is cut by a rule that every peer shares."""
ADS_PER_NODE_MAX: Final = 4
"""Superseded ads that an open epoch may still need."""
ADS_PER_FRAME_MAX: Final = 128
OBITUARY_BYTES_MAX: Final = 700
OBITUARY_TESTIMONIES_MAX: Final = 5
OBITUARY_SUSPECTS_MAX: Final = 256
"""Relays that one relay suspects at a time, and of which it gathers others' words; the oldest words go first."""
OBITUARIES_PER_NODE_MAX: Final = 4
"""The newest by date; only nodes with an ad can have one."""
DIRECTORY_RANGES_PER_FRAME_MAX: Final = 64
DIRECTORY_IDS_PER_RANGE_MAX: Final = 32
DIRECTORY_IDS_PER_FRAME_MAX: Final = 512
DIRECTORY_PUSH_BYTES_MAX: Final = 131_072
"""Records pushed in answer to one frame; what is left is compared again, so that the peer sets the pace."""
DIRECTORY_CATCH_UP_RECORDS_MIN: Final = 256
"""A client that lacks so many takes them from one relay and asks others afterwards: from two at once it would take each
record twice."""
DIRECTORY_CATCH_UP_PAUSE_SECONDS: Final = 3.0
"""Without a new record from that relay the others are asked."""
DIRECTORY_CATCH_UP_SECONDS_MAX: Final = 30.0
"""One relay alone must not keep a client in the dark: after this the others are asked in any case."""
GOSSIP_SECONDS: Final = 10.0
GOSSIP_CALM_SECONDS_MAX: Final = 150.0
"""A client that finds nothing new compares ever less often, down to this, and at least four times an epoch: an ad
counts an epoch after it was issued."""
AD_FORWARD_SECONDS: Final = 120
"""Only ads this fresh are pushed on at once: what a peer catches up on, its neighbours compare for themselves."""
AD_FORWARDS_PER_SECOND: Final = 32.0
AD_FORWARDS_BURST: Final = 512.0
"""Fresh ads of one peer that are pushed on; 10,000 relays make one every 3 s, and no one peer may flood the network."""
DIRECTORY_FRAMES_PER_SECOND: Final = 16.0
DIRECTORY_FRAMES_BURST: Final = 256.0
"""Directory frames that one peer may have answered; a comparison from nothing takes about 100 for 20,000 ads."""
RELAYS_COUNTED_MIN: Final = 3
"""With fewer, an epoch's cut-off moves forward, so that a young network works at once."""
COUNTED_CACHED_MAX: Final = 64
"""Epoch starts whose relays are kept worked out; a peer can name any second as a start."""
COMMITTEES_CACHED_MAX: Final = 4_096

# --- committees ------------------------------------------------------------------------------
COMMITTEE_MIN: Final = 3
COMMITTEE_MAX: Final = 7
COMMITTEE_DEFAULT: Final = 5
RECEIPT_IDS_MAX: Final = 64

# --- what is held against relays -------------------------------------------------------------
REPUTATION_RELAYS_MAX: Final = 1_024
REPUTATION_REPORTS_MAX: Final = 256
"""Faults of one turn."""
REPUTATION_DETAIL_BYTES_MAX: Final = 128
