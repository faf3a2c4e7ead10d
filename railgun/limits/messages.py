"""Bounds of messages: sending, contents, gaps, what waits for the application.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

SEND_KEYS_MAX: Final = 1_024
"""Keys of sends that a room remembers; a send is repeated soon or never, so the oldest go first."""
SEND_KEY_BYTES_MAX: Final = 64
PENDING_SENDS_MAX: Final = 1_024
TEXT_BYTES_MAX: Final = 131_072
MESSAGE_PARENTS_MAX: Final = 8
HISTORY_PAGE_MAX: Final = 500
PEER_EVENTS_QUEUE_MAX: Final = 4_096
"""Frames and pulses of all peers that wait for the machine; a peer may fill what the others have left of it."""
PEER_EVENTS_SURE: Final = 64
"""Of one peer so many may wait in any case, whatever others do."""
PEER_EVENT_BYTES_QUEUE_MAX: Final = 64 << 20
PEER_EVENT_BYTES_SURE: Final = 256 << 10
"""The same in bytes."""
CONTENT_BYTES_MAX: Final = 262_144
"""One message's content before it is split."""
CONTENT_PARTS_MAX: Final = 8
CONTENT_ASSEMBLIES_MAX: Final = 64
"""Split messages half received, over all authors; the oldest is dropped."""
EMOJI_BYTES_MAX: Final = 64
MESSAGE_IDS_PER_CONTENT_MAX: Final = 256
"""Ids in one `heads` or `want`."""
MESSAGES_REMEMBERED_MAX: Final = 1_024
"""Ids by which a device tells at once whether a message's parents have come; of older ones the store knows."""
GAPS_BEFORE_MAX: Final = 4_096
"""Ids of messages that were said before a device came into a room, and are no gaps to it."""
GAPS_WANTED_MAX: Final = 1_024
"""Messages that a device of a room knows to lack and asks for; what is beyond is named again by later ones."""
GAPS_MISSING_MAX: Final = 256
"""Messages that were asked for in vain, and are shown as missing; the oldest is forgotten."""
GAPS_ASKED_AT_ONCE_MAX: Final = 64
"""Messages asked for and not here yet: what a member answers with in a few seconds."""
GAPS_TRAIL_IDS: Final = 200
"""Ids of one trail: they fit an envelope of 4,096 bytes."""
GAPS_ANSWERS_MAX: Final = 1_024
"""Messages that wait for our turn to bring them again, all askers together."""
GAPS_ANSWERS_REMEMBERED_MAX: Final = 4_096
GAPS_ANSWERS_PER_ASKER_MAX: Final = 2_048
"""Of one asker in GAPS_ANSWERS_WINDOW_SECONDS: nobody makes members send again without end."""
GAPS_ANSWER_BYTES_PER_ASKER_MAX: Final = 8 << 20
GAPS_ANSWERS_WINDOW_SECONDS: Final = 600.0
GAPS_ANSWER_BYTES_PER_SECOND: Final = 512 << 10
"""Of one member, so that what is said meanwhile is hardly later for it."""
GAPS_HEADS_WAITING_MAX: Final = 64
"""Members whose newest ids wait until what they name has come; the oldest is dropped."""
RECENT_MESSAGES_MAX: Final = 16
"""Newest messages that nothing refers to yet; beyond it the oldest is no longer named as a parent."""
GAP_ASK_FIRST_SECONDS: Final = 2.0
"""A message that another names is mostly under way itself."""
GAP_ASK_AGAIN_SECONDS: Final = 4.0
"""Doubled each time, up to GAP_ASK_SECONDS_MAX."""
GAP_ASK_SECONDS_MAX: Final = 64.0
GAP_ASK_TIMES_MAX: Final = 6
"""Then a message counts as missing; it is asked for again, once, when a member tells its newest ids."""
GAP_TURN_SECONDS: Final = 0.75
"""How long each member waits for those before it, in an order that differs by message, to bring it again."""
GAP_TURNS_MAX: Final = 16
GAP_ANSWER_AGAIN_SECONDS: Final = 3.0
"""A message that was brought again is not brought once more before."""
HEADS_FIRST_SECONDS: Final = 3.0
"""After a start or a return, before a member tells its newest ids: what seats hold has arrived by then."""
HEADS_TURN_SECONDS: Final = 1.0
HEADS_TURNS_MAX: Final = 20
"""Of an epoch's word; those beyond share the last turn."""
HEADS_SETTLED_SECONDS: Final = 5.0
"""A younger message need not be missing where somebody's newest ids do not tell of it."""
HEADS_AGAIN_SECONDS: Final = 5.0
TYPING_QUEUE_MAX: Final = 64
"""Typing signs that nobody has asked for yet; further ones are dropped."""
