"""Bounds of frames, links, liveness and clocks.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

# --- frames and links ------------------------------------------------------------------------
MESSAGE_BYTES_MAX: Final = 16_384
"""One data-channel message. aiortc's SCTP refuses 65,536 with a header, and smaller is fairer."""
FRAGMENT_BYTES_MAX: Final = 16_000
"""Payload of one fragment, so that it fits a message with its own framing."""
FRAME_BYTES_MAX: Final = 70_000
"""A reassembled frame: the largest envelope (65,536) and its fields."""
FRAGMENTED_FRAMES_MAX: Final = 8
"""Frames that one peer may have half-sent at once; the oldest is dropped."""
PULSE_BYTES_MAX: Final = 1_100
"""A pulse fits one datagram."""
PULSE_TAGS_MAX: Final = 24
"""Tags whose last number one pulse repeats; busier links take turns."""
LINKS_MAX: Final = 512
"""Links of one node. A connection costs about 200 kB."""
LINKS_PER_PREFIX_MAX: Final = 128
"""Inbound links from one /24 or /48; not in `lan` networks."""
LINK_SEND_BUDGET_BYTES: Final = 1 << 20
"""Bytes that may wait in one link's send buffer before the machine has to decide what to drop."""
FAILED_PEERS_MAX: Final = 1_024
"""Relays remembered for a while as out of reach."""
HALF_OPEN_MAX: Final = 256
"""Handshakes under way on the listener; the oldest is evicted, the newest never refused."""
HALF_OPEN_SECONDS: Final = 5.0
HALF_OPEN_PER_ADDRESS_MAX: Final = 16
HALF_OPEN_PER_PREFIX_MAX: Final = 64
DIAL_SECONDS: Final = 5.0
"""Deadline of one dial, proof included."""
CLOSE_SECONDS: Final = 2.0
"""Deadline of closing one link; after it the link is abandoned."""
LINK_IDLE_SECONDS: Final = 60.0
HANDSHAKE_BYTES_MAX: Final = 1_024
"""A message of the in-band proof: keys, nonces and a signature."""
FLIGHT_BYTES_MAX: Final = 384 * 1_024
"""Bytes unacknowledged on one link. About six large frames, so that loss rarely leaves more than
FRAGMENTED_FRAMES_MAX of them unfinished at the receiver."""
RECEIVE_BYTES_MAX: Final = 1 << 20
"""Bytes of unfinished messages on one link; announced as the receive window, and enforced."""
CHUNKS_AHEAD_MAX: Final = 4_096
"""Chunks accepted beyond the first missing one; later ones are dropped, and come again."""
PULSES_WAITING_MAX: Final = 4
"""Pulses that may wait behind a message under way; more are dropped at once."""
COOKIES_SPENT_MAX: Final = 16_384
"""Spent cookies remembered a key; when as many are spent, the keys change early."""
TOKEN_BUCKET_CELLS: Final = 4_096
"""Rate buckets of one kind, a fixed array: sources that share a cell share its rate."""
DIAL_ADDRESSES_MAX: Final = 4
"""Addresses of one contact that are tried at once."""

# --- liveness --------------------------------------------------------------------------------
PULSE_SECONDS: Final = 1.0
PULSE_SECONDARY_SECONDS: Final = 5.0
PULSES_PER_SECOND: Final = 16.0
PULSES_BURST: Final = 64.0
"""What a relay answers on one link; who asks more often than any watch or probe does is not answered."""
SUSPECT_SECONDS: Final = 2.5
DEAD_SECONDS: Final = 3.0
PROBE_SECONDS: Final = 0.5
CLIENT_SILENCE_SECONDS: Final = 60.0
"""A client that a relay has not heard for so long is let go: it would pulse at least every five seconds."""

# --- clocks ----------------------------------------------------------------------------------
CLOCK_CORRECTION_MAX_SECONDS: Final = 300.0
CLOCK_SAMPLES_MIN: Final = 3
CLOCK_SAMPLES_MAX: Final = 16
AD_FUTURE_MAX_SECONDS: Final = 60
