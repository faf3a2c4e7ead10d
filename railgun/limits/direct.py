"""Bounds of members linked directly.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

DIRECT_CONTACTS_MAX: Final = 64
"""Members of one room whose contacts are kept; as many as the DHT holds under a tag."""
DIRECT_CONTACT_SECONDS_MAX: Final = 7 * 86_400
"""How old a contact may be that a member still tries after a restart: addresses change, and are others' one day."""
DIRECT_CONTACT_AGAIN_SECONDS: Final = 86_400
"""A contact that stays the same is written again after this, so that it does not grow old."""
DIRECT_DIALS_MAX: Final = 8
"""Members of one room that are dialled; with those who dial us everyone hears everything within a few steps."""
DIRECT_LINKS_MAX: Final = 128
"""Links with members, whether proved or not yet."""
DIRECT_PEERS_MAX: Final = 64
"""Members of one room that are linked directly."""
DIRECT_HELD_BYTES_MAX: Final = 8 << 20
"""Envelopes of all rooms that a member keeps for members who lack them; the oldest give way."""
DIRECT_HELD_MAX: Final = 8_192
DIRECT_IDS_MAX: Final = 16_384
"""Ids of one tag of which it is remembered which linked members have them; the oldest are forgotten."""
DIRECT_WANTED_MAX: Final = 4_096
"""Ids of one tag that linked members name and that have not come."""
DIRECT_PULLS_AT_ONCE_MAX: Final = 128
DIRECT_PULL_TIMES_MAX: Final = 6
DIRECT_FRAMES_PER_SECOND: Final = 256.0
DIRECT_FRAMES_BURST: Final = 2_048.0
"""Of one linked member; beyond it frames are dropped, and what they said is said again later."""
DIRECT_BYTES_PER_SECOND: Final = 4 << 20
DIRECT_BYTES_BURST: Final = 16 << 20
"""Envelopes that one linked member may push, and as much again that it may pull."""
DIRECT_FAILED_OPENS_MAX: Final = 4
"""Proofs of one link that may fail before it is closed."""
