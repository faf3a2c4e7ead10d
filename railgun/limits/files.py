"""Bounds of files that travel in rooms.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

FILE_NAME_BYTES_MAX: Final = 255
FILE_BYTES_MAX: Final = 32 << 20
"""A file that travels in a room: half of what a seat holds for one tag, whatever an owner configures."""
FILE_BYTES_DEFAULT_MAX: Final = 8 << 20
"""What is sent and collected unless an owner configures otherwise."""
FILE_STRICT_BYTES_MAX: Final = 512 << 10
"""In a room under strict cover, where a file takes about a tick for every 3,840 bytes."""
FILE_BYTES_PER_SECOND: Final = 1 << 20
"""Of one peer, so that what is said meanwhile is hardly later for it."""
FILE_BYTES_PER_EPOCH_MAX: Final = 16 << 20
"""Of one peer in one room: four senders at once leave their tag room for messages (TAG_BYTES_MAX)."""
FILE_WANT_RANGES_MAX: Final = 64
"""Gaps that one request names; what lies behind them is asked for once these are closed."""
FILES_INCOMING_MAX: Final = 64
"""Files of others of which a room remembers how far they have come; the oldest that needs no more is forgotten."""
FILES_HELD_BYTES_MAX: Final = 64 << 20
"""Bytes of files that a room keeps until they are saved. What does not fit is not collected."""
FILES_OUTGOING_MAX: Final = 32
"""Own files of which a room remembers where they are, to send pieces again; the oldest finished one is forgotten."""
FILE_RESEND_TIMES_MAX: Final = 8
"""How often each of a file's bytes is sent again, on average: members may ask, and are not to make us send for ever."""
FILE_ASK_SECONDS: Final = 15.0
"""A file that grew no more for so long is asked for; doubled each time."""
FILE_ASK_TIMES_MAX: Final = 8
