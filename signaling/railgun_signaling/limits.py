"""Every bound of the server that is not a setting: what a stranger can make it hold or do.

Owns: the numbers, each with its reason. Must not know: who enforces them. Settings stand in `configuration`.
"""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 1
BLOB_BYTES: Final = 4_096
"""The one length of a sealed blob: a length that never varies says nothing."""
FRAME_BYTES_MAX: Final = 4_608
"""The largest frame: a blob, a key, a number and their CBOR."""
MESSAGE_BYTES_MAX: Final = 16_384
"""What the WebSocket layer reads before it gives up; between the two a client is still told what was wrong."""
AD_BYTES_MAX: Final = 300
"""As railgun's AD_CORE_BYTES_MAX."""
RELAYS_ANSWERED_MAX: Final = 8
"""Relays in one answer: as many as an invite names."""
RELAY_ADDRESSES_MAX: Final = 4
RELAYS_MAX: Final = 4_096
"""Relays known at once, of all networks and instances. About 1 kB each."""
RELAYS_PER_NETWORK_MAX: Final = 512
"""So that one network cannot crowd out the others."""
RELAYS_PER_SOURCE_MAX: Final = 4
"""Registered from one address: operators run few on a machine."""
OUTBOX_BLOBS_MAX: Final = 4
"""Blobs that wait for one slow reader. Offer, answer and two candidates; more is no first contact."""
IN_FLIGHT_BYTES_MAX: Final = 16 << 20
"""Blobs that wait for all slow readers together."""
OPENING_SECONDS: Final = 5.0
"""From the TCP connection to the upgrade, and again from there to the first frame."""
SEND_SECONDS: Final = 10.0
"""A reader that takes longer for what one write brings is dropped."""
PING_SECONDS: Final = 20.0
"""How often a silent connection is asked whether it lives, and how long it has to answer."""
CLOSE_SECONDS: Final = 2.0
LIFETIME_SECONDS: Final = 3_600
"""A mailbox or a registration lasts no longer on one connection: keys are meant to be fresh."""
AD_LIFETIME_SECONDS_MAX: Final = 86_400
AD_AHEAD_SECONDS_MAX: Final = 300
"""How far an ad may be dated ahead of this machine's clock."""
SOURCES_MAX: Final = 65_536
"""Sources whose rates are counted at once, about 300 bytes each."""
SOURCES_SCANNED_MAX: Final = 16
"""Entries looked at to make room for a new source; if all of them are in use, the new one is refused."""
SEND_BUFFER_BYTES: Final = 32_768
"""The kernel's buffer and ours for one connection: without it the kernel holds megabytes for who never reads."""
PRESENCE_SECONDS: Final = 2.0
"""How long another instance has to answer for a mailbox."""
PRESENCE_PENDING_MESSAGES_MAX: Final = 64
PRESENCE_PENDING_BYTES_MAX: Final = 1 << 20
"""What may wait on one subscription: a burst, not a queue."""
PRESENCE_REQUESTS_MAX: Final = 1_024
"""Questions to other instances under way at once."""
RELAYS_TOLD_SECONDS: Final = 10.0
"""How often an instance tells the others of its relays."""
RELAYS_HELD_SECONDS: Final = 35.0
"""How long the others believe it: three tellings, so that a killed instance's relays are soon forgotten."""
RECONNECT_SECONDS: Final = 1.0
"""Between attempts to reach the NATS server."""
FORWARDED_FOR_BYTES_MAX: Final = 1_024
CONFIGURATION_BYTES_MAX: Final = 65_536
