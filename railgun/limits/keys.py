"""Bounds of keys: sessions, pairwise messages, generations, what is wrapped at rest.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

MEGOLM_SKIPPED_MAX: Final = 2_000
UNKNOWN_SESSION_ENVELOPES_MAX: Final = 512
"""Envelopes kept while their Megolm session is not yet known; the oldest is dropped."""
GENERATIONS_LIVE_MAX: Final = 8
EPOCH_KEYS_DERIVED_MAX: Final = 32
"""Keys of epochs kept for speed, of one room: a few epochs of all its live generations."""
MEGOLM_LIVE_SESSIONS_MAX: Final = 1_024
"""Unpickled Megolm sessions kept for speed, about 1 kB each; the one used longest ago goes first."""
ARGON2_MEMORY_BYTES_MAX: Final = 1 << 30
"""What a stored header may make us allocate; a hostile file must not exhaust the machine."""
ARGON2_OPERATIONS_MAX: Final = 16
HPKE_PLAINTEXT_BYTES_MAX: Final = 65_536
OLM_MESSAGE_BYTES_MAX: Final = 16_384
"""What two devices tell each other is some session keys, 229 bytes each."""
CERTIFICATE_BYTES_MAX: Final = 2_048
DELIVERY_ITEMS_MAX: Final = 64
"""Recipients of one sealed envelope: about 45 fit the largest class."""
KEY_REQUEST_ITEMS_MAX: Final = 64
KEY_REQUESTS_MAX: Final = 512
"""Sessions asked for and not yet got; the oldest is dropped."""
INBOUND_SESSIONS_MAX: Final = 8_192
"""Megolm sessions kept to read with; the oldest that sent nothing lately is dropped."""
INBOUND_SESSIONS_PER_DEVICE_MAX: Final = 64
KEY_REQUEST_AGE_MAX_SECONDS: Final = 86_400
"""Older requests are repetitions: relays keep envelopes for an epoch and a little, and who asks goes on asking."""
KEY_REQUEST_SENDERS_MAX: Final = 16
"""Devices that one request asks to start over with."""
PAIRWISE_ITEMS_MAX: Final = 256
"""Recipients of one pairwise envelope: 180 whose sessions are under way, or 40 first messages, fit the largest."""
PAIRWISE_KEYS_MAX: Final = 8
"""Megolm session keys in one pairwise message; more take several."""
PAIRWISE_SESSIONS_PER_DEVICE_MAX: Final = 4
"""Both ends may start at once, and again after a loss; the one used longest ago goes first."""
PAIRWISE_TAKEN_MAX: Final = 4_096
"""Pairwise messages remembered, so that one sealed again does not look like a broken session."""
PAIRWISE_BROKEN_MAX: Final = 1_024
"""Devices whose session broke, or was started anew of late."""
PAIRWISE_HEAL_FIRST_SECONDS: Final = 1.0
PAIRWISE_HEAL_SECONDS: Final = 60.0
"""Between two requests to start over; doubled each time."""
PAIRWISE_HEAL_TIMES_MAX: Final = 8
PAIRWISE_FRESH_SECONDS: Final = 60.0
"""One device is not started over with more often, however often it asks."""
GENERATIONS_UNNAMED_MAX: Final = 8
"""Secrets that arrived before the roster entry that names them; the oldest is dropped."""
GENERATION_LIVE_DAYS: Final = 7
"""Days on which one generation may be used: what a stolen copy of its secret is worth at most."""
GENERATION_TURN_SECONDS: Final = 5.0
"""How long each admin waits for those before it to make a generation that is needed."""
SESSION_MESSAGES_MAX: Final = 100
SESSION_MESSAGES_LARGE_ROOM_MAX: Final = 1_000
SESSION_LARGE_ROOM_DEVICES: Final = 50
SESSION_AGE_MAX_SECONDS: Final = 86_400.0
SESSION_INDEX_MAX: Final = 4_096
"""Honest senders renew a session long before; a replay window is a bitmap of so many bits."""
SESSIONS_SHARED_MAX: Final = 64
"""Own sessions of which it is remembered who got them, to answer requests for them again."""
KEY_REQUEST_FIRST_SECONDS: Final = 1.0
"""A key usually travels just before its first message; only then is it asked for."""
KEY_REQUEST_AGAIN_SECONDS: Final = 15.0
KEY_REQUEST_PACE_SECONDS: Final = 1.0
"""Between two requests, whatever they ask for: who has a room's header keys can name sessions that nobody knows as fast
as it likes, and everybody would ask for each."""
KEY_REQUEST_BEHIND_SECONDS: Final = 60.0
"""The same for sessions that were heard under older generations alone, whose keys who was removed has too."""
KEY_REQUEST_TIMES_MAX: Final = 8
KEY_ANSWER_AGAIN_SECONDS: Final = 10.0
"""One device is not sent one session's key more often than this, however often it asks."""
GENERATION_ASK_FIRST_SECONDS: Final = 2.0
"""A generation that the roster names may be on its way: wait so long before asking."""
GENERATION_ASK_AGAIN_SECONDS: Final = 10.0
GENERATION_ANSWER_TURN_SECONDS: Final = 0.5
GENERATION_REQUESTS_WAITING_MAX: Final = 64
"""Members whose requests wait for our turn to answer; the oldest is dropped, and asks again."""
